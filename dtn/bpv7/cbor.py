"""The few CBOR shapes a bundle is made of, read strictly and written minimally.

Reads straight out of one buffer at an offset, so that every refusal can say where. It must never
accept a longer encoding than needed, nor read past the end. Standard: RFC 8949 §4.2.1 (core
deterministic encoding) as RFC 9171 §4.1 uses it; indefinite-length arrays are allowed there.
"""

from __future__ import annotations

from dtn.errors import BundleError

BREAK = 0xFF
_TEXT_IN_PIECES = 0x7F
INDEFINITE = -1
"""What `open_array` returns as the count of an indefinite-length array."""

_SMALL = [bytes((value,)) for value in range(24)]
_LEAST = (24, 1 << 8, 1 << 16, 1 << 32)
_MAJOR = (
    "unsigned integer",
    "negative integer",
    "byte string",
    "text string",
    "array",
    "map",
    "tag",
    "simple value",
)
_MAX_UINT = (1 << 64) - 1


def uint(value: int) -> bytes:
    """Encode an unsigned integer in its shortest form."""
    if 0 <= value < 24:
        return _SMALL[value]
    return head(0, value)


def head(major: int, value: int) -> bytes:
    """Encode the head of an item: major type and argument, shortest form."""
    first = major << 5
    if value < 0:
        raise ValueError(f"{value} does not fit a CBOR unsigned integer")
    if value < 24:
        return bytes((first | value,))
    if value < 1 << 8:
        return bytes((first | 24, value))
    if value < 1 << 16:
        return bytes((first | 25, value >> 8, value & 0xFF))
    if value < 1 << 32:
        return bytes((first | 26,)) + value.to_bytes(4, "big")
    if value > _MAX_UINT:
        raise ValueError(f"{value} does not fit a CBOR unsigned integer")
    return bytes((first | 27,)) + value.to_bytes(8, "big")


def byte_string(data: bytes) -> bytes:
    """Encode a definite-length byte string."""
    return head(2, len(data)) + data


def text_string(text: str) -> bytes:
    """Encode a definite-length text string."""
    raw = text.encode("utf-8")
    return head(3, len(raw)) + raw


def read_uint(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned integer; return it and the offset behind it."""
    if at >= len(data):
        raise BundleError(at, "unsigned integer", "end of data")
    first = data[at]
    if first < 24:
        return first, at + 1
    if first > 27:
        raise BundleError(at, "unsigned integer", describe(data, at))
    return _argument(data, at, first)


def read_bytes(data: bytes, at: int) -> tuple[int, int]:
    """Read the head of a definite-length byte string; return where its content starts and ends."""
    return _read_string(data, at, 0x40)


def read_text(data: bytes, at: int) -> tuple[str, int]:
    """Read a text string, in pieces too; return it and the offset behind it."""
    if at < len(data) and data[at] == _TEXT_IN_PIECES:
        pieces: list[str] = []
        at += 1
        while at < len(data) and data[at] != BREAK:
            piece, at = _read_definite_text(data, at)
            pieces.append(piece)
        return "".join(pieces), close_array(data, at)
    return _read_definite_text(data, at)


def open_array(data: bytes, at: int) -> tuple[int, int]:
    """Read the head of an array; return its count (or INDEFINITE) and the offset behind it."""
    if at >= len(data):
        raise BundleError(at, "array", "end of data")
    first = data[at]
    if 0x80 <= first < 0x98:
        return first & 0x1F, at + 1
    if first == 0x9F:
        return INDEFINITE, at + 1
    if 0x98 <= first <= 0x9B:
        return _argument(data, at, first & 0x1F)
    raise BundleError(at, "array", describe(data, at))


def open_pair(data: bytes, at: int) -> tuple[bool, int]:
    """Read the head of an array of two; return whether it is indefinite, and the offset."""
    if at < len(data) and data[at] == 0x82:
        return False, at + 1
    count, after = open_array(data, at)
    if count == INDEFINITE:
        return True, after
    raise BundleError(at, "array of 2", f"array of {count}")


def has_item(data: bytes, at: int, count: int, taken: int) -> bool:
    """Whether an array of `count`, or INDEFINITE, has an item at an offset after that many."""
    if count == INDEFINITE:
        return at >= len(data) or data[at] != BREAK
    return taken < count


def end_array(data: bytes, at: int, count: int) -> int:
    """Step behind an array of `count`, or INDEFINITE, whose items are over."""
    return close_array(data, at) if count == INDEFINITE else at


def close_array(data: bytes, at: int) -> int:
    """Read the break that ends an indefinite-length item; return the offset behind it."""
    if at >= len(data):
        raise BundleError(at, "break", "end of data")
    if data[at] != BREAK:
        raise BundleError(at, "break", describe(data, at))
    return at + 1


def describe(data: bytes, at: int) -> str:
    """Name the item whose first byte is at an offset, for an error."""
    if at >= len(data):
        return "end of data"
    first = data[at]
    if first == BREAK:
        return "break"
    return f"{_MAJOR[first >> 5]} (0x{first:02x})"


def _read_definite_text(data: bytes, at: int) -> tuple[str, int]:
    start, end = _read_string(data, at, 0x60)
    try:
        return data[start:end].decode("utf-8"), end
    except UnicodeDecodeError as error:
        raise BundleError(start + error.start, "UTF-8 text", "other bytes") from None


def _read_string(data: bytes, at: int, major: int) -> tuple[int, int]:
    if at >= len(data):
        raise BundleError(at, _MAJOR[major >> 5], "end of data")
    info = data[at] - major
    if 0 <= info < 24:
        start, length = at + 1, info
    elif 24 <= info < 28:
        length, start = _argument(data, at, info)
    else:
        raise BundleError(at, f"definite-length {_MAJOR[major >> 5]}", describe(data, at))
    end = start + length
    if end > len(data):
        raise BundleError(at, f"{length} bytes", f"{len(data) - start} bytes")
    return start, end


def _argument(data: bytes, at: int, info: int) -> tuple[int, int]:
    """The 1, 2, 4 or 8 byte argument of the head at an offset, which must need all its bytes."""
    end = at + 1 + (1 << (info - 24))
    if end > len(data):
        raise BundleError(at, f"{end - at} byte head", f"{len(data) - at} bytes")
    value = int.from_bytes(data[at + 1 : end], "big")
    if value < _LEAST[info - 24]:
        raise BundleError(at, "shortest form of the number", f"{value} in {end - at - 1} bytes")
    return value, end
