"""Countdown timers with the numbers of RFC 5326 §6.5 and §6.6 worked out by hand."""

from __future__ import annotations

from dtn.ltp.timers import TimerTable


def table(*, sent_ns: int = 1_000, one_way_ns: int = 100, margin_ns: int = 20) -> TimerTable[str]:
    """One timer: answered nominally at 1,120, due at 1,220."""
    timers: TimerTable[str] = TimerTable()
    timers.start("cp", sent_ns=sent_ns, one_way_ns=one_way_ns, margin_ns=margin_ns)
    return timers


def test_due_two_light_times_and_a_margin_after_sending() -> None:
    timers = table()
    assert timers.deadline == (1_220, "cp")
    assert timers.expired(now_ns=1_219) == []
    assert timers.expired(now_ns=1_220) == ["cp"]
    assert timers.expired(now_ns=1_220) == []
    assert timers.deadline is None


def test_suspended_before_the_answer_and_resumed_after_it() -> None:
    timers = table()
    timers.suspend(now_ns=1_120)  # the peer may be about to answer just now
    assert timers.deadline is None
    assert timers.expired(now_ns=10_000) == []
    timers.resume(now_ns=5_120)
    assert timers.deadline == (1_220 + 4_000, "cp")


def test_suspended_and_resumed_before_the_answer() -> None:
    timers = table()
    timers.suspend(now_ns=1_050)
    timers.resume(now_ns=1_100)
    assert timers.deadline == (1_220, "cp")


def test_not_suspended_when_the_answer_is_on_its_way() -> None:
    timers = table()
    timers.suspend(now_ns=1_121)
    assert timers.expired(now_ns=1_220) == ["cp"]


def test_started_while_the_peer_is_silent() -> None:
    timers: TimerTable[str] = TimerTable()
    timers.suspend(now_ns=0)
    timers.start("cp", sent_ns=1_000, one_way_ns=100, margin_ns=20)
    assert timers.deadline is None
    timers.resume(now_ns=2_000)
    assert timers.deadline == (1_220 + 880, "cp")


def test_suspended_twice() -> None:
    timers = table()
    timers.suspend(now_ns=1_100)
    timers.resume(now_ns=2_120)
    assert timers.deadline == (2_220, "cp")
    timers.suspend(now_ns=2_200)  # the answer, put off to 2,120, may be on its way
    assert timers.deadline == (2_220, "cp")


def test_suspended_again_before_the_peer_could_answer() -> None:
    timers = table()
    timers.suspend(now_ns=1_100)
    timers.resume(now_ns=2_120)
    timers.suspend(now_ns=2_120)
    assert timers.deadline is None
    timers.resume(now_ns=3_120)
    assert timers.deadline == (3_220, "cp")


def test_the_earliest_counts_and_stopping_is_cheap() -> None:
    timers: TimerTable[int] = TimerTable()
    for key in range(300):
        timers.start(key, sent_ns=300 - key, one_way_ns=0, margin_ns=0)
    assert timers.deadline == (1, 299)
    for key in range(250, 300):
        timers.stop(key)
    timers.stop(299)
    assert timers.deadline == (51, 249)
    timers.start(249, sent_ns=500, one_way_ns=0, margin_ns=0)
    assert timers.deadline == (52, 248)
    assert timers.expired(now_ns=54) == [248, 247, 246]
    assert len(timers) == 247
