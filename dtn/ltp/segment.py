"""LTP segments: data, report, report acknowledgment, cancellation and its acknowledgment.

`decode` must never raise anything but `SegmentError`, nor allocate by a length only claimed. Header
and trailer extensions are checked for shape and skipped. Standard: RFC 5326 §3.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from dtn.errors import SegmentError
from dtn.ltp.sdnv import encode_sdnv, read_sdnv


class SessionId(NamedTuple):
    """A session: the engine that sends the block, and a number of its choosing (RFC 5326 §3.1)."""

    originator: int
    number: int


class Kind(IntEnum):
    """Segment type codes (RFC 5326 §3.1.2); the four undefined ones are refused."""

    RED = 0
    RED_CHECKPOINT = 1
    RED_END_OF_RED = 2
    RED_END_OF_BLOCK = 3
    GREEN = 4
    GREEN_END_OF_BLOCK = 7
    REPORT = 8
    REPORT_ACK = 9
    CANCEL_BY_SENDER = 12
    CANCEL_ACK_TO_SENDER = 13
    CANCEL_BY_RECEIVER = 14
    CANCEL_ACK_TO_RECEIVER = 15


class CancelReason(IntEnum):
    """Why a session was cancelled (RFC 5326 §3.2.4)."""

    USER = 0
    UNREACHABLE_SERVICE = 1
    RETRY_LIMIT = 2
    MISCOLORED = 3
    SYSTEM = 4
    RETRANSMISSION_CYCLES = 5


@dataclass(frozen=True, slots=True)
class DataSegment:
    """A piece of a block; a checkpoint when its kind is RED_CHECKPOINT to RED_END_OF_BLOCK."""

    kind: Kind
    session: SessionId
    service: int
    """The client service the block is for; 1 is the bundle protocol."""
    offset: int
    data: bytes
    checkpoint: int = 0
    """Serial number of the checkpoint; 0 on a segment that is none."""
    report: int = 0
    """Serial number of the report this checkpoint answers; 0 when it answers none."""


@dataclass(frozen=True, slots=True)
class ReportSegment:
    """What the receiver has of a stretch of the block."""

    session: SessionId
    report: int
    checkpoint: int
    """Serial number of the checkpoint it answers; 0 when it was sent unasked."""
    upper: int
    lower: int
    claims: tuple[tuple[int, int], ...]
    """(start, end) in the block, ascending, apart; on the wire (offset from lower, length)."""


@dataclass(frozen=True, slots=True)
class ReportAckSegment:
    """The sender has this report."""

    session: SessionId
    report: int


@dataclass(frozen=True, slots=True)
class CancelSegment:
    """One side gives the session up. The kind says which."""

    kind: Kind
    session: SessionId
    reason: int


@dataclass(frozen=True, slots=True)
class CancelAckSegment:
    """The other side has seen it. The kind says which."""

    kind: Kind
    session: SessionId


Segment = DataSegment | ReportSegment | ReportAckSegment | CancelSegment | CancelAckSegment

_KINDS: tuple[Kind | None, ...] = tuple(
    Kind(code) if code in Kind.__members__.values() else None for code in range(16)
)
_REASONS = tuple(CancelReason)


def encode(segment: Segment) -> bytes:
    """Encode a segment, without extensions."""
    if isinstance(segment, DataSegment):
        prefix = header(segment.kind, segment.session) + encode_sdnv(segment.service)
        serials = b""
        if is_checkpoint(segment.kind):
            serials = encode_sdnv(segment.checkpoint) + encode_sdnv(segment.report)
        size = encode_sdnv(len(segment.data))
        return b"".join((prefix, encode_sdnv(segment.offset), size, serials, segment.data))
    if isinstance(segment, ReportSegment):
        return _encode_report(segment)
    if isinstance(segment, ReportAckSegment):
        return header(Kind.REPORT_ACK, segment.session) + encode_sdnv(segment.report)
    if isinstance(segment, CancelSegment):
        return header(segment.kind, segment.session) + bytes((segment.reason,))
    return header(segment.kind, segment.session)


def decode(data: bytes) -> Segment:
    """Decode exactly one segment.

    Raises:
        SegmentError: the bytes are anything else.
    """
    segment, end = decode_from(data, 0)
    if end != len(data):
        raise SegmentError(end, "end of segment", f"{len(data) - end} more bytes")
    return segment


def decode_from(data: bytes, at: int) -> tuple[Segment, int]:
    """Decode the segment that starts at an offset; return it and the offset behind it."""
    if at >= len(data):
        raise SegmentError(at, "control byte", "end of data")
    control = data[at]
    kind = _KINDS[control & 0x0F]
    if control >> 4:
        raise SegmentError(at, "LTP version 0", str(control >> 4))
    if kind is None:
        raise SegmentError(at, "a defined segment type", str(control & 0x0F))
    originator, after = read_sdnv(data, at + 1)
    number, after = read_sdnv(data, after)
    session = SessionId(originator, number)
    if after >= len(data):
        raise SegmentError(after, "extension counts", "end of data")
    extensions = data[after]
    after += 1
    if extensions >> 4:
        after = _skip_extensions(data, after, extensions >> 4)
    segment: Segment
    if kind <= Kind.GREEN_END_OF_BLOCK:
        segment, after = _read_data(data, after, kind, session)
    elif kind == Kind.REPORT:
        segment, after = _read_report(data, after, session)
    elif kind == Kind.REPORT_ACK:
        report, after = _read_serial(data, after, "report serial number")
        segment = ReportAckSegment(session, report)
    elif kind in (Kind.CANCEL_BY_SENDER, Kind.CANCEL_BY_RECEIVER):
        if after >= len(data):
            raise SegmentError(after, "reason code", "end of data")
        segment = CancelSegment(kind, session, data[after])
        after += 1
    else:
        segment = CancelAckSegment(kind, session)
    if extensions & 0x0F:
        after = _skip_extensions(data, after, extensions & 0x0F)
    return segment, after


def header(kind: int, session: SessionId) -> bytes:
    """The header of a segment without extensions."""
    return b"".join(
        (bytes((kind,)), encode_sdnv(session.originator), encode_sdnv(session.number), b"\x00")
    )


def reason_name(code: int) -> str:
    """The name of a cancellation's reason code, which may be any byte."""
    return CancelReason(code).name if code in _REASONS else f"reason {code}"


def is_checkpoint(kind: int) -> bool:
    """Whether a data segment of this kind asks for a report."""
    return Kind.RED_CHECKPOINT <= kind <= Kind.RED_END_OF_BLOCK


def _encode_report(segment: ReportSegment) -> bytes:
    parts = [
        header(Kind.REPORT, segment.session),
        encode_sdnv(segment.report),
        encode_sdnv(segment.checkpoint),
        encode_sdnv(segment.upper),
        encode_sdnv(segment.lower),
        encode_sdnv(len(segment.claims)),
    ]
    for start, end in segment.claims:
        parts += (encode_sdnv(start - segment.lower), encode_sdnv(end - start))
    return b"".join(parts)


def _read_data(data: bytes, at: int, kind: Kind, session: SessionId) -> tuple[DataSegment, int]:
    service, after = read_sdnv(data, at)
    offset, after = read_sdnv(data, after)
    length_at = after
    length, after = read_sdnv(data, after)
    checkpoint = report = 0
    if Kind.RED_CHECKPOINT <= kind <= Kind.RED_END_OF_BLOCK:
        checkpoint, after = _read_serial(data, after, "checkpoint serial number")
        report, after = read_sdnv(data, after)
    end = after + length
    if end > len(data):
        raise SegmentError(length_at, f"{length} bytes of data", f"{len(data) - after} bytes")
    content = data[after:end]
    return DataSegment(kind, session, service, offset, content, checkpoint, report), end


def _read_report(data: bytes, at: int, session: SessionId) -> tuple[ReportSegment, int]:
    report, after = _read_serial(data, at, "report serial number")
    checkpoint, after = read_sdnv(data, after)
    upper_at = after
    upper, after = read_sdnv(data, after)
    lower, after = read_sdnv(data, after)
    if lower >= upper:
        raise SegmentError(upper_at, "upper bound above the lower", f"{upper} and {lower}")
    count_at = after
    count, after = read_sdnv(data, after)
    if not 1 <= count <= (len(data) - after) // 2:
        raise SegmentError(count_at, "as many claims as there are bytes for", str(count))
    claims: list[tuple[int, int]] = []
    least = lower
    for _ in range(count):
        claim_at = after
        offset, after = read_sdnv(data, after)
        length, after = read_sdnv(data, after)
        start = lower + offset
        end = start + length
        if start < least or not length or end > upper:
            expected = f"a claim within {least}..{upper}, apart from the one before"
            raise SegmentError(claim_at, expected, f"{start}..{end}")
        claims.append((start, end))
        least = end + 1
    return ReportSegment(session, report, checkpoint, upper, lower, tuple(claims)), after


def _read_serial(data: bytes, at: int, what: str) -> tuple[int, int]:
    serial, after = read_sdnv(data, at)
    if not serial:
        raise SegmentError(at, f"{what} other than 0", "0")
    return serial, after


def _skip_extensions(data: bytes, at: int, count: int) -> int:
    """Step over TLV extensions; their values are nobody's business yet."""
    for _ in range(count):
        if at >= len(data):
            raise SegmentError(at, "extension tag", "end of data")
        length, after = read_sdnv(data, at + 1)
        end = after + length
        if end > len(data):
            raise SegmentError(at, f"extension of {length} bytes", f"{len(data) - after} bytes")
        at = end
    return at
