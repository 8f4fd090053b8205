"""Fragments of bundles: cut for a small contact, and put together again.

Fragments may overlap, come in any order and more than once. What is kept is bounded in bytes and in
bundles: the one that expires first gives way. A whole bundle comes out once; what contradicts the
pieces that are here is refused. Standard: RFC 9171 §5.8 and §5.9.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from dtn.bpv7.blocks import IS_FRAGMENT, MUST_NOT_FRAGMENT, PAYLOAD, REPLICATE_BLOCK, CanonicalBlock
from dtn.bpv7.bundle import Bundle, BundleId
from dtn.ranges import Ranges

MAX_BYTES = 64 << 20
MAX_BUNDLES = 256


def fragment(bundle: Bundle, *, payload_bytes: int) -> list[Bundle]:
    """Cut a bundle, or a fragment, into fragments whose payloads have at most that many bytes.

    The first keeps all extension blocks, the others those that ask to be replicated.

    Raises:
        ValueError: it must not be fragmented, or the size is not positive.
    """
    if payload_bytes < 1:
        raise ValueError(f"payload_bytes {payload_bytes}")
    payload, primary = bundle.payload, bundle.primary
    if len(payload) <= payload_bytes:
        return [bundle]
    if primary.flags & MUST_NOT_FRAGMENT:
        raise ValueError(f"{bundle.id} must not be fragmented")
    base, total = primary.fragment_offset or 0, primary.total_bytes or len(payload)
    pieces: list[Bundle] = []
    for start in range(0, len(payload), payload_bytes):
        head = replace(primary, fragment_offset=base + start, total_bytes=total)
        *extensions, last = bundle.blocks
        if start:
            extensions = [block for block in extensions if block.flags & REPLICATE_BLOCK]
        part = replace(last, data=payload[start : start + payload_bytes])
        pieces.append(Bundle(head, (*extensions, part)))
    return pieces


@dataclass(slots=True)
class _Partial:
    """One bundle on its way to be whole."""

    total_bytes: int
    expires_ns: int
    ranges: Ranges = field(default_factory=Ranges)
    pieces: list[tuple[int, bytes]] = field(default_factory=list)
    first: Bundle | None = None
    """The fragment at offset 0: its extension blocks are the bundle's."""


class Reassembly:
    """Fragments that wait for the rest."""

    def __init__(self, *, max_bytes: int = MAX_BYTES, max_bundles: int = MAX_BUNDLES) -> None:
        self._max_bytes = max_bytes
        self._max_bundles = max_bundles
        self._partial: dict[BundleId, _Partial] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._partial)

    def add(self, piece: Bundle, *, expires_ns: int) -> Bundle | None:
        """Take a fragment in; return the whole bundle when this was the last of it.

        Raises:
            ValueError: the piece is no fragment, contradicts what is here, or is too large.
        """
        primary = piece.primary
        if primary.fragment_offset is None or primary.total_bytes is None:
            raise ValueError("no fragment")
        if primary.total_bytes > self._max_bytes:
            raise ValueError(f"bundle of {primary.total_bytes} bytes")
        whole = whole_id(piece.id)
        partial = self._partial.get(whole)
        if partial is None:
            partial = self._partial[whole] = _Partial(primary.total_bytes, expires_ns)
        if partial.total_bytes != primary.total_bytes:
            raise ValueError(f"{primary.total_bytes} bytes, but {partial.total_bytes} before")
        start, data = primary.fragment_offset, piece.payload
        for low, high in partial.ranges.add(start, start + len(data)):
            partial.pieces.append((low, data[low - start : high - start]))
            self._bytes += high - low
        if start == 0:
            partial.first = piece
        if partial.first is not None and partial.ranges.covers(0, partial.total_bytes):
            del self._partial[whole]
            return self._joined(partial, partial.first)
        self._make_room(whole)
        return None

    def forget_expired(self, *, now_ns: int) -> list[BundleId]:
        """Drop what is over its lifetime; return the bundles that it was of."""
        gone = [whole for whole, partial in self._partial.items() if partial.expires_ns <= now_ns]
        for whole in gone:
            self._drop(whole)
        return gone

    def _joined(self, partial: _Partial, first: Bundle) -> Bundle:
        self._bytes -= partial.ranges.total
        payload = b"".join(data for _, data in sorted(partial.pieces))
        *extensions, last = first.blocks
        flags = first.primary.flags & ~IS_FRAGMENT
        primary = replace(first.primary, flags=flags, fragment_offset=None, total_bytes=None)
        block = CanonicalBlock(PAYLOAD, last.number, payload, last.flags, last.crc_type)
        return Bundle(primary, (*extensions, block))

    def _make_room(self, newest: BundleId) -> None:
        while self._bytes > self._max_bytes or len(self._partial) > self._max_bundles:
            others = [whole for whole in self._partial if whole != newest] or [newest]
            self._drop(min(others, key=lambda whole: self._partial[whole].expires_ns))

    def _drop(self, whole: BundleId) -> None:
        self._bytes -= self._partial.pop(whole).ranges.total


def whole_id(bundle_id: BundleId) -> BundleId:
    """The identity of the bundle that a fragment is of."""
    return replace(bundle_id, fragment_offset=None)
