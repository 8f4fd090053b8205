"""The LTP engine as it sends, one behaviour at a time, with times worked out by hand."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from dtn.errors import LtpLimitError
from dtn.ltp.engine import (
    BlockAcknowledged,
    BlockReceived,
    LtpEngine,
    LtpOutput,
    ReceiveCancelled,
    Rejected,
    SendFailed,
    SessionId,
)
from dtn.ltp.segment import (
    CancelAckSegment,
    CancelSegment,
    DataSegment,
    Kind,
    ReportAckSegment,
    ReportSegment,
    decode,
    encode,
)
from tests.unit.dtn.ltp.engines import (
    ANSWER_NS,
    MARGIN_NS,
    MS,
    block_of,
    config,
    engine,
    frames,
    give,
    segments,
    up,
)

# Sending


def test_a_block_leaves_in_segments_with_one_checkpoint_at_the_end() -> None:
    sender = engine()
    session = sender.submit(block_of(300), now_ns=0)
    first = sender.next_segment(now_ns=0)
    assert first is not None
    assert first[1] == session
    rest = segments(sender, 0)
    data = [decode(first[0]), *rest]
    assert all(isinstance(segment, DataSegment) for segment in data)
    assert b"".join(s.data for s in data if isinstance(s, DataSegment)) == block_of(300)
    kinds = [s.kind for s in data if isinstance(s, DataSegment)]
    assert kinds == [Kind.RED] * (len(kinds) - 1) + [Kind.RED_END_OF_BLOCK]
    assert not sender.has_pending
    assert sender.next_segment(now_ns=0) is None


def test_a_block_without_a_priority_has_that_of_zero() -> None:
    sender = engine()
    first = sender.submit(block_of(10), now_ns=0)
    second = sender.submit(block_of(10), priority=0, now_ns=0)
    third = sender.submit(block_of(10), now_ns=0)
    order = [found[1] for _ in range(3) if (found := sender.next_segment(now_ns=0)) is not None]
    assert order == [first, second, third]


@pytest.mark.parametrize("size_bytes", [1, 96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 500])
def test_no_segment_exceeds_the_mtu(size_bytes: int) -> None:
    sender = engine()
    sender.submit(block_of(size_bytes), now_ns=0)
    sent = frames(sender, 0)
    assert all(len(frame) <= 120 for frame in sent)
    data = [decode(frame) for frame in sent]
    assert b"".join(s.data for s in data if isinstance(s, DataSegment)) == block_of(size_bytes)
    assert all(s.data for s in data if isinstance(s, DataSegment))


def test_the_whole_exchange() -> None:
    sender, receiver = engine(1, 2), engine(2, 1)
    session = sender.submit(block_of(300), now_ns=0)
    outputs = give(receiver, frames(sender, 0), 10)
    assert outputs == [BlockReceived(session, block_of(300), 10)]
    assert frames(receiver, 10) == []
    assert receiver.accept(session, now_ns=20) == []
    assert receiver.accept(session, now_ns=20) == []
    reports = frames(receiver, 20)
    assert len(reports) == 1
    assert give(sender, reports, 30) == [BlockAcknowledged(session)]
    assert sender.deadline is None
    assert give(receiver, frames(sender, 30), 40) == []
    assert receiver.deadline is None


def test_checkpoint_timer_starts_when_the_checkpoint_leaves() -> None:
    sender = engine()
    sender.submit(b"x", now_ns=0)
    assert sender.deadline is None
    frames(sender, 7 * MS)
    assert sender.deadline == (7 * MS + ANSWER_NS, "checkpoint")
    assert sender.timeout(now_ns=7 * MS + ANSWER_NS - 1) == []
    assert not sender.has_pending
    assert sender.timeout(now_ns=7 * MS + ANSWER_NS) == []
    again = segments(sender, 300 * MS)
    assert len(again) == 1
    assert sender.deadline == (300 * MS + ANSWER_NS, "checkpoint")
    assert sender.timeout(now_ns=300 * MS) == []


def test_rates_count_in_the_timer() -> None:
    """100 bytes at 8 kbit/s take 100 ms; the answer may wait for two frames of 120 bytes."""
    sender = engine()
    sender.carrier(
        tx_up=True, rx_up=True, one_way_ns=0, now_ns=0, tx_rate_bps=8_000, rx_rate_bps=16_000
    )
    sender.submit(block_of(80), now_ns=0)
    leaving = sender.next_segment(now_ns=0, start_ns=1_000 * MS)
    assert leaving is not None
    last_bit_ns = 1_000 * MS + len(leaving[0]) * MS
    assert sender.deadline == (last_bit_ns + MARGIN_NS + 120 * MS, "checkpoint")


def test_a_repeated_checkpoint_is_the_same_segment() -> None:
    sender = engine()
    sender.submit(block_of(200), now_ns=0)
    last = frames(sender, 0)[-1]
    sender.timeout(now_ns=ANSWER_NS)
    assert frames(sender, ANSWER_NS) == [last]


def test_retry_limit_ends_the_session_with_a_cancel() -> None:
    sender = engine(retry_limit=3)
    session = sender.submit(b"x", now_ns=0)
    now_ns, sent = 0, 0
    outputs: list[LtpOutput] = []
    while not outputs:
        sent += len(frames(sender, now_ns))
        deadline = sender.deadline
        assert deadline is not None
        now_ns = deadline[0]
        outputs = sender.timeout(now_ns=now_ns)
    assert sent == 1 + 3
    assert outputs == [SendFailed(session, "RETRY_LIMIT")]
    cancels = 0
    while sender.has_pending:
        (cancel,) = segments(sender, now_ns)
        assert cancel == CancelSegment(Kind.CANCEL_BY_SENDER, session, 2)
        cancels += 1
        deadline = sender.deadline
        assert deadline is not None
        assert deadline[1] == "cancel"
        now_ns = deadline[0]
        assert sender.timeout(now_ns=now_ns) == []
    assert cancels == 1 + 3
    assert sender.deadline is None


def test_no_frames_while_the_transmitter_is_down() -> None:
    sender = engine()
    sender.submit(b"x", now_ns=0)
    up(sender, 1, tx=False)
    assert sender.next_segment(now_ns=1) is None
    assert sender.has_pending
    assert sender.pending_bytes == 1
    up(sender, 2)
    assert len(frames(sender, 2)) == 1


def test_timer_is_suspended_while_the_peer_cannot_answer() -> None:
    """§6.5 and §6.6: sent at 0, nominal answer at 205 ms, back after 1,205 ms: 1 s is added."""
    sender = engine()
    sender.submit(b"x", now_ns=0)
    frames(sender, 0)
    up(sender, 100 * MS, rx=False)
    assert sender.deadline is None
    assert sender.timeout(now_ns=1_000 * MS) == []
    assert not sender.has_pending
    up(sender, 1_205 * MS)
    assert sender.deadline == (ANSWER_NS + 1_000 * MS, "checkpoint")


def test_timer_runs_on_when_the_answer_must_be_on_its_way() -> None:
    sender = engine()
    sender.submit(b"x", now_ns=0)
    frames(sender, 0)
    up(sender, 206 * MS, rx=False)
    assert sender.deadline == (ANSWER_NS, "checkpoint")


def test_a_gap_is_filled_and_its_last_segment_is_a_new_checkpoint() -> None:
    sender, receiver = engine(1, 2), engine(2, 1)
    session = sender.submit(block_of(600), now_ns=0)
    sent = frames(sender, 0)
    old = decode(sent[-1])
    assert give(receiver, [f for i, f in enumerate(sent) if i not in (1, 2, 4)], 1) == []
    (report,) = segments(receiver, 1)
    assert isinstance(report, ReportSegment)
    assert (report.lower, report.upper, len(report.claims)) == (0, 600, 3)
    assert give(sender, [encode(report)], 2) == []
    ack, *repaired = segments(sender, 2)
    assert ack == ReportAckSegment(session, report.report)
    assert all(isinstance(s, DataSegment) for s in repaired)
    last = repaired[-1]
    assert isinstance(last, DataSegment)
    assert isinstance(old, DataSegment)
    assert (last.checkpoint, last.report) == (old.checkpoint + 1, report.report)
    assert {s.kind for s in repaired[:-1] if isinstance(s, DataSegment)} == {Kind.RED}
    assert last.kind == Kind.RED_CHECKPOINT
    resent = b"".join(s.data for s in repaired if isinstance(s, DataSegment))
    lost = [decode(sent[i]) for i in (1, 2, 4)]
    assert resent == b"".join(s.data for s in lost if isinstance(s, DataSegment))
    outputs = give(receiver, [encode(ack), *map(encode, repaired)], 3)
    assert outputs == [BlockReceived(session, block_of(600), 3)]


def test_a_report_twice_is_acknowledged_twice_and_acted_on_once() -> None:
    sender, receiver = engine(1, 2), engine(2, 1)
    sender.submit(block_of(400), now_ns=0)
    sent = frames(sender, 0)
    give(receiver, sent[1:], 1)
    (report,) = frames(receiver, 1)
    give(sender, [report], 2)
    first = segments(sender, 2)
    give(sender, [report], 3)
    assert segments(sender, 3) == [first[0]]


def test_claims_of_several_reports_add_up() -> None:
    """One report of the whole, one up to somewhere: what either claims is acknowledged."""
    sender = engine()
    session = sender.submit(block_of(300), now_ns=0)
    last = segments(sender, 0)[-1]
    assert isinstance(last, DataSegment)
    serial = last.checkpoint
    one = ReportSegment(session, 50, serial, 200, 0, ((100, 200),))
    assert give(sender, [encode(one)], 1) == []
    frames(sender, 1)
    two = ReportSegment(session, 51, 0, 300, 0, ((0, 100), (200, 300)))
    assert give(sender, [encode(two)], 2) == [BlockAcknowledged(session)]


def test_a_late_report_withdraws_the_repeated_checkpoint() -> None:
    sender = engine()
    session = sender.submit(block_of(300), now_ns=0)
    last = segments(sender, 0)[-1]
    assert isinstance(last, DataSegment)
    sender.timeout(now_ns=ANSWER_NS)
    assert sender.pending_bytes == len(last.data)
    report = ReportSegment(session, 50, last.checkpoint, 300, 0, ((100, 300),))
    assert give(sender, [encode(report)], ANSWER_NS) == []
    ack, *repaired = segments(sender, ANSWER_NS)
    assert isinstance(ack, ReportAckSegment)
    assert [(s.offset, len(s.data)) for s in repaired if isinstance(s, DataSegment)] == [(0, 100)]


def test_what_waits_already_is_not_queued_twice() -> None:
    sender = engine()
    session = sender.submit(block_of(300), now_ns=0)
    segments(sender, 0)
    for serial, start in ((50, 200), (51, 250)):
        report = ReportSegment(session, serial, 0, 300, 100, ((start, 300),))
        give(sender, [encode(report)], 1)
    data = [s for s in segments(sender, 1) if isinstance(s, DataSegment)]
    assert [(s.offset, len(s.data)) for s in data] == [(100, 100)]
    assert sender.pending_bytes == 0


def test_reports_beyond_the_block_or_on_no_checkpoint_are_rejected() -> None:
    sender = engine()
    session = sender.submit(block_of(50), now_ns=0)
    (data,) = segments(sender, 0)
    assert isinstance(data, DataSegment)
    for report in (
        ReportSegment(session, 5, data.checkpoint, 51, 0, ((0, 51),)),
        ReportSegment(session, 6, data.checkpoint + 1, 50, 0, ((0, 50),)),
    ):
        (output,) = give(sender, [encode(report)], 1)
        assert isinstance(output, Rejected)
        assert output.reason == "bad report"


def test_a_report_before_everything_was_sent_does_not_complete() -> None:
    sender = engine()
    session = sender.submit(block_of(300), now_ns=0)
    assert sender.next_segment(now_ns=0) is not None
    early = ReportSegment(session, 5, 0, 300, 0, ((0, 300),))
    assert give(sender, [encode(early)], 1) == []
    assert any(isinstance(s, DataSegment) for s in segments(sender, 1))


def test_urgent_first_then_shortest() -> None:
    sender = engine()
    bulk = sender.submit(block_of(1_000), priority=1, now_ns=0)
    leaving = sender.next_segment(now_ns=0)
    assert leaving is not None
    assert leaving[1] == bulk
    long = sender.submit(block_of(300), priority=0, now_ns=0)
    short = sender.submit(block_of(200), priority=0, now_ns=0)
    order = [s.session for s in segments(sender, 0)]
    assert list(dict.fromkeys(order)) == [short, long, bulk]
    assert order == sorted(order, key=[short, long, bulk].index)


def test_control_before_data() -> None:
    both = engine(1, 2)
    both.submit(block_of(500), now_ns=0)
    report = ReportSegment(SessionId(1, 7), 3, 0, 10, 0, ((0, 10),))
    give(both, [encode(report)], 0)
    assert segments(both, 0)[0] == ReportAckSegment(SessionId(1, 7), 3)


def test_limits_of_submit() -> None:
    sender = engine(max_tx_sessions=1, max_block_bytes=10)
    for block in (b"", bytes(11)):
        with pytest.raises(LtpLimitError):
            sender.submit(block, now_ns=0)
    sender.submit(b"x", now_ns=0)
    assert sender.free_sessions == 0
    with pytest.raises(LtpLimitError):
        sender.submit(b"x", now_ns=0)


def test_session_numbers_cannot_be_told_from_one_another() -> None:
    """Else whoever knows one could open the next first."""
    numbers = [engine().submit(b"x", now_ns=0).number for _ in range(2)]
    assert numbers[0] == numbers[1] > 0, "by the seed"
    sender = engine()
    drawn = [sender.submit(b"x", now_ns=0).number for _ in range(20)]
    assert len(set(drawn)) == 20
    steps = {after - before for before, after in pairwise(drawn)}
    assert len(steps) == 19
    later = LtpEngine(config(1, 2), rng=random.Random(1)).submit(b"x", now_ns=60_000 * MS).number
    assert later == LtpEngine(config(1, 2), rng=random.Random(1)).submit(b"x", now_ns=0).number + (
        60_000
    )


def test_blocks_of_one_size_leave_in_the_order_in_which_they_came() -> None:
    sender = engine()
    sessions = [sender.submit(bytes([n]), now_ns=0) for n in range(12)]
    left = [decode(frame) for frame in frames(sender, 0)]
    assert [segment.session for segment in left if segment.data][:12] == sessions


def test_cancel_before_anything_left_is_silent() -> None:
    sender = engine()
    session = sender.submit(b"x", now_ns=0)
    assert sender.cancel(session, now_ns=0) == [SendFailed(session, "USER")]
    assert not sender.has_pending
    assert sender.cancel(session, now_ns=0) == []


def test_a_report_of_a_session_that_is_cancelled_does_not_leave_any_more() -> None:
    sender, receiver = engine(1, 2), engine(2, 1)
    session = sender.submit(block_of(300), now_ns=0)
    first, *_, last = frames(sender, 0)
    up(receiver, 0, tx=False)
    give(receiver, [first, last], 1)
    sender.cancel(session, now_ns=2)
    give(receiver, frames(sender, 2), 3)
    up(receiver, 4)
    assert segments(receiver, 4) == [CancelAckSegment(Kind.CANCEL_ACK_TO_SENDER, session)]


def test_cancel_by_sender() -> None:
    sender, receiver = engine(1, 2), engine(2, 1)
    session = sender.submit(block_of(300), now_ns=0)
    give(receiver, frames(sender, 0)[:-1], 1)
    assert sender.cancel(session, now_ns=2) == [SendFailed(session, "USER")]
    cancel = frames(sender, 2)
    assert give(receiver, cancel, 3) == [ReceiveCancelled(session, "USER", by_peer=True)]
    acks = frames(receiver, 3)
    assert [decode(ack) for ack in acks] == [CancelAckSegment(Kind.CANCEL_ACK_TO_SENDER, session)]
    assert give(receiver, cancel, 4) == []
    assert frames(receiver, 4) == acks
    assert give(sender, acks, 5) == []
    assert sender.deadline is None


@pytest.mark.parametrize("bit", [0, 79, 80, 80 + 55, 80 + 56])
def test_an_upset_inverts_one_bit_of_the_blocks_in_memory(bit: int) -> None:
    blocks = [block_of(10), block_of(7)]
    a = engine()
    sessions = [a.submit(block, now_ns=0) for block in blocks]
    a.upset(bit)
    sent = {one.session: one.data for one in segments(a, 0) if isinstance(one, DataSegment)}
    found = [sent[session] for session in sessions]
    whole, right = (int.from_bytes(b"".join(parts), "little") for parts in (found, blocks))
    assert whole ^ right == (1 << bit if bit < 8 * 17 else 0)
