"""Bundles and LTP segments put together byte by byte, well formed or not.

Nothing of ours is used here, so that a fault of our encoders cannot hide: single values are written
by cbor2, all else by hand, checksums too. A field given as bytes goes in as it is.
"""

from __future__ import annotations

import zlib

import cbor2

CREATED_MS = 800_000_000_000
"""DTN time of all dated bundles: May 2025."""
LIFETIME_MS = 1 << 40
"""Some 35 years, so that no clock ends the table."""
REPORTS = 0x060000
"""Reports of delivery and deletion are asked for: so the fate of a bundle can be seen outside."""
RECEIVER, SENDER = [2, [2, 1]], [2, [1, 1]]
NULL = [1, 0]


class Numbers:
    """Numbers in turn."""

    def __init__(self, first: int) -> None:
        self._first = self._next = first

    def restart(self) -> None:
        """Begin again."""
        self._next = self._first

    def take(self) -> int:
        """The next one."""
        self._next += 1
        return self._next - 1


SEQUENCES, SESSIONS = Numbers(1), Numbers(5000)

Field = bytes | int | list | str | float


def item(value: Field) -> bytes:
    """A CBOR item; bytes are one already."""
    return value if isinstance(value, bytes) else cbor2.dumps(value)


def string(data: bytes) -> bytes:
    """A byte string as an item."""
    return cbor2.dumps(data)


def array(*items: Field, head: bytes | None = None, tail: bytes = b"") -> bytes:
    """An array; with another head, or with bytes at its end."""
    start = bytes((0x80 | len(items),)) if head is None else head
    return start + b"".join(item(one) for one in items) + tail


def crc_16(data: bytes) -> int:
    """CRC-16/X-25, bit by bit."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x8408 if value & 1 else 0)
    return value ^ 0xFFFF


def crc_32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def crc_of(kind: int, data: bytes) -> bytes:
    """The checksum of a block."""
    return crc_16(data).to_bytes(2, "big") if kind == 1 else crc_32c(data).to_bytes(4, "big")


def checked(fields: list[Field], crc: int, head: bytes | None, *, broken: str = "") -> bytes:
    """A block with its checksum, over itself with zeros in the checksum's place.

    Args:
        fields: all but the checksum.
        crc: its type; above 2, and 0, there is none.
        head: of the array, if not the usual one; an indefinite one gets its break.
        broken: what to do wrong to the checksum.
    """
    tail = b"\xff" if head == b"\x9f" else b""
    if crc not in (1, 2):
        return array(*fields, head=head, tail=tail)
    size = 2 if crc == 1 else 4
    start = bytes((0x80 | (len(fields) + 1),)) if head is None else head
    body = start + b"".join(item(one) for one in fields)
    covered = body + bytes((0x40 | size,)) + bytes(size) + (b"" if broken == "break" else tail)
    value = crc_of(crc, covered)
    if broken == "value":
        value = bytes((value[0] ^ 1,)) + value[1:]
    elif broken == "order":
        value = value[::-1]
    elif broken == "polynomial":
        value = zlib.crc32(covered).to_bytes(4, "big")
    elif broken == "unzeroed":
        value = crc_of(crc, body + bytes((0x40 | size,)) + tail)
    field = bytes((0x40 | size,)) + value
    if broken == "integer":
        field = item(int.from_bytes(value, "big"))
    elif broken == "indefinite":
        field = b"\x5f" + field + b"\xff"
    elif broken == "short":
        field = string(crc_of(1, body + b"\x42\0\0" + tail))
    elif broken == "long":
        field = string(crc_of(2, body + b"\x44\0\0\0\0" + tail))
    elif broken == "absent":
        return array(*fields, head=head, tail=tail)
    return body + field + tail


def primary(
    crc: int = 2,
    *,
    head: bytes | None = None,
    broken: str = "",
    without: str = "",
    more: tuple[Field, ...] = (),
    **changed: Field,
) -> bytes:
    """A primary block, each with a sequence number of its own.

    Args:
        crc: the type of its checksum.
        head: of its array.
        broken: what is wrong with the checksum.
        without: a field to leave out.
        more: fields behind the lifetime: of fragments, or too many.
        changed: other values of the fields.
    """
    fields: dict[str, Field] = {
        "version": 7,
        "flags": REPORTS,
        "crc_type": crc,
        "to": RECEIVER,
        "source": SENDER,
        "report_to": SENDER,
        "created": [CREATED_MS, SEQUENCES.take()],
        "lifetime": LIFETIME_MS,
    }
    fields |= changed
    fields.pop(without, None)
    return checked([*fields.values(), *more], crc, head, broken=broken)


def block(
    kind: Field,
    number: Field,
    data: bytes,
    *,
    flags: Field = 0,
    crc: int = 0,
    crc_type: Field | None = None,
    content: bytes | None = None,
    head: bytes | None = None,
    broken: str = "",
    more: tuple[Field, ...] = (),
) -> bytes:
    """A canonical block; `content` instead of the byte string with its data."""
    shown = crc if crc_type is None else crc_type
    inside = string(data) if content is None else content
    return checked([kind, number, flags, shown, inside, *more], crc, head, broken=broken)


AGE = block(7, 2, item(1000))
TEXT = b"conformance"
PAYLOAD = block(1, 1, TEXT)


def bundle(*blocks: bytes, head: bytes = b"\x9f", tail: bytes = b"\xff") -> bytes:
    """A bundle of these blocks."""
    return head + b"".join(blocks) + tail


def plain(*extensions: bytes, payload: bytes = PAYLOAD, **fields: object) -> bytes:
    """A bundle with the age block and these extension blocks, but for these fields correct."""
    return bundle(primary(**fields), AGE, *extensions, payload)


def sdnv(value: int, *, pad: int = 0) -> bytes:
    """A self-delimiting number; `pad` leading groups of zeros."""
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return b"\x80" * pad + bytes(reversed(groups))
