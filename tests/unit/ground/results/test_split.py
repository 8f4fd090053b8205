from __future__ import annotations

from dtn.ltp.segment import DataSegment, Kind, ReportAckSegment, SessionId, encode
from ground.results.split import split_by_log
from roundtrip.framelog import Fate, FrameFate
from roundtrip.stages import Stage

UP, DOWN = SessionId(1, 100), SessionId(2, 200)


def frame(
    direction: str,
    session: SessionId,
    start: int,
    end: int,
    tx_ns: int,
    *,
    last: bool = False,
    arrives: bool = True,
) -> FrameFate:
    kind = Kind.RED_END_OF_BLOCK if last else Kind.RED
    segment = DataSegment(kind, session, 1, start, b"x" * (end - start), 9 if last else 0)
    return FrameFate(
        direction,
        0,
        end - start,
        tx_ns,
        tx_ns,
        tx_ns + 10,
        tx_ns + 1010 if arrives else None,
        Fate.DELIVERED if arrives else Fate.LOST,
        encode(segment)[:32],
    )


def test_delivered_is_when_the_block_was_first_whole(answered) -> None:
    record = answered()
    base = record.stamps[Stage.UPLINK_STARTED]
    fates = [
        frame("uplink", UP, 0, 50, base),
        frame("uplink", UP, 50, 100, base + 100, arrives=False),
        frame("uplink", UP, 100, 130, base + 200, last=True),
        frame("uplink", UP, 40, 100, base + 5000),
        frame("uplink", UP, 0, 130, base + 9000, last=True),
        frame("downlink", DOWN, 0, 30, base + 20_000_000, last=True, arrives=False),
        frame("downlink", DOWN, 0, 30, base + 25_000_000, last=True),
    ]
    (placed,) = split_by_log([record], fates)
    assert placed.split == "frame_log"
    assert placed.uncertainty_ns == 0
    assert placed.stamps[Stage.DELIVERED] == base + 5000 + 1010
    assert placed.stamps[Stage.FINISHED] == base + 6010 + 15_000_000
    assert placed.stamps[Stage.DOWNLINK_STARTED] == base + 20_000_000
    assert sum(placed.phases_ns.values()) == placed.loop_ns == record.loop_ns


def test_without_a_whole_block_in_the_log_the_estimate_stays(answered) -> None:
    record = answered()
    fates = [
        frame("uplink", UP, 0, 50, 0, last=True, arrives=False),
        frame("downlink", DOWN, 0, 30, 100, last=True),
    ]
    assert split_by_log([record], fates) == [record]
    assert split_by_log([record], []) == [record]


def test_of_two_sessions_with_the_question_the_first_to_be_whole_counts(answered) -> None:
    again = SessionId(1, 101)
    record = answered(uplink_sessions=(UP, again))
    base = record.stamps[Stage.UPLINK_STARTED]
    fates = [
        frame("uplink", UP, 0, 50, base, last=True, arrives=False),
        frame("uplink", again, 0, 50, base + 700, last=True),
        frame("downlink", DOWN, 0, 30, base + 20_000_000, last=True),
    ]
    (placed,) = split_by_log([record], fates)
    assert placed.stamps[Stage.DELIVERED] == base + 700 + 1010


def test_frames_that_are_no_data_segments_are_passed_over(answered) -> None:
    head = encode(ReportAckSegment(UP, 7))
    report_ack = FrameFate("uplink", 0, 4, 0, 0, 1, 2, Fate.DELIVERED, head)
    junk = FrameFate("uplink", 1, 2, 0, 0, 1, 2, Fate.DELIVERED, b"\xff\xff")
    empty = FrameFate("uplink", 2, 0, 0, 0, 1, 2, Fate.DELIVERED, b"")
    record = answered()
    assert split_by_log([record], [report_ack, junk, empty]) == [record]
