"""Self-delimiting numeric values: seven bits to a byte, the top bit set on all but the last.

Values are 0 to 2**64 - 1, since peers use 64-bit engine ids, session numbers and serial numbers; a
decoder must never take a longer one. Padding with leading zero groups is accepted, as RFC 5326 §2.2
does not forbid it, and never sent. Standard: RFC 5326 §2.2.
"""

from __future__ import annotations

from dtn.errors import SegmentError

MAX_VALUE = (1 << 64) - 1
_MAX_BYTES = 10


def encode_sdnv(value: int) -> bytes:
    """Encode a number in as few bytes as it needs."""
    if value < 0x80:
        return bytes((value,))
    if value < 0x4000:
        return bytes((value >> 7 | 0x80, value & 0x7F))
    if value > MAX_VALUE:
        raise ValueError(f"{value} does not fit an SDNV of 64 bits")
    groups = [value & 0x7F]
    value >>= 7
    while value:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.reverse()
    return bytes(groups)


def sdnv_bytes(value: int) -> int:
    """How many bytes a number takes."""
    return max(1, (value.bit_length() + 6) // 7)


def read_sdnv(data: bytes, at: int) -> tuple[int, int]:
    """Read a number at an offset; return it and the offset behind it.

    Raises:
        SegmentError: the data ends within it, or it is larger than 64 bits.
    """
    size = len(data)
    if at >= size:
        raise SegmentError(at, "number", "end of data")
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value = byte & 0x7F
    after = at + 1
    while after < size:
        byte = data[after]
        after += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            if value > MAX_VALUE:
                raise SegmentError(at, "number of at most 64 bits", f"{value.bit_length()} bits")
            return value, after
        if after - at >= _MAX_BYTES:
            raise SegmentError(at, f"number of at most {_MAX_BYTES} bytes", "a longer one")
    raise SegmentError(at, "number", "end of data within it")
