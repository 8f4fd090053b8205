"""Bundles between two groundloop ends with the header fields left out that both ends know.

Static context header compression, in the manner of RFC 8724: one rule, which fits the bundles that
the agent makes. What it leaves out is rebuilt byte for byte at the other end before any check is
made, so that the full standard bundle is what is verified. A bundle that does not fit goes as it
is. It is announced by an LTP client service of its own, so that no other implementation sees it.

byte 0       version (2 bits, 1), secured, form of the creation time (2 bits), sequence number in 6
             bytes, lifetime given, age given
creation     3 bytes: ms modulo 4.66 hours, for clocks that are the same; or 6 bytes; or none
sequence     2 bytes, or 6
lifetime     SDNV: 2 x 10 s, or 2 x ms + 1; 86,400 s where it is not given
age          SDNV, ms, and CRC-32C of all so far, as nothing else protects it; 0 where not given
IV           12 bytes, where it does not follow from the bundle's identity
rest         secured: ciphertext and tag (16 bytes); else payload and CRC-32C of the whole bundle

Numbers are in network byte order and in their shortest form, so that a bundle looks in one way
only, but for the form of its time. Nothing may raise but `BundleError`, whatever the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from dtn.bpsec.bcb_aes import IV_BYTES, TAG_BYTES, derived_iv, iv_and_tag, usual_block
from dtn.bpsec.block import BCB
from dtn.bpv7.blocks import (
    MUST_NOT_FRAGMENT,
    PAYLOAD,
    PAYLOAD_NUMBER,
    CanonicalBlock,
    PrimaryBlock,
    age_block,
    hop_count_block,
)
from dtn.bpv7.bundle import AGE_NUMBER, HOP_COUNT_NUMBER, Bundle, decode, encode
from dtn.bpv7.crc import CRC_32C, CRC_NONE, crc
from dtn.errors import BundleError, SegmentError
from dtn.ltp.sdnv import encode_sdnv, read_sdnv

SERVICE = 100
"""LTP client service of compressed bundles: not assigned by IANA's registry, and one byte long."""
VERSION = 1
BCB_NUMBER = 4
"""The first block number that hop count, age and payload leave free."""
USUAL_LIFETIME_MS = 86_400_000
LIFETIME_STEP_MS = 10_000
"""Lifetimes of whole steps take fewer bytes."""

_SECURED, _LONG_SEQUENCE, _LIFETIME, _AGE = 0x20, 0x04, 0x02, 0x01
_UNDATED, _RECENT, _DATED, _DATED_WITH_IV = range(4)
_RECENT_BYTES, _DATED_BYTES = 3, 6
_RECENT_MS = 1 << 8 * _RECENT_BYTES
RECENT_AGE_MS = _RECENT_MS // 4
"""A creation time goes in three bytes up to this age: what is left is for the way, and for
repairs."""
_AHEAD_MS = 60_000
"""By how much the sender's clock may be ahead."""
_CRC_BYTES = 4
_MOST = 1 << 48
"""Of any number."""


@dataclass(frozen=True, slots=True)
class Context:
    """What both ends know of the bundles that go one way."""

    source: str
    destination: str
    hop_limit: int

    def compress(self, data: bytes, *, now_ms: int | None) -> bytes | None:
        """An encoded bundle of this context in fewer bytes; None for one that does not fit.

        Args:
            data: as it would be sent.
            now_ms: DTN time, by a clock that the other end has too; None without one.
        """
        bundle = decode(data)
        primary, payload = bundle.primary, bundle.blocks[-1]
        guard = bundle.block(BCB)
        sealed = None if guard is None else iv_and_tag(guard)
        if guard is not None and sealed is None:
            return None
        age_ms = bundle.age_ms or 0
        first, creation = _creation(primary, now_ms)
        explicit = b""
        if sealed is not None:
            iv, tag = sealed
            if iv != derived_iv(primary):
                explicit, first = iv, _DATED_WITH_IV if primary.creation_ms else _UNDATED
                creation = _fixed(primary.creation_ms, _DATED_BYTES) if primary.creation_ms else b""
            rest = payload.data + tag
        else:
            rest = payload.data + crc(CRC_32C, data)
        long = primary.sequence >= 1 << 16
        if max(primary.sequence, primary.creation_ms, primary.lifetime_ms, age_ms) >= _MOST:
            return None
        usual = primary.lifetime_ms == USUAL_LIFETIME_MS
        head = bytes(
            [
                VERSION << 6
                | (_SECURED if sealed is not None else 0)
                | first << 3
                | (_LONG_SEQUENCE if long else 0)
                | (0 if usual else _LIFETIME)
                | (_AGE if age_ms else 0)
            ]
        )
        head += creation + _fixed(primary.sequence, 6 if long else 2)
        if not usual:
            head += encode_sdnv(_lifetime_code(primary.lifetime_ms))
        if age_ms:
            head += encode_sdnv(age_ms)
            head += crc(CRC_32C, head)
        short = head + explicit + rest
        try:
            rebuilt = self.expand(short, now_ms=now_ms)
        except BundleError:
            return None
        return short if rebuilt == data and len(short) < len(data) else None

    def expand(self, data: bytes, *, now_ms: int | None) -> bytes:
        """The bundle that `compress` was given.

        Args:
            data: what came.
            now_ms: as for `compress`.

        Raises:
            BundleError: there is no such bundle.
        """
        reader = _Reader(data)
        first = reader.take(1)[0]
        if first >> 6 != VERSION:
            raise BundleError(0, f"context version {VERSION}", str(first >> 6))
        form, secured = first >> 3 & 3, bool(first & _SECURED)
        creation_ms = _creation_ms(form, reader, now_ms)
        sequence = reader.number(6 if first & _LONG_SEQUENCE else 2)
        lifetime_ms = USUAL_LIFETIME_MS
        if first & _LIFETIME:
            code = reader.sdnv()
            lifetime_ms = code >> 1 if code & 1 else (code >> 1) * LIFETIME_STEP_MS
            if _lifetime_code(lifetime_ms) != code:
                raise BundleError(0, "a lifetime in its shortest form", "another")
        age_ms = 0
        if first & _AGE:
            age_ms = reader.sdnv()
            reader.check()
        shortest = (
            bool(creation_ms) == (form != _UNDATED),
            bool(first & _LONG_SEQUENCE) == (sequence >= 1 << 16),
            bool(first & _LIFETIME) == (lifetime_ms != USUAL_LIFETIME_MS),
            bool(first & _AGE) == (age_ms > 0),
            secured or form != _DATED_WITH_IV,
        )
        if max(lifetime_ms, age_ms) >= _MOST or not all(shortest):
            raise BundleError(0, "numbers of 48 bits in their shortest form", "another")
        primary = PrimaryBlock(
            self.destination,
            self.source,
            creation_ms,
            sequence,
            lifetime_ms,
            flags=MUST_NOT_FRAGMENT,
        )
        hops = hop_count_block(self.hop_limit, 0, HOP_COUNT_NUMBER)
        age = age_block(age_ms, AGE_NUMBER)
        if not secured:
            payload = CanonicalBlock(PAYLOAD, PAYLOAD_NUMBER, reader.rest(_CRC_BYTES))
            bundle = encode(Bundle(primary, (hops, age, payload)))
            if crc(CRC_32C, bundle) != reader.take(_CRC_BYTES):
                raise BundleError(len(data) - _CRC_BYTES, "the bundle's CRC-32C", "another")
            return bundle
        derived = derived_iv(primary)
        iv = derived if form in (_RECENT, _DATED) else reader.take(IV_BYTES)
        if iv is None or (form == _DATED_WITH_IV and iv == derived):
            raise BundleError(0, "an IV where it does not follow from the identity", "another")
        sealed = CanonicalBlock(PAYLOAD, PAYLOAD_NUMBER, reader.rest(TAG_BYTES), crc_type=CRC_NONE)
        guard = usual_block(BCB_NUMBER, self.source, iv, reader.take(TAG_BYTES))
        return encode(Bundle(primary, (guard, hops, age, sealed)))


class _Reader:
    """Reads from the front; every read that does not fit is a `BundleError`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        """So many bytes."""
        end = self._at + size
        if end > len(self._data):
            raise BundleError(self._at, f"{size} bytes", f"{len(self._data) - self._at}")
        taken, self._at = self._data[self._at : end], end
        return taken

    def number(self, size: int) -> int:
        """A number of so many bytes."""
        return int.from_bytes(self.take(size), "big")

    def sdnv(self) -> int:
        """A number of as many bytes as it takes."""
        try:
            value, after = read_sdnv(self._data, self._at)
        except SegmentError as error:
            raise BundleError(self._at, "a number", str(error)) from None
        if len(encode_sdnv(value)) != after - self._at:
            raise BundleError(self._at, "a number in its shortest form", "a longer one")
        self._at = after
        return value

    def check(self) -> None:
        """The check over all so far."""
        wanted = crc(CRC_32C, self._data[: self._at])
        if self.take(_CRC_BYTES) != wanted:
            raise BundleError(self._at, "the header's check", "another")

    def rest(self, less: int) -> bytes:
        """All but the last bytes."""
        return self.take(max(0, len(self._data) - self._at - less))


def _creation(primary: PrimaryBlock, now_ms: int | None) -> tuple[int, bytes]:
    """The form of a creation time, and its bytes."""
    at_ms = primary.creation_ms
    if not at_ms:
        return _UNDATED, b""
    if now_ms is not None and 0 <= now_ms - at_ms <= RECENT_AGE_MS:
        return _RECENT, _fixed(at_ms % _RECENT_MS, _RECENT_BYTES)
    return _DATED, _fixed(at_ms, _DATED_BYTES)


def _creation_ms(form: int, reader: _Reader, now_ms: int | None) -> int:
    if form == _UNDATED:
        return 0
    if form != _RECENT:
        return reader.number(_DATED_BYTES)
    if now_ms is None:
        raise BundleError(1, "a creation time in full", "one that goes by a clock")
    latest_ms = now_ms + _AHEAD_MS
    at_ms = latest_ms - (latest_ms - reader.number(_RECENT_BYTES)) % _RECENT_MS
    if at_ms < 0:
        raise BundleError(1, "a creation time from 2000 on", "one before it")
    return at_ms


def _lifetime_code(lifetime_ms: int) -> int:
    steps, rest = divmod(lifetime_ms, LIFETIME_STEP_MS)
    return 2 * lifetime_ms + 1 if rest else 2 * steps


def _fixed(number: int, size: int) -> bytes:
    return (number & (1 << 8 * size) - 1).to_bytes(size, "big")
