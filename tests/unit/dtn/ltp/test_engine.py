"""The LTP engine, one behaviour at a time, with times worked out by hand."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from dtn.errors import LtpLimitError
from dtn.ltp.engine import (
    BlockAcknowledged,
    BlockReceived,
    GreenReceived,
    LtpConfig,
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
    Segment,
    decode,
    encode,
)

MS = 1_000_000
ONE_WAY_NS = 5 * MS
MARGIN_NS = 200 * MS
ANSWER_NS = 2 * ONE_WAY_NS + MARGIN_NS
"""From sending a checkpoint to its timer running out."""


def config(engine_id: int, peer_engine_id: int, **changes: int) -> LtpConfig:
    return LtpConfig(
        engine_id, peer_engine_id, **({"mtu_bytes": 120, "echo_segments": 0} | changes)
    )


def engine(engine_id: int = 1, peer_engine_id: int = 2, **changes: int) -> LtpEngine:
    made = LtpEngine(config(engine_id, peer_engine_id, **changes), rng=random.Random(engine_id))
    up(made, 0)
    return made


def up(it: LtpEngine, now_ns: int, *, tx: bool = True, rx: bool = True) -> None:
    assert it.carrier(tx_up=tx, rx_up=rx, one_way_ns=ONE_WAY_NS, now_ns=now_ns) == []


def frames(it: LtpEngine, now_ns: int) -> list[bytes]:
    found: list[bytes] = []
    while (leaving := it.next_segment(now_ns=now_ns)) is not None:
        found.append(leaving[0])
    return found


def segments(it: LtpEngine, now_ns: int) -> list[Segment]:
    return [decode(frame) for frame in frames(it, now_ns)]


def give(it: LtpEngine, sent: list[bytes], now_ns: int) -> list[LtpOutput]:
    return [output for frame in sent for output in it.receive(frame, now_ns=now_ns)]


def block_of(size_bytes: int) -> bytes:
    return random.Random(9).randbytes(size_bytes)


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


def test_session_numbers_increase_from_a_random_start() -> None:
    numbers = [engine().submit(b"x", now_ns=0).number for _ in range(2)]
    assert numbers[0] == numbers[1]
    sender = engine()
    first, second = (sender.submit(b"x", now_ns=0).number for _ in range(2))
    assert second == first + 1
    later = LtpEngine(config(1, 2), rng=random.Random(1)).submit(b"x", now_ns=60_000 * MS).number
    assert later == first + 60_000


def test_cancel_before_anything_left_is_silent() -> None:
    sender = engine()
    session = sender.submit(b"x", now_ns=0)
    assert sender.cancel(session, now_ns=0) == [SendFailed(session, "USER")]
    assert not sender.has_pending
    assert sender.cancel(session, now_ns=0) == []


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


# Receiving


def received(receiver: LtpEngine) -> tuple[LtpEngine, SessionId, list[bytes]]:
    """A block fully received but not accepted; its sender, session and frames."""
    sender = engine(1, 2)
    session = sender.submit(block_of(300), now_ns=0)
    sent = frames(sender, 0)
    assert give(receiver, sent, 1) == [BlockReceived(session, block_of(300), 1)]
    return sender, session, sent


def test_the_gate_holds_the_report_back() -> None:
    receiver = engine(2, 1)
    _, session, sent = received(receiver)
    assert give(receiver, [sent[-1], sent[0]], 2) == []
    assert frames(receiver, 2) == []
    assert receiver.deadline is None
    receiver.accept(session, now_ns=3)
    (report,) = segments(receiver, 3)
    assert isinstance(report, ReportSegment)
    assert report.claims == ((0, 300),)
    assert receiver.deadline == (3 + ANSWER_NS, "report")


def test_a_late_checkpoint_is_reported_again_even_after_the_session() -> None:
    receiver = engine(2, 1)
    sender, session, sent = received(receiver)
    receiver.accept(session, now_ns=2)
    (report,) = frames(receiver, 2)
    assert give(receiver, [sent[-1]], 3) == []
    assert frames(receiver, 3) == [report]
    give(sender, [report], 4)
    assert give(receiver, frames(sender, 4), 5) == []
    assert receiver.deadline is None
    assert give(receiver, [sent[0], sent[-1]], 6) == []
    (again,) = segments(receiver, 6)
    assert isinstance(again, ReportSegment)
    assert again.claims == ((0, 300),)
    assert receiver.deadline is None


def test_a_lost_report_is_sent_again() -> None:
    receiver = engine(2, 1)
    _, session, _ = received(receiver)
    receiver.accept(session, now_ns=0)
    lost = frames(receiver, 0)
    assert receiver.timeout(now_ns=ANSWER_NS) == []
    assert frames(receiver, ANSWER_NS) == lost


def test_an_accepted_block_is_not_cancelled_when_the_peer_falls_silent() -> None:
    receiver = engine(2, 1, retry_limit=2)
    _, session, sent = received(receiver)
    receiver.accept(session, now_ns=0)
    now_ns = count = 0
    while True:
        count += len(frames(receiver, now_ns))
        deadline = receiver.deadline
        if deadline is None:
            break
        now_ns = deadline[0]
        assert receiver.timeout(now_ns=now_ns) == []
    assert count == 1 + 2
    assert give(receiver, [sent[-1]], now_ns) == []
    assert len(frames(receiver, now_ns)) == 1


def test_an_incomplete_reception_is_cancelled_when_the_peer_falls_silent() -> None:
    sender, receiver = engine(1, 2), engine(2, 1, retry_limit=2)
    session = sender.submit(block_of(300), now_ns=0)
    give(receiver, frames(sender, 0)[1:], 0)
    now_ns = 0
    outputs: list[LtpOutput] = []
    while not outputs:
        frames(receiver, now_ns)
        deadline = receiver.deadline
        assert deadline is not None
        now_ns = deadline[0]
        outputs = receiver.timeout(now_ns=now_ns)
    assert outputs == [ReceiveCancelled(session, "RETRY_LIMIT")]
    cancel = frames(receiver, now_ns)
    assert give(sender, cancel, now_ns) == [SendFailed(session, "RETRY_LIMIT", by_peer=True)]
    assert give(receiver, frames(sender, now_ns), now_ns) == []
    assert receiver.deadline is None


def test_any_order_and_overlap() -> None:
    receiver = engine(2, 1)
    session = SessionId(1, 5)
    block = block_of(100)
    pieces = [(60, 100), (10, 30), (20, 70), (10, 30), (0, 15)]
    outputs: list[LtpOutput] = []
    for start, end in pieces:
        kind = Kind.RED_END_OF_BLOCK if end == 100 else Kind.RED
        segment = DataSegment(kind, session, 1, start, block[start:end], 9 * (end == 100))
        outputs += receiver.receive(encode(segment), now_ns=0)
    assert outputs == [BlockReceived(session, block, 0)]
    late = DataSegment(Kind.RED, session, 1, 50, block[50:60])
    assert give(receiver, [encode(late)], 1) == []


def test_a_report_too_large_for_one_segment_is_split() -> None:
    """Every other of 100 pieces of 20 bytes is lost: 50 claims do not fit 120 bytes."""
    receiver = engine(2, 1)
    session = SessionId(1, 5)
    for at in range(1, 100, 2):
        kind = Kind.RED_END_OF_BLOCK if at == 99 else Kind.RED
        segment = DataSegment(kind, session, 1, at * 20, bytes(20), 9 * (at == 99))
        assert receiver.receive(encode(segment), now_ns=0) == []
    sent = frames(receiver, 0)
    assert len(sent) > 1
    assert all(len(frame) <= 120 for frame in sent)
    reports = [s for s in map(decode, sent) if isinstance(s, ReportSegment)]
    assert [r.checkpoint for r in reports] == [9] * len(sent)
    assert [r.report for r in reports] == list(range(reports[0].report, reports[-1].report + 1))
    assert (reports[0].lower, reports[-1].upper) == (0, 2_000)
    assert all(a.upper == b.lower for a, b in pairwise(reports))
    claims = [claim for r in reports for claim in r.claims]
    assert claims == [(at * 20, at * 20 + 20) for at in range(1, 100, 2)]


def split_reports() -> tuple[LtpEngine, SessionId, list[ReportSegment], bytes]:
    """A sender whose one checkpoint was answered by two reports, and its block."""
    sender = engine()
    block = block_of(400)
    session = sender.submit(block, now_ns=0)
    last = segments(sender, 0)[-1]
    assert isinstance(last, DataSegment)
    one = ReportSegment(session, 70, last.checkpoint, 200, 0, ((0, 200),))
    two = ReportSegment(session, 71, last.checkpoint, 400, 200, ((300, 400),))
    return sender, session, [one, two], block


def test_one_report_of_several_lost_and_repeated_by_the_receiver() -> None:
    """A sender that waits for nothing more after the first report hangs (ION bug 14)."""
    sender, session, (one, two), block = split_reports()
    assert give(sender, [encode(one)], 1) == []
    assert give(sender, [encode(two)], 2) == []
    repaired = [s for s in segments(sender, 2) if isinstance(s, DataSegment)]
    assert b"".join(s.data for s in repaired) == block[200:300]
    last = repaired[-1]
    done = ReportSegment(session, 72, last.checkpoint, 300, 200, ((200, 300),))
    assert give(sender, [encode(done)], 3) == [BlockAcknowledged(session)]


def test_one_report_of_several_lost_for_good_does_not_hang() -> None:
    sender, session, (one, _), _ = split_reports()
    assert give(sender, [encode(one)], 1) == []
    (ack,) = segments(sender, 1)
    assert isinstance(ack, ReportAckSegment)
    assert sender.deadline == (1 + ANSWER_NS, "checkpoint")
    sender.timeout(now_ns=1 + ANSWER_NS)
    (again,) = segments(sender, 1 + ANSWER_NS)
    assert isinstance(again, DataSegment)
    assert (again.session, again.checkpoint) == (session, one.checkpoint)


def test_a_checkpoint_that_answers_an_unknown_report_cancels() -> None:
    """Data that was reported before a restart is gone; a union of claims would hide that."""
    sender, receiver, restarted = engine(1, 2), engine(2, 1), engine(2, 1)
    session = sender.submit(block_of(300), now_ns=0)
    give(receiver, frames(sender, 0)[1:], 1)
    give(sender, frames(receiver, 1), 2)
    outputs = give(restarted, frames(sender, 2), 3)
    assert outputs == [ReceiveCancelled(session, "SYSTEM")]
    assert give(sender, frames(restarted, 3), 4) == [SendFailed(session, "SYSTEM", by_peer=True)]


def test_checkpoints_within_the_block_are_reported_from_where_the_last_report_ended() -> None:
    receiver = engine(2, 1)
    session = SessionId(1, 5)
    scopes: list[tuple[int, int]] = []
    for at, serial in ((0, 7), (20, 9), (10, 8)):
        segment = DataSegment(Kind.RED_CHECKPOINT, session, 1, at, bytes(10), serial)
        receiver.receive(encode(segment), now_ns=0)
        (report,) = segments(receiver, 0)
        assert isinstance(report, ReportSegment)
        scopes.append((report.lower, report.upper))
    assert scopes == [(0, 10), (10, 30), (0, 20)]


def test_what_is_not_for_us() -> None:
    receiver = engine(2, 1, max_block_bytes=1_000)
    stranger = DataSegment(Kind.RED, SessionId(9, 1), 1, 0, b"x")
    empty = DataSegment(Kind.RED, SessionId(1, 1), 1, 0, b"")
    for segment, reason in (
        (stranger, "wrong engine"),
        (empty, "empty segment"),
        (ReportSegment(SessionId(1, 1), 1, 0, 1, 0, ((0, 1),)), "wrong engine"),
        (ReportAckSegment(SessionId(2, 1), 1), "wrong engine"),
        (CancelSegment(Kind.CANCEL_BY_SENDER, SessionId(2, 1), 0), "wrong engine"),
        (CancelAckSegment(Kind.CANCEL_ACK_TO_SENDER, SessionId(1, 1)), "wrong engine"),
    ):
        (output,) = receiver.receive(encode(segment), now_ns=0)
        assert isinstance(output, Rejected)
        assert output.reason == reason
    assert frames(receiver, 0) == []
    assert receiver.receive(b"\xff", now_ns=0)[0] == Rejected(
        "bad segment", "byte 0: expected LTP version 0, found 15"
    )


@pytest.mark.parametrize(
    ("segment", "reason", "code"),
    [
        (DataSegment(Kind.RED, SessionId(1, 1), 4, 0, b"x"), "unknown service", 1),
        (DataSegment(Kind.RED, SessionId(1, 1), 1, 2**60, b"x"), "block too large", 4),
    ],
)
def test_a_hopeless_session_is_refused(segment: DataSegment, reason: str, code: int) -> None:
    receiver = engine(2, 1)
    (output,) = receiver.receive(encode(segment), now_ns=0)
    assert isinstance(output, Rejected)
    assert output.reason == reason
    assert segments(receiver, 0) == [CancelSegment(Kind.CANCEL_BY_RECEIVER, segment.session, code)]


def test_a_damaged_offset_does_not_end_a_session_under_way() -> None:
    receiver = engine(2, 1)
    good = DataSegment(Kind.RED, SessionId(1, 1), 1, 0, b"x")
    bad = DataSegment(Kind.RED, SessionId(1, 1), 1, 2**60, b"x")
    give(receiver, [encode(good), encode(bad)], 0)
    assert frames(receiver, 0) == []


def test_contradicting_ends_are_rejected() -> None:
    receiver = engine(2, 1)
    session = SessionId(1, 1)
    give(receiver, [encode(DataSegment(Kind.RED_END_OF_BLOCK, session, 1, 10, b"xy", 3))], 0)
    for segment in (
        DataSegment(Kind.RED, session, 1, 12, b"z"),
        DataSegment(Kind.RED_END_OF_BLOCK, session, 1, 8, b"z", 4),
    ):
        (output,) = receiver.receive(encode(segment), now_ns=0)
        assert isinstance(output, Rejected)
        assert output.reason == "contradicting segment"


def test_the_idlest_reception_makes_room() -> None:
    receiver = engine(2, 1, max_rx_sessions=2)
    for number in (1, 2, 1, 3):
        segment = DataSegment(Kind.RED, SessionId(1, number), 1, number, b"x")
        outputs = receiver.receive(encode(segment), now_ns=10 * number + 1)
    assert outputs == [ReceiveCancelled(SessionId(1, 1), "SYSTEM")]


def test_a_reception_that_waits_for_the_client_is_never_ended() -> None:
    receiver = engine(2, 1, max_rx_sessions=1)
    received(receiver)
    other = DataSegment(Kind.RED, SessionId(1, 1), 1, 0, b"x")
    (output,) = receiver.receive(encode(other), now_ns=9)
    assert output == Rejected("too many sessions", "session 1")


def test_the_memory_of_finished_sessions_is_bounded() -> None:
    receiver = engine(2, 1, closed_sessions_kept=3)
    for number in range(10):
        data = DataSegment(Kind.RED_END_OF_BLOCK, SessionId(1, number), 1, 0, b"x", 3)
        assert len(give(receiver, [encode(data)], number)) == 1
        receiver.accept(data.session, now_ns=number)
        (report,) = segments(receiver, number)
        assert isinstance(report, ReportSegment)
        give(receiver, [encode(ReportAckSegment(data.session, report.report))], number)
    assert receiver.deadline is None
    old = DataSegment(Kind.RED_END_OF_BLOCK, SessionId(1, 0), 1, 0, b"x", 3)
    kept = DataSegment(Kind.RED_END_OF_BLOCK, SessionId(1, 9), 1, 0, b"x", 3)
    assert give(receiver, [encode(kept)], 20) == []
    assert len(give(receiver, [encode(old)], 20)) == 1


def test_two_timers_of_one_session_at_the_same_time() -> None:
    """The first ends the session; the second finds it gone."""
    receiver = engine(2, 1, retry_limit=0)
    session = SessionId(1, 5)
    for at, serial in ((0, 7), (20, 8)):
        segment = DataSegment(Kind.RED_CHECKPOINT, session, 1, at, bytes(10), serial)
        receiver.receive(encode(segment), now_ns=0)
    assert len(frames(receiver, 0)) == 2
    assert receiver.timeout(now_ns=ANSWER_NS) == [ReceiveCancelled(session, "RETRY_LIMIT")]


@pytest.mark.parametrize(
    "changes",
    [{"mtu_bytes": 95}, {"retry_limit": -1}, {"margin_ns": -1}, {"max_rx_sessions": 0}],
)
def test_config_is_checked(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"is below|negative|at least"):
        config(1, 2, **changes)
    with pytest.raises(ValueError, match="same id"):
        config(1, 1)


def test_green_data_is_handed_on_at_once_and_never_acknowledged() -> None:
    receiver = engine(2, 1)
    part = DataSegment(Kind.GREEN, SessionId(1, 1), 1, 7, b"x")
    last = DataSegment(Kind.GREEN_END_OF_BLOCK, SessionId(1, 1), 1, 8, b"y")
    assert give(receiver, [encode(part), encode(last)], 5) == [
        GreenReceived(SessionId(1, 1), 7, b"x", False, 5),
        GreenReceived(SessionId(1, 1), 8, b"y", True, 5),
    ]
    assert frames(receiver, 5) == []
    (refused,) = give(receiver, [encode(replace(part, service=9))], 5)
    assert refused == Rejected("unknown service", "9")
