"""How long an engine waits for answers: as long as they are seen to take, and in a silence until
there is one."""

from __future__ import annotations

import random
from itertools import pairwise

from dtn.ltp.engine import LtpConfig, LtpEngine, SendFailed
from dtn.ltp.segment import (
    CancelAckSegment,
    DataSegment,
    Kind,
    ReportAckSegment,
    ReportSegment,
    SessionId,
    decode,
    encode,
)
from dtn.ltp.silence import PROBE_NS, SILENT_NS

MS = 1_000_000
S = 1_000 * MS
ONE_WAY_NS = 5 * MS
WAIT_NS = 2 * ONE_WAY_NS + 200 * MS
"""Of a timer on a link that answers at once."""
STRANGER = encode(ReportAckSegment(SessionId(2, 99), 1))
"""A segment of the peer's that concerns nothing here."""


def engine(number: int = 1, **changes: int) -> LtpEngine:
    config = LtpConfig(number, 3 - number, **({"mtu_bytes": 120, "echo_segments": 0} | changes))
    made = LtpEngine(config, rng=random.Random(number))
    cue(made, 0)
    return made


def cue(it: LtpEngine, now_ns: int, *, up: bool = True) -> None:
    it.carrier(tx_up=True, rx_up=up, one_way_ns=ONE_WAY_NS, now_ns=now_ns)


def frames(it: LtpEngine, now_ns: int) -> list[bytes]:
    found: list[bytes] = []
    while (leaving := it.next_segment(now_ns=now_ns)) is not None:
        found.append(leaving[0])
    return found


def due_ns(it: LtpEngine) -> int:
    assert it.deadline is not None
    return it.deadline[0]


def run_out(it: LtpEngine) -> list[bytes]:
    """Wait for the next timer; what leaves then."""
    now_ns = due_ns(it)
    it.timeout(now_ns=now_ns)
    return frames(it, now_ns)


def report_on(frame: bytes, serial: int, size_bytes: int) -> bytes:
    checkpoint = decode(frame)
    return encode(
        ReportSegment(
            checkpoint.session, serial, checkpoint.checkpoint, size_bytes, 0, ((0, size_bytes),)
        )
    )


def exchange(it: LtpEngine, sent_ns: int, answered_ns: int) -> None:
    """A block of one byte there, and its report back."""
    it.submit(b"x", now_ns=sent_ns)
    (frame,) = frames(it, sent_ns)
    it.receive(report_on(frame, 7, 1), now_ns=answered_ns)
    frames(it, answered_ns)


def test_a_timer_is_as_long_as_answers_are_late() -> None:
    sender = engine()
    exchange(sender, 0, 2 * ONE_WAY_NS + 100 * MS)
    sender.submit(b"x", now_ns=S)
    frames(sender, S)
    assert due_ns(sender) == S + WAIT_NS, "within the margin"
    late = engine()
    late.submit(b"x", now_ns=0)
    (frame,) = frames(late, 0)
    assert run_out(late) == [frame]
    late.receive(report_on(frame, 7, 1), now_ns=WAIT_NS + 2 * ONE_WAY_NS + 4 * S)
    frames(late, 10 * S)
    late.submit(b"x", now_ns=10 * S)
    frames(late, 10 * S)
    assert due_ns(late) == 10 * S + 2 * ONE_WAY_NS + (2 + 2 * 2) * S, "4 s since the repeat"


def test_reports_and_cancellations_are_measured_as_well() -> None:
    receiver = engine(2)
    other = engine(1)
    other.submit(b"x", now_ns=0)
    receiver.receive(frames(other, 0)[0], now_ns=0)
    session = SessionId(1, decode(frames(engine_with(other), 0)[0]).session.number)
    receiver.accept(session, now_ns=0)
    (report,) = map(decode, frames(receiver, 0))
    assert isinstance(report, ReportSegment)
    ack = ReportAckSegment(session, report.report)
    receiver.receive(encode(ack), now_ns=2 * ONE_WAY_NS + 150 * MS)
    # 75 and 75 of mean and variation are within the margin; another of 900 is not.
    started = receiver.submit(bytes(300), now_ns=S)
    receiver.next_segment(now_ns=S)
    receiver.cancel(started, now_ns=S)
    frames(receiver, S)
    answer = CancelAckSegment(Kind.CANCEL_ACK_TO_SENDER, started)
    receiver.receive(encode(answer), now_ns=S + 2 * ONE_WAY_NS + 875 * MS)
    receiver.submit(b"x", now_ns=3 * S)
    frames(receiver, 3 * S)
    mean_ms = 75 + 400
    variation_ms = (75 + 800) // 2 + 0.5
    assert due_ns(receiver) == 3 * S + 2 * ONE_WAY_NS + round((mean_ms + 2 * variation_ms) * MS)


def engine_with(it: LtpEngine) -> LtpEngine:
    """The same engine, its timer run out: what it sent leaves again."""
    it.timeout(now_ns=due_ns(it))
    return it


def test_one_quick_answer_shortens_the_timers_that_run() -> None:
    sender = engine()
    sender.submit(b"x", now_ns=0)
    (first,) = frames(sender, 0)
    run_out(sender)
    sender.receive(report_on(first, 7, 1), now_ns=WAIT_NS + 10 * S)
    frames(sender, 20 * S)
    sender.submit(b"lost", now_ns=20 * S)
    frames(sender, 20 * S)
    assert due_ns(sender) > 30 * S
    exchange(sender, 22 * S, 22 * S + 2 * ONE_WAY_NS)
    assert due_ns(sender) == 22 * S + 2 * ONE_WAY_NS, "over by now"


def test_a_timer_put_off_by_an_outage_is_not_called_back() -> None:
    sender = engine()
    sender.submit(b"x", now_ns=0)
    (first,) = frames(sender, 0)
    run_out(sender)
    sender.receive(report_on(first, 7, 1), now_ns=WAIT_NS + 10 * S)
    frames(sender, 20 * S)
    sender.submit(b"in the outage", now_ns=20 * S)
    frames(sender, 20 * S)
    cue(sender, 20 * S + 1, up=False)
    cue(sender, 60 * S)
    exchange(sender, 60 * S, 60 * S + 2 * ONE_WAY_NS)
    assert due_ns(sender) > 60 * S + 2 * ONE_WAY_NS, "its answer may come now"


def silent(*blocks: bytes, **changes: int) -> tuple[LtpEngine, list[bytes], int]:
    """An engine that has been answered nothing for so long that one asks for all; what it sent at
    first, and when the first had asked."""
    sender = engine(**changes)
    for block in blocks:
        sender.submit(block, now_ns=0)
    first = frames(sender, 0)
    now_ns = 0
    asked = list(first)
    while sender.deadline is not None and sender.deadline[1] != "silence":
        now_ns = due_ns(sender)
        sender.timeout(now_ns=now_ns)
        asked += frames(sender, now_ns)
    return sender, first, now_ns


def test_when_nothing_is_answered_one_asks() -> None:
    sender, first, began_ns = silent(b"a", b"b", b"c")
    assert len(first) == 3
    assert SILENT_NS <= began_ns < 2 * SILENT_NS
    asked_ns: list[int] = []
    asked: list[bytes] = []
    while (now_ns := due_ns(sender)) < 60 * S:
        now = run_out(sender)
        asked_ns += [now_ns] * len(now)
        asked += now
    assert len(asked) > 50, "without end: the silence says nothing of a session"
    assert {later - earlier for earlier, later in pairwise(asked_ns)} == {PROBE_NS}
    assert asked[1:4] == asked[4:7], "one after the other"
    assert set(asked) == set(first)


def test_what_is_sent_in_a_silence_is_sent_once() -> None:
    sender, _, now_ns = silent(b"x", echo_segments=8)
    sender.submit(bytes(50), now_ns=now_ns)
    assert len(frames(sender, now_ns)) == 1, "no second time, though the transmitter is idle"


def test_any_answer_ends_a_silence_and_all_that_is_overdue_is_repeated() -> None:
    sender, first, _ = silent(b"a", b"b", b"c")
    now_ns = due_ns(sender) - 1
    sender.receive(STRANGER, now_ns=now_ns)
    assert due_ns(sender) == now_ns
    assert sorted(run_out(sender)) == sorted(first)


def test_what_the_peer_sends_of_its_own_is_no_answer() -> None:
    sender, _, _ = silent(b"x")
    at_ns = due_ns(sender)
    data = DataSegment(Kind.RED, SessionId(2, 5), 1, 0, b"y")
    sender.receive(encode(data), now_ns=at_ns - 1)
    assert sender.deadline == (at_ns, "silence")


def test_a_silence_waits_for_the_peers_carrier() -> None:
    sender, _, _ = silent(b"x")
    at_ns = due_ns(sender)
    cue(sender, at_ns - 1, up=False)
    assert sender.deadline is None
    assert sender.timeout(now_ns=at_ns + S) == []
    assert frames(sender, at_ns + S) == []
    cue(sender, at_ns + 60 * S)
    assert due_ns(sender) == at_ns + 60 * S
    assert len(run_out(sender)) == 1


def test_a_report_is_not_repeated_for_ever() -> None:
    """The peer may have ended; nobody else ends a reception."""
    receiver, other = engine(2, retry_limit=20), engine(1)
    session = other.submit(b"x", now_ns=0)
    receiver.receive(frames(other, 0)[0], now_ns=0)
    receiver.accept(session, now_ns=0)
    count = len(frames(receiver, 0))
    while receiver.deadline is not None:
        count += len(run_out(receiver))
    assert count == 1 + 20


def test_a_cancellation_is_not_repeated_for_ever() -> None:
    sender, _, now_ns = silent(b"x", retry_limit=12)
    (session,) = [decode(frame).session for frame in run_out(sender)]
    sender.cancel(session, now_ns=now_ns)
    count = len(frames(sender, now_ns))
    while sender.deadline is not None:
        count += len(run_out(sender))
    assert count == 1 + 12
    assert not sender.has_pending


def test_after_a_silence_one_asks_again() -> None:
    """The repeats before it do not count any more, and the next silence is one as well."""
    sender, first, now_ns = silent(b"a")
    for _ in range(3):
        sender.receive(STRANGER, now_ns=now_ns)
        end_ns = now_ns + 20 * S
        asked: list[bytes] = []
        while (now_ns := due_ns(sender)) < end_ns:
            asked += run_out(sender)
        assert 15 < len(asked) < 25
        assert set(asked) == set(first), "always the same session"


def test_what_is_stopped_in_a_silence_asks_no_more() -> None:
    sender, _, now_ns = silent(b"x")
    session = decode(run_out(sender)[0]).session
    now_ns = due_ns(sender)
    sender.timeout(now_ns=now_ns - 1)
    sender.cancel(session, now_ns=now_ns)
    assert sender.deadline is None
    assert len(frames(sender, now_ns)) == 1, "the cancellation"


def test_an_answer_that_comes_after_its_session_has_ended_tells_how_late_it_is() -> None:
    sender = engine(retry_limit=1)
    session = sender.submit(b"x", now_ns=0)
    (first,) = frames(sender, 0)
    assert run_out(sender) == [first]
    assert sender.timeout(now_ns=due_ns(sender)) == [SendFailed(session, "RETRY_LIMIT")]
    sender.receive(report_on(first, 7, 1), now_ns=WAIT_NS + 2 * ONE_WAY_NS + 8 * S)
    (cancel, _) = frames(sender, 9 * S)
    sender.submit(b"x", now_ns=9 * S)
    frames(sender, 9 * S)
    assert decode(cancel).session == session
    assert due_ns(sender) == 9 * S + 2 * ONE_WAY_NS + (4 + 2 * 4) * S


def test_what_is_given_up_while_others_are_answered_was_late_rather_than_lost() -> None:
    sender = engine(retry_limit=2)
    session = sender.submit(b"x", now_ns=0)
    frames(sender, 0)
    run_out(sender)
    sender.receive(STRANGER, now_ns=WAIT_NS + 1)
    run_out(sender)
    assert sender.timeout(now_ns=3 * WAIT_NS) == [SendFailed(session, "RETRY_LIMIT")]
    frames(sender, 3 * WAIT_NS)
    assert due_ns(sender) == 3 * WAIT_NS + 2 * ONE_WAY_NS + (100 + 2 * 100) * MS


def test_what_is_repeated_once_in_vain_is_the_beginning_of_a_silence() -> None:
    """Where an answer takes seconds; from then on one asks at a time."""
    it = engine()
    it.carrier(tx_up=True, rx_up=True, one_way_ns=SILENT_NS, now_ns=0)
    for _ in range(2):
        it.submit(bytes(50), now_ns=0)
    assert len(frames(it, 0)) == 2
    assert len(run_out(it)) == 2
    assert len(run_out(it)) == 1
