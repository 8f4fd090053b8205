"""The blocks of a bundle: the primary block and the canonical blocks, to and from bytes.

A block is encoded on its own, with its own checksum, so that one block can change (the age) without
touching the others. Nothing here may accept a block whose checksum is wrong, or look into a block
type it does not know. Standard: RFC 9171 §4.3 and §4.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from dtn.bpv7 import cbor
from dtn.bpv7.crc import CRC_32C, CRC_BYTES, CRC_NONE, crc
from dtn.bpv7.eid import NULL_EID, encode_eid, is_null, read_eid, read_eid_as_written
from dtn.errors import BundleError

VERSION = 7

IS_FRAGMENT = 0x000001
IS_ADMIN_RECORD = 0x000002
MUST_NOT_FRAGMENT = 0x000004
ACK_REQUESTED = 0x000020
STATUS_TIME_REQUESTED = 0x000040
REPORT_FLAGS = 0x074000
"""Requests for status reports of reception, forwarding, delivery and deletion."""

PAYLOAD = 1
PREVIOUS_NODE = 6
BUNDLE_AGE = 7
HOP_COUNT = 10

PAYLOAD_NUMBER = 1
"""The block number of every payload block."""

REPLICATE_BLOCK = 0x01
REPORT_IF_UNPROCESSED = 0x02
DELETE_BUNDLE_IF_UNPROCESSED = 0x04
DISCARD_BLOCK_IF_UNPROCESSED = 0x10

_MAX_HOP_LIMIT = 255


@dataclass(frozen=True, slots=True)
class PrimaryBlock:
    """What a bundle is, where it goes, and how long it matters (RFC 9171 §4.3.1)."""

    destination: str
    source: str
    creation_ms: int
    """DTN time: milliseconds since 2000-01-01 UTC; 0 when the source had no clock."""
    sequence: int
    lifetime_ms: int
    report_to: str = NULL_EID
    flags: int = 0
    crc_type: int = CRC_32C
    fragment_offset: int | None = None
    """Where this fragment's payload starts in the original's; None for a whole bundle."""
    total_bytes: int | None = None
    """Length of the original payload; None for a whole bundle."""
    ipn_numbers: tuple[int, int, int] = (2, 2, 2)
    """In how many numbers destination, source and report-to are written, where they are ipn ids
    (RFC 9758 §6.1). It makes no difference but to signatures, which cover it."""

    @property
    def may_report(self) -> bool:
        """Whether status reports may be asked for: not by records, nor anonymously (§4.2.3)."""
        return not (self.flags & IS_ADMIN_RECORD or is_null(self.source))


@dataclass(frozen=True, slots=True)
class CanonicalBlock:
    """Any block but the primary one: its header and its data, unopened (RFC 9171 §4.3.2)."""

    type_code: int
    number: int
    data: bytes
    flags: int = 0
    crc_type: int = CRC_32C


def encode_primary(block: PrimaryBlock) -> bytes:
    """Encode a primary block.

    Raises:
        ValueError: an endpoint id is malformed, or a number does not fit.
    """
    fragment = block.fragment_offset is not None and block.total_bytes is not None
    flags = block.flags | IS_FRAGMENT if fragment else block.flags & ~IS_FRAGMENT
    uint = cbor.uint
    parts = [
        bytes((0x80 | (8 + 2 * fragment + (block.crc_type != CRC_NONE)), VERSION)),
        uint(flags),
        uint(block.crc_type),
        encode_eid(block.destination, numbers=block.ipn_numbers[0]),
        encode_eid(block.source, numbers=block.ipn_numbers[1]),
        encode_eid(block.report_to, numbers=block.ipn_numbers[2]),
        b"\x82",
        uint(block.creation_ms),
        uint(block.sequence),
        uint(block.lifetime_ms),
    ]
    if block.fragment_offset is not None and block.total_bytes is not None:
        parts += [uint(block.fragment_offset), uint(block.total_bytes)]
    return _with_crc(b"".join(parts), block.crc_type)


def encode_canonical(block: CanonicalBlock) -> bytes:
    """Encode a canonical block."""
    uint = cbor.uint
    body = b"".join(
        (
            b"\x85" if block.crc_type == CRC_NONE else b"\x86",
            uint(block.type_code),
            uint(block.number),
            uint(block.flags),
            uint(block.crc_type),
            cbor.head(2, len(block.data)),
            block.data,
        )
    )
    return _with_crc(body, block.crc_type)


def read_primary(data: bytes, at: int) -> tuple[PrimaryBlock, int]:
    """Read a primary block; return it and the offset behind it."""
    read_uint = cbor.read_uint
    count, after = cbor.open_array(data, at)
    version, after = read_uint(data, after)
    if version != VERSION:
        raise BundleError(after - 1, "bundle protocol version 7", str(version))
    flags_at = after
    flags, after = read_uint(data, after)
    crc_type, after = _read_crc_type(data, after)
    fragment = flags & IS_FRAGMENT
    expected = 8 + 2 * fragment + (crc_type != CRC_NONE)
    if count not in (expected, cbor.INDEFINITE):
        raise BundleError(at, f"array of {expected}", f"array of {count}")
    destination, first, after = read_eid_as_written(data, after)
    source, second, after = read_eid_as_written(data, after)
    report_to, third, after = read_eid_as_written(data, after)
    stamp_open, after = cbor.open_pair(data, after)
    creation_ms, after = read_uint(data, after)
    sequence, after = read_uint(data, after)
    if stamp_open:
        after = cbor.close_array(data, after)
    lifetime_ms, after = read_uint(data, after)
    fragment_offset: int | None = None
    total_bytes: int | None = None
    if fragment:
        fragment_offset, after = read_uint(data, after)
        total_bytes, after = read_uint(data, after)
    after = _check_crc(data, at, after, crc_type, count == cbor.INDEFINITE)
    block = PrimaryBlock(
        destination,
        source,
        creation_ms,
        sequence,
        lifetime_ms,
        report_to,
        flags,
        crc_type,
        fragment_offset,
        total_bytes,
        (first, second, third),
    )
    _check_flags(block, flags_at)
    return block, after


def read_canonical(data: bytes, at: int) -> tuple[CanonicalBlock, int]:
    """Read a canonical block, checking the content of the types RFC 9171 defines."""
    read_uint = cbor.read_uint
    count, after = cbor.open_array(data, at)
    type_code, after = read_uint(data, after)
    number, after = read_uint(data, after)
    flags, after = read_uint(data, after)
    crc_type, after = _read_crc_type(data, after)
    expected = 5 if crc_type == CRC_NONE else 6
    if count not in (expected, cbor.INDEFINITE):
        raise BundleError(at, f"array of {expected}", f"array of {count}")
    start, end = cbor.read_bytes(data, after)
    after = _check_crc(data, at, end, crc_type, count == cbor.INDEFINITE)
    if type_code == BUNDLE_AGE:
        _end_of_content(cbor.read_uint(data, start)[1], end)
    elif type_code == HOP_COUNT:
        _read_hop_count(data, start, end)
    elif type_code == PREVIOUS_NODE:
        _end_of_content(read_eid(data, start)[1], end)
    return CanonicalBlock(type_code, number, data[start:end], flags, crc_type), after


def age_block(age_ms: int, number: int) -> CanonicalBlock:
    """A bundle age block (RFC 9171 §4.4.2)."""
    return CanonicalBlock(BUNDLE_AGE, number, cbor.uint(age_ms), flags=REPLICATE_BLOCK)


def hop_count_block(limit: int, count: int, number: int) -> CanonicalBlock:
    """A hop count block (RFC 9171 §4.4.3); the limit is 1 to 255."""
    if not 1 <= limit <= _MAX_HOP_LIMIT:
        raise ValueError(f"hop limit {limit} is not in 1..{_MAX_HOP_LIMIT}")
    data = b"\x82" + cbor.uint(limit) + cbor.uint(count)
    return CanonicalBlock(HOP_COUNT, number, data, flags=REPLICATE_BLOCK)


def previous_node_block(eid: str, number: int) -> CanonicalBlock:
    """A previous node block (RFC 9171 §4.4.1)."""
    return CanonicalBlock(PREVIOUS_NODE, number, encode_eid(eid), flags=REPLICATE_BLOCK)


def age_of(block: CanonicalBlock) -> int:
    """The age in a bundle age block, in milliseconds."""
    return cbor.read_uint(block.data, 0)[0]


def hops_of(block: CanonicalBlock) -> tuple[int, int]:
    """The limit and the count in a hop count block."""
    return _read_hop_count(block.data, 0, len(block.data))


def node_of(block: CanonicalBlock) -> str:
    """The endpoint id in a previous node block."""
    return read_eid(block.data, 0)[0]


def _read_hop_count(data: bytes, start: int, end: int) -> tuple[int, int]:
    pair_open, at = cbor.open_pair(data, start)
    limit, after = cbor.read_uint(data, at)
    if not 1 <= limit <= _MAX_HOP_LIMIT:
        raise BundleError(at, "hop limit 1 to 255", str(limit))
    count, after = cbor.read_uint(data, after)
    if pair_open:
        after = cbor.close_array(data, after)
    _end_of_content(after, end)
    return limit, count


def _end_of_content(after: int, end: int) -> None:
    if after != end:
        raise BundleError(min(after, end), "content that fills its block", f"{end - after} more")


def _check_flags(block: PrimaryBlock, at: int) -> None:
    """Refuse the combinations RFC 9171 §4.2.3 forbids."""
    flags = block.flags
    if flags & REPORT_FLAGS and not block.may_report:
        raise BundleError(at, "no status report requests", f"flags 0x{flags:x}")
    if is_null(block.source) and not flags & MUST_NOT_FRAGMENT:
        raise BundleError(at, "must-not-fragment on an anonymous bundle", f"flags 0x{flags:x}")


def _read_crc_type(data: bytes, at: int) -> tuple[int, int]:
    crc_type, after = cbor.read_uint(data, at)
    if crc_type > CRC_32C:
        raise BundleError(at, "CRC type 0, 1 or 2", str(crc_type))
    return crc_type, after


def _with_crc(body: bytes, crc_type: int) -> bytes:
    """Append the CRC field, computed over the body and the field itself as zeros."""
    size = CRC_BYTES[crc_type]
    if not size:
        return body
    body += bytes((0x40 | size,))
    return body + crc(crc_type, body + bytes(size))


def _check_crc(data: bytes, start: int, at: int, crc_type: int, indefinite: bool) -> int:
    """Check the CRC field at an offset, and the break behind it; return the block's end."""
    size = CRC_BYTES[crc_type]
    if not size:
        return cbor.close_array(data, at) if indefinite else at
    if at < len(data) and data[at] != 0x40 | size:
        raise BundleError(at, f"byte string of {size}", cbor.describe(data, at))
    field = at + 1
    end = field + size
    if end > len(data):
        raise BundleError(at, f"{size} byte CRC", "end of data")
    covered = data[start:field] + bytes(size)
    if indefinite:
        covered += b"\xff"
    wanted = crc(crc_type, covered)
    if data[field:end] != wanted:
        raise BundleError(field, f"CRC {wanted.hex()}", data[field:end].hex())
    return cbor.close_array(data, end) if indefinite else end
