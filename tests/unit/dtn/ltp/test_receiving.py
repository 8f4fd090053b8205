"""The LTP engine as it receives: gates, reports, what is not for us, limits."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from dtn.ltp.engine import (
    BlockAcknowledged,
    BlockReceived,
    GreenReceived,
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
    block_of,
    config,
    engine,
    frames,
    give,
    segments,
)


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
    assert all(len(frame) > 105 for frame in sent[:-1]), "each takes what fits"
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


def data(kind: Kind, session: int, offset: int, content: bytes) -> bytes:
    return encode(DataSegment(kind, SessionId(1, session), 1, offset, content, checkpoint=1))


def cancelled(it: LtpEngine) -> list[tuple[int, int]]:
    sent = [segment for segment in segments(it, 0) if isinstance(segment, CancelSegment)]
    return [(segment.session.number, segment.reason) for segment in sent]


def test_miscolored_data_ends_the_session() -> None:
    """RFC 5326 §6.21; with a session of its own each."""
    it = engine(2, 1)
    (heard,) = it.receive(data(Kind.GREEN, 1, 10, b"green"), now_ns=0)
    assert isinstance(heard, GreenReceived)
    (wrong,) = it.receive(data(Kind.RED, 1, 11, b"red"), now_ns=0)
    assert wrong == Rejected("miscolored segment", "session 1")
    assert cancelled(it) == [(1, 3)]
    assert it.receive(data(Kind.RED, 2, 20, b"red"), now_ns=0) == []
    assert it.receive(data(Kind.GREEN, 2, 19, b"green"), now_ns=0) == [
        Rejected("miscolored segment", "session 2"),
        ReceiveCancelled(SessionId(1, 2), "MISCOLORED"),
    ]
    assert cancelled(it) == [(2, 3)]


def test_colors_in_their_order_and_a_block_that_is_with_the_client() -> None:
    it = engine(2, 1)
    for kind, offset in ((Kind.GREEN, 30), (Kind.RED, 10), (Kind.GREEN, 20), (Kind.RED, 20)):
        heard = it.receive(data(kind, 1, offset, b"0123456789"), now_ns=0)
        assert not [output for output in heard if isinstance(output, Rejected)], (kind, offset)
    whole, *_ = it.receive(data(Kind.RED_END_OF_BLOCK, 2, 0, b"whole"), now_ns=0)
    assert isinstance(whole, BlockReceived)
    late = DataSegment(Kind.GREEN, SessionId(1, 2), 1, 0, b"x")
    assert not [o for o in it.receive(encode(late), now_ns=0) if isinstance(o, Rejected)]
    assert cancelled(it) == []
