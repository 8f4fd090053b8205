from __future__ import annotations

from dataclasses import replace

import pytest

from dtn.ltp.segment import DataSegment, Kind, ReportAckSegment, ReportSegment, SessionId, encode
from ground.results.record import LoopRecord
from ground.results.split import data_session, split_by_log
from roundtrip.budget import Outcome
from roundtrip.framelog import Fate, FrameFate
from roundtrip.message import CLOCK_US
from roundtrip.stages import Stage
from roundtrip.units import NS_PER_MS

UP, DOWN = SessionId(1, 100), SessionId(2, 200)
FLIGHT_NS = 1010
"""From a frame's start to its arrival."""


def frame(
    direction: str,
    session: SessionId,
    start: int,
    end: int,
    tx_ns: int | None,
    *,
    last: bool = False,
    arrives: bool = True,
) -> FrameFate:
    kind = Kind.RED_END_OF_BLOCK if last else Kind.RED
    segment = DataSegment(kind, session, 1, start, b"x" * (end - start), 9 if last else 0)
    there = arrives and tx_ns is not None
    return FrameFate(
        direction,
        0,
        end - start,
        0,
        tx_ns,
        None if tx_ns is None else tx_ns + 10,
        tx_ns + FLIGHT_NS if there and tx_ns is not None else None,
        Fate.DELIVERED if there else Fate.LOST,
        encode(segment)[:32],
    )


def said(record: LoopRecord, at_ns: int) -> LoopRecord:
    """The record with the node's word that it had the question at a time of its clock."""
    assert record.node_times is not None
    times = replace(record.node_times, delivered_us=at_ns // 1000 % CLOCK_US)
    return replace(record, node_times=times)


@pytest.fixture
def record(answered) -> LoopRecord:
    """Submitted at 1 ms, answered at 36 ms; the node needed 15 ms."""
    return answered(settled_ns=37 * NS_PER_MS)


BASE = 3 * NS_PER_MS
ANSWER = frame("downlink", DOWN, 0, 300, 20 * NS_PER_MS, last=True)


def test_delivered_is_the_arrival_that_the_node_means(record) -> None:
    fates = [
        frame("uplink", UP, 0, 50, None),
        frame("uplink", UP, 0, 50, BASE + 7),
        frame("uplink", UP, 50, 100, BASE + 100, arrives=False),
        frame("uplink", UP, 100, 130, BASE + 200, last=True),
        frame("uplink", UP, 40, 100, BASE + 500_000),
        frame("uplink", UP, 0, 130, BASE + 900_000, last=True),
        frame("downlink", DOWN, 0, 30, 20 * NS_PER_MS, last=True, arrives=False),
        frame("downlink", DOWN, 0, 30, 25 * NS_PER_MS, last=True),
    ]
    for tx_ns in (BASE + 500_000, BASE + 900_000):
        arrival_ns = tx_ns + FLIGHT_NS
        (placed,) = split_by_log([said(record, arrival_ns)], fates)
        assert (placed.split, placed.uncertainty_ns) == ("frame_log", 0)
        assert placed.stamps[Stage.UPLINK_STARTED] == BASE + 7
        assert placed.stamps[Stage.DELIVERED] == arrival_ns
        assert placed.stamps[Stage.STARTED] == arrival_ns + 4 * NS_PER_MS
        assert placed.stamps[Stage.FIRST_TOKEN] == arrival_ns + 9 * NS_PER_MS
        assert placed.stamps[Stage.FINISHED] == arrival_ns + 15 * NS_PER_MS
        assert placed.stamps[Stage.DOWNLINK_STARTED] == 20 * NS_PER_MS
        assert sum(placed.phases_ns.values()) == placed.loop_ns == record.loop_ns


def test_a_frame_before_the_block_can_have_been_whole_is_not_meant(record) -> None:
    fates = [
        frame("uplink", UP, 0, 50, BASE),
        frame("uplink", UP, 50, 100, BASE + 2_000_000, last=True),
        ANSWER,
    ]
    only_half = said(record, BASE + FLIGHT_NS)
    assert split_by_log([only_half], fates) == [only_half]


@pytest.mark.parametrize(("reading_us", "exact"), [(0, True), (100_000, True), (100_001, False)])
def test_the_node_may_take_a_while_to_read_but_not_before_the_frame_is_there(
    record, reading_us: int, exact: bool
) -> None:
    fates = [frame("uplink", UP, 0, 50, BASE, last=True), ANSWER]
    arrival_ns = BASE + FLIGHT_NS
    (placed,) = split_by_log([said(record, arrival_ns + reading_us * 1000)], fates)
    assert (placed.split == "frame_log") is exact
    if exact:
        assert placed.stamps[Stage.DELIVERED] == arrival_ns
    early = said(record, arrival_ns - 1000)
    assert split_by_log([early], fates) == [early]


def test_the_nodes_clock_may_have_gone_round(answered) -> None:
    hours_ns = 5 * CLOCK_US * 1000
    stamps = {stage: at_ns + hours_ns for stage, at_ns in answered().stamps.items()}
    late = answered(stamps=stamps, settled_ns=stamps[Stage.ANSWERED])
    fates = [
        frame("uplink", UP, 0, 50, hours_ns + BASE, last=True),
        frame("downlink", DOWN, 0, 300, hours_ns + 20 * NS_PER_MS, last=True),
    ]
    (placed,) = split_by_log([said(late, hours_ns + BASE + FLIGHT_NS)], fates)
    assert placed.stamps[Stage.DELIVERED] == hours_ns + BASE + FLIGHT_NS


def test_without_the_block_or_the_nodes_word_in_the_log_the_estimate_stays(record) -> None:
    lost = [frame("uplink", UP, 0, 50, BASE, last=True, arrives=False), ANSWER]
    told = said(record, BASE + FLIGHT_NS)
    assert split_by_log([told], lost) == [told]
    assert split_by_log([told], []) == [told]
    there = [frame("uplink", UP, 0, 50, BASE, last=True)]
    assert split_by_log([told], there) == [told], "no answer in the log"
    assert split_by_log([record], [*there, ANSWER]) == [record], "from before it was said"


def test_an_answer_that_left_before_it_was_finished_is_a_contradiction(record) -> None:
    told = said(record, BASE + FLIGHT_NS)
    finished_ns = BASE + FLIGHT_NS + 15 * NS_PER_MS
    question = frame("uplink", UP, 0, 50, BASE, last=True)
    for tx_ns, exact in ((finished_ns, True), (finished_ns - 1, False)):
        fates = [question, frame("downlink", DOWN, 0, 300, tx_ns, last=True)]
        (placed,) = split_by_log([told], fates)
        assert (placed.split == "frame_log") is exact


def test_of_two_sessions_with_the_question_the_node_says_which(answered, record) -> None:
    again = SessionId(1, 101)
    both = replace(record, uplink_sessions=(UP, again))
    fates = [
        frame("uplink", UP, 0, 50, BASE, last=True),
        frame("uplink", again, 0, 50, BASE + 700_000, last=True),
        ANSWER,
    ]
    for tx_ns in (BASE, BASE + 700_000):
        (placed,) = split_by_log([said(both, tx_ns + FLIGHT_NS)], fates)
        assert placed.stamps[Stage.DELIVERED] == tx_ns + FLIGHT_NS
        assert placed.stamps[Stage.UPLINK_STARTED] == BASE


STRAY = SessionId(2, 199)
FINISHED_NS = BASE + FLIGHT_NS + 15 * NS_PER_MS


def report(session: SessionId, handed_ns: int, size: int, upto: int) -> FrameFate:
    head = encode(ReportSegment(session, 5, 9, size, 0, ((0, upto),)))
    return FrameFate("uplink", 0, len(head), handed_ns, None, None, None, Fate.LOST, head)


@pytest.mark.parametrize(
    ("stray", "length", "began_ns", "also", "doubt"),
    [
        (STRAY, 300, FINISHED_NS, [], True),
        (STRAY, 292, FINISHED_NS, [], True),
        (STRAY, 107, FINISHED_NS, [], False),
        (STRAY, 301, FINISHED_NS, [], False),
        (STRAY, None, FINISHED_NS, [], True),
        (STRAY, 300, FINISHED_NS - 1, [], False),
        (STRAY, 300, 20 * NS_PER_MS - 1, [], True),
        (STRAY, 300, 20 * NS_PER_MS, [], False),
        (SessionId(2, 200 + (1 << 20)), 30, FINISHED_NS, [], True),
        (SessionId(2, 199 + (1 << 20)), 30, FINISHED_NS, [], False),
        (STRAY, 300, FINISHED_NS, [report(STRAY, 36 * NS_PER_MS - 1, 300, 300)], False),
        (STRAY, 300, FINISHED_NS, [report(STRAY, 36 * NS_PER_MS, 300, 300)], True),
        (STRAY, 300, FINISHED_NS, [report(STRAY, 25 * NS_PER_MS, 300, 299)], True),
    ],
)
def test_a_session_that_nobody_knows_may_have_carried_the_answer_before(
    record, stray: SessionId, length: int | None, began_ns: int, also: list, doubt: bool
) -> None:
    assert record.stamps[Stage.ANSWERED] == 36 * NS_PER_MS
    end = 30 if length is None else length
    fates = [
        frame("uplink", UP, 0, 50, BASE, last=True),
        frame("downlink", stray, 0, end, began_ns, last=length is not None, arrives=False),
        ANSWER,
        *also,
    ]
    (placed,) = split_by_log([said(record, BASE + FLIGHT_NS)], fates)
    assert placed.stamps[Stage.DELIVERED] == BASE + FLIGHT_NS
    assert placed.stamps[Stage.DOWNLINK_STARTED] == (began_ns if doubt else 20 * NS_PER_MS)
    assert placed.split == ("estimate" if doubt else "frame_log")
    assert placed.uncertainty_ns == (20 * NS_PER_MS - began_ns + 1000 if doubt else 0)


def test_a_session_of_another_record_is_no_stray(answered, record) -> None:
    other = answered(1, uplink_sessions=(SessionId(1, 101),), downlink_session=STRAY)
    fates = [
        frame("uplink", UP, 0, 50, BASE, last=True),
        frame("downlink", STRAY, 0, 300, FINISHED_NS, last=True),
        ANSWER,
    ]
    placed, _ = split_by_log([said(record, BASE + FLIGHT_NS), other], fates)
    assert placed.split == "frame_log"


def test_a_question_that_may_have_left_before_a_restart_keeps_its_estimate(record) -> None:
    told = said(record, BASE + FLIGHT_NS)
    before = frame("uplink", SessionId(1, 1 << 30), 0, 70, 2 * NS_PER_MS, last=True)
    fates = [before, frame("uplink", UP, 0, 50, BASE, last=True), ANSWER]
    assert told.stamps[Stage.SUBMITTED] == NS_PER_MS
    assert split_by_log([told], fates) == [told]
    earlier = replace(before, tx_start_ns=NS_PER_MS - 1)
    (placed,) = split_by_log([told], [earlier, *fates[1:]])
    assert placed.split == "frame_log", "it was not asked yet"


@pytest.mark.parametrize(
    ("tx_ns", "stamped"), [(50 * NS_PER_MS, True), (50 * NS_PER_MS + 1, False), (None, False)]
)
def test_what_left_only_after_the_question_had_expired_has_not_left(
    record, tx_ns: int | None, stamped: bool
) -> None:
    stamps = {s: record.stamps[s] for s in (Stage.INTENDED, Stage.SUBMITTED, Stage.UPLINK_STARTED)}
    expired = replace(
        record, outcome=Outcome.EXPIRED, stamps=stamps, node_times=None, downlink_session=None,
        settled_ns=50 * NS_PER_MS, uncertainty_ns=9,
    )  # fmt: skip
    (placed,) = split_by_log([expired], [frame("uplink", UP, 0, 50, tx_ns, last=True)])
    assert placed.stamps.get(Stage.UPLINK_STARTED) == (tx_ns if stamped else None)
    assert (placed.split, placed.uncertainty_ns) == ("frame_log", 0)


def test_frames_that_are_no_data_segments_are_passed_over(record) -> None:
    head = encode(ReportAckSegment(UP, 7))
    heads = [head, b"\xff\xff", b"", b"\x08\x01", head[:2]]
    fates = [FrameFate("uplink", 0, len(h), 0, 0, 1, 2, Fate.DELIVERED, h) for h in heads]
    assert split_by_log([record], fates) == [record]
    assert [data_session(h) for h in heads] == [None] * len(heads)
