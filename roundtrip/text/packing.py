"""A text as it is sent: a text string as it is, or a byte string that is shorter.

A packed text is a byte that names method and dictionary, a check byte, and the code. There are two
methods, and each text goes by whichever makes it shortest:

- `model`: arithmetic coding by what the dictionary makes expect; for texts of up to MODELLED_BYTES,
  as it takes time for each byte.
- `deflate`: raw DEFLATE (RFC 1951) with the dictionary before it, of which it sees the last 32 KiB;
  for long texts and those that repeat themselves.

A method's id is the first byte of a hash over its name and the dictionary, so two ends of different
versions notice; the check byte, which the whole hash seeds, notices when the ids happen to be
alike. `dictionary.bin` is made by `scripts/make_dictionary.py`.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from roundtrip.errors import BadMessage, UnknownDictionary

if TYPE_CHECKING:
    from roundtrip.text.coder import Coder

MODELLED_BYTES = 2048
"""Longest text for the model; it bounds what a forged code can cost."""
QUICK_BPS = 1_000_000
"""From this rate on the bytes that the model saves are worth less than the time that it takes: both
ends together some 27 us a byte, of which it saves about half beyond DEFLATE."""
_CACHED = 512
"""Texts kept with their packed form, as workloads ask the same again."""


@dataclass(frozen=True, slots=True)
class _Method:
    id: int
    seed: int
    """Of the check byte."""
    shrink: Callable[[bytes], bytes | None]
    """None where the text is not for this method."""
    restore: Callable[[bytes, int], bytes | None]
    """From a code and the most bytes to give; None where the code is wrong."""
    quick: bool
    """It takes no time to speak of."""


def known() -> tuple[int, ...]:
    """The ids of the methods that this end has, for the other end to know."""
    return tuple(_methods())


def worth(other: Collection[int] | None, rate_bps: int) -> Collection[int] | None:
    """The methods for a text that is waited for: those of the other end that save time.

    Args:
        other: as for `pack`.
        rate_bps: of the link; 0 where nobody knows.
    """
    if rate_bps < QUICK_BPS:
        return other
    quick = (key for key, method in _methods().items() if method.quick)
    return [key for key in quick if other is None or key in other]


def prepare() -> None:
    """Do what the first text would wait for: some 0.2 s, ten times that on a small computer."""
    _coder()


def packed_bytes(text: str) -> int:
    """How long a text is as it is sent to an end like this one."""
    value = pack(text)
    return len(value if isinstance(value, bytes) else value.encode())


def pack(text: str, other: Collection[int] | None = None) -> str | bytes:
    """The text as it is sent: itself, or fewer bytes.

    Args:
        other: the ids that the other end knows; None where they are taken to be the same.

    Raises:
        UnicodeEncodeError: the text has a lone surrogate.
    """
    raw = text.encode()
    usable = (key for key in known() if other is None or key in other)
    packed = [code for key in usable if (code := _packed(raw, key)) is not None]
    best = min(packed, key=len, default=raw)
    return best if len(best) < len(raw) else text


def unpack(value: str | bytes, most: int) -> str:
    """The text that `pack` was given. Time and memory are bounded by `most`, whatever the value.

    Args:
        most: bytes of UTF-8 that the text may have.

    Raises:
        UnknownDictionary: it was packed with a dictionary that this end does not have.
        BadMessage: there is no such text, or it is longer.
    """
    try:
        size = len(value.encode() if isinstance(value, str) else value)
    except UnicodeEncodeError as error:
        raise BadMessage("text", f"character {error.start}", "Unicode", error.reason) from None
    if size > most:
        raise BadMessage("text", "length", f"at most {most} bytes", str(size))
    return value if isinstance(value, str) else _unpacked(value, most)


@lru_cache(maxsize=_CACHED)
def _packed(raw: bytes, key: int) -> bytes | None:
    method = _methods()[key]
    code = method.shrink(raw)
    return None if code is None else bytes([key, _check(method, raw)]) + code


@lru_cache(maxsize=_CACHED)
def _unpacked(value: bytes, most: int) -> str:
    if len(value) < 2:
        raise BadMessage("text", "length", "2 bytes or more", str(len(value)))
    method = _methods().get(value[0])
    if method is None:
        raise UnknownDictionary(value[0])
    raw = method.restore(value[2:], most)
    if raw is None:
        raise BadMessage("text", "offset 2", f"a text of at most {most} bytes", "none")
    if _check(method, raw) != value[1]:
        raise BadMessage("text", "offset 1", "the text's check byte", str(value[1]))
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadMessage("text", f"byte {error.start}", "UTF-8", error.reason) from None


def _check(method: _Method, raw: bytes) -> int:
    return zlib.crc32(raw, method.seed) & 0xFF


# -- methods ---------------------------------------------------------------------------------------


@cache
def _dictionary() -> bytes:
    return Path(__file__).with_name("dictionary.bin").read_bytes()


@cache
def _coder() -> Coder:
    """Loaded with the first text: it takes numpy, and 50 ms."""
    from roundtrip.text.coder import Coder
    from roundtrip.text.model import Model

    return Coder(Model(_dictionary()))


@cache
def _methods() -> dict[int, _Method]:
    """The methods by their ids."""
    methods = (
        _method(b"model 1", _by_model, _from_model, quick=False),
        _method(b"deflate 1", _deflated, _inflated, quick=True),
    )
    return {method.id: method for method in methods}


def _method(
    name: bytes,
    shrink: Callable[[bytes], bytes | None],
    restore: Callable[[bytes, int], bytes | None],
    *,
    quick: bool,
) -> _Method:
    digest = hashlib.sha256(name + b"\0" + _dictionary()).digest()
    return _Method(digest[0], int.from_bytes(digest[:4], "big"), shrink, restore, quick)


def _by_model(raw: bytes) -> bytes | None:
    if len(raw) > MODELLED_BYTES or b"\0" in raw:
        return None
    return _coder().encode(raw)


def _from_model(code: bytes, most: int) -> bytes | None:
    return _coder().decode(code, min(most, MODELLED_BYTES))


def _deflated(raw: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zdict=_dictionary())
    return stream.compress(raw) + stream.flush()


def _inflated(code: bytes, most: int) -> bytes | None:
    stream = zlib.decompressobj(-zlib.MAX_WBITS, zdict=_dictionary())
    try:
        raw = stream.decompress(code, most + 1)
    except zlib.error:
        return None
    ended = stream.eof and not stream.unused_data
    return raw if ended and len(raw) <= most else None
