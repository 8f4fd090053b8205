"""LTP segments: byte vectors built by hand from RFC 5326 §3, and a refusal for each fault."""

from __future__ import annotations

import pytest

from dtn.errors import SegmentError
from dtn.ltp.segment import (
    CancelAckSegment,
    CancelSegment,
    DataSegment,
    Kind,
    ReportAckSegment,
    ReportSegment,
    Segment,
    SessionId,
    decode,
    encode,
    is_checkpoint,
    reason_name,
)

S = SessionId(1, 300)
HEAD = "01822c00"  # engine 1, session 300, no extensions

VECTORS: list[tuple[str, Segment]] = [
    ("00" + HEAD + "01" + "0a" + "03" + "616263", DataSegment(Kind.RED, S, 1, 10, b"abc")),
    (
        "01" + HEAD + "01" + "0a" + "01" + "07" + "08" + "61",
        DataSegment(Kind.RED_CHECKPOINT, S, 1, 10, b"a", 7, 8),
    ),
    (
        "02" + HEAD + "01" + "00" + "01" + "07" + "00" + "61",
        DataSegment(Kind.RED_END_OF_RED, S, 1, 0, b"a", 7, 0),
    ),
    (
        "03" + HEAD + "01" + "00" + "01" + "07" + "00" + "61",
        DataSegment(Kind.RED_END_OF_BLOCK, S, 1, 0, b"a", 7, 0),
    ),
    ("04" + HEAD + "01" + "05" + "01" + "61", DataSegment(Kind.GREEN, S, 1, 5, b"a")),
    ("07" + HEAD + "01" + "05" + "01" + "61", DataSegment(Kind.GREEN_END_OF_BLOCK, S, 1, 5, b"a")),
    (
        "08" + HEAD + "09" + "07" + "8148" + "64" + "02" + "0014" + "1e0a",
        ReportSegment(S, 9, 7, 200, 100, ((100, 120), (130, 140))),
    ),
    ("09" + HEAD + "09", ReportAckSegment(S, 9)),
    ("0c" + HEAD + "02", CancelSegment(Kind.CANCEL_BY_SENDER, S, 2)),
    ("0d" + HEAD, CancelAckSegment(Kind.CANCEL_ACK_TO_SENDER, S)),
    ("0e" + HEAD + "04", CancelSegment(Kind.CANCEL_BY_RECEIVER, S, 4)),
    ("0f" + HEAD, CancelAckSegment(Kind.CANCEL_ACK_TO_RECEIVER, S)),
]


@pytest.mark.parametrize(("data", "segment"), VECTORS)
def test_vectors(data: str, segment: Segment) -> None:
    assert encode(segment) == bytes.fromhex(data)
    assert decode(bytes.fromhex(data)) == segment


def test_64_bit_numbers() -> None:
    top = 2**64 - 1
    segment = DataSegment(Kind.RED_CHECKPOINT, SessionId(top, top), top, top, b"a", top, top)
    assert decode(encode(segment)) == segment


def test_extensions_are_skipped() -> None:
    header = bytes.fromhex("00 01 822c 21 00 02 aaaa c0 00".replace(" ", ""))
    trailer = bytes.fromhex("01 01 ff".replace(" ", ""))
    data = header + bytes.fromhex("010a03616263") + trailer
    assert decode(data) == DataSegment(Kind.RED, S, 1, 10, b"abc")
    for size in range(len(data)):
        with pytest.raises(SegmentError):
            decode(data[:size])


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        ("", 0),
        ("10" + HEAD, 0),  # version 1
        ("05" + HEAD, 0),  # undefined types
        ("06" + HEAD, 0),
        ("0a" + HEAD, 0),
        ("0b" + HEAD, 0),
        ("00018200", 4),  # header ends
        ("00" + HEAD + "010005" + "6162", 7),  # shorter than it says
        ("00" + HEAD + "0100" + "01" + "6162", 9),  # longer than it says
        ("03" + HEAD + "010001" + "00" + "00" + "61", 8),  # checkpoint serial 0
        ("08" + HEAD + "00" + "07" + "0a" + "00" + "01" + "000a", 5),  # report serial 0
        ("08" + HEAD + "09" + "07" + "0a" + "0a" + "01" + "000a", 7),  # empty scope
        ("08" + HEAD + "09" + "07" + "0a" + "00" + "00", 9),  # no claims
        ("08" + HEAD + "09" + "07" + "0a" + "00" + "8f7f" + "000a", 9),  # too many claims
        ("08" + HEAD + "09" + "07" + "0a" + "00" + "01" + "0000", 10),  # claim of nothing
        ("08" + HEAD + "09" + "07" + "0a" + "00" + "01" + "000b", 10),  # beyond the scope
        ("08" + HEAD + "09" + "07" + "0a" + "00" + "02" + "0002" + "0202", 12),  # touching
        ("09" + HEAD + "00", 5),
        ("0c" + HEAD, 5),  # no reason
        ("0d" + HEAD + "00", 5),  # trailing
    ],
)
def test_malformed(data: str, offset: int) -> None:
    with pytest.raises(SegmentError) as caught:
        decode(bytes.fromhex(data))
    assert caught.value.offset == offset


def test_names() -> None:
    assert [kind for kind in Kind if is_checkpoint(kind)] == [1, 2, 3]
    assert (reason_name(2), reason_name(77)) == ("RETRY_LIMIT", "reason 77")
