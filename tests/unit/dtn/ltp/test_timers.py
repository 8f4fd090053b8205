"""Countdown timers with the numbers of RFC 5326 §6.5 and §6.6 worked out by hand, and what they
measure."""

from __future__ import annotations

from dtn.ltp.timers import Answered, TimerTable


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


def test_resumed_twice_it_is_put_off_once() -> None:
    timers = table()
    timers.suspend(now_ns=1_120)
    timers.resume(now_ns=5_120)
    timers.resume(now_ns=5_200)
    assert timers.deadline == (1_220 + 4_000, "cp")
    assert timers.expired(now_ns=5_220) == ["cp"]


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
    assert timers.deadline == (55, 245)
    assert len(timers) == 250, "those that ran out are at rest"


def test_an_answer_to_what_was_sent_once_is_measured_beyond_light() -> None:
    timers = table()
    assert timers.answered("cp", one_way_ns=100, now_ns=1_230) == Answered(30, 30)
    assert "cp" not in timers
    assert timers.answered("cp", one_way_ns=100, now_ns=1_240) is None


def test_an_answer_to_what_was_sent_again_lies_between_two_times() -> None:
    timers = table()
    assert timers.expired(now_ns=1_220) == ["cp"]
    timers.start("cp", sent_ns=1_300, one_way_ns=100, margin_ns=20)
    timers.expired(now_ns=1_520)
    timers.start("cp", sent_ns=1_600, one_way_ns=100, margin_ns=20)
    assert timers.sent_ns("cp") == 1_600
    assert timers.answered("cp", one_way_ns=100, now_ns=1_850) == Answered(50, 650)


def test_an_answer_after_all_is_measured_and_another_to_the_same_is_not() -> None:
    timers = table()
    timers.stop("cp")
    assert timers.answered("cp", one_way_ns=100, now_ns=1_900) == Answered(700, 700)
    timers.start("cp", sent_ns=2_000, one_way_ns=100, margin_ns=20)
    assert timers.answered("cp", one_way_ns=100, now_ns=2_201) is None, "to which of the two?"


def test_what_is_sent_again_after_all_was_sent_first_when_it_was() -> None:
    timers = table()
    timers.stop("cp")
    timers.start("cp", sent_ns=2_000, one_way_ns=100, margin_ns=20)
    assert timers.first_ns("cp") == 1_000
    assert timers.answered("cp", one_way_ns=100, now_ns=2_300) == Answered(100, 1_100)


def test_only_the_latest_that_nobody_waits_for_are_kept() -> None:
    timers: TimerTable[int] = TimerTable()
    for key in range(257):
        timers.start(key, sent_ns=1_000, one_way_ns=100, margin_ns=20)
        timers.stop(key)
    assert timers.answered(0, one_way_ns=100, now_ns=1_300) is None
    assert timers.answered(1, one_way_ns=100, now_ns=1_300) == Answered(100, 100)


def test_what_nobody_waits_for_is_not_measured_over_an_outage() -> None:
    timers = table()
    timers.stop("cp")
    timers.suspend(now_ns=1_050)
    timers.resume(now_ns=9_000)
    assert timers.answered("cp", one_way_ns=100, now_ns=9_300) is None


def test_no_answer_took_less_than_nothing() -> None:
    timers = table()
    timers.start("cp", sent_ns=1_400, one_way_ns=100, margin_ns=20)
    assert timers.answered("cp", one_way_ns=100, now_ns=1_410) == Answered(0, 210)


def test_a_suspension_is_not_measured() -> None:
    timers = table()
    timers.suspend(now_ns=1_050)
    timers.start("later", sent_ns=1_060, one_way_ns=100, margin_ns=20)
    timers.resume(now_ns=1_100)
    timers.start("cp", sent_ns=1_500, one_way_ns=100, margin_ns=20)
    for key in ("cp", "later"):
        assert timers.answered(key, one_way_ns=100, now_ns=1_710) is None


def test_what_was_answered_before_the_suspension_could_matter_is_measured() -> None:
    timers = table()
    timers.suspend(now_ns=1_121)
    assert timers.answered("cp", one_way_ns=100, now_ns=1_210) == Answered(10, 10)


def test_an_answer_on_its_way_already_is_not_measured() -> None:
    timers: TimerTable[str] = TimerTable()
    timers.start("cp", sent_ns=1_000, one_way_ns=100, margin_ns=20, measured=False)
    assert timers.deadline == (1_220, "cp")
    assert timers.answered("cp", one_way_ns=100, now_ns=1_100) is None


def test_it_is_counted_how_often_a_timer_ran_out() -> None:
    timers = table()
    assert timers.runs("cp") == timers.runs("other") == 0
    for count in (1, 2):
        assert timers.expired(now_ns=10_000) == ["cp"]
        assert timers.count("cp") == timers.runs("cp") == count
        timers.start("cp", sent_ns=2_000, one_way_ns=100, margin_ns=20)
    timers.count_anew()
    assert timers.runs("cp") == 0
    timers.count("cp")
    timers.stop("cp")
    timers.start("cp", sent_ns=3_000, one_way_ns=100, margin_ns=20)
    assert timers.runs("cp") == 0


def test_at_rest_until_sent_again_or_told() -> None:
    timers = table()
    timers.rest("cp")
    timers.rest("other")
    assert timers.deadline is None
    timers.suspend(now_ns=1_100)
    timers.resume(now_ns=9_000)
    assert timers.deadline is None, "it waits for its segment, not for the peer"
    timers.run_until("cp", due_ns=9_500)
    assert timers.deadline == (9_500, "cp")


def test_those_that_run_can_be_set_anew() -> None:
    timers = table()
    timers.start("other", sent_ns=1_010, one_way_ns=100, margin_ns=20)
    timers.rest("other")
    assert timers.running() == ["cp"]
    timers.run_until("cp", due_ns=1_150)
    assert timers.deadline == (1_150, "cp")
    assert timers.expired(now_ns=1_220) == ["cp"], "once"


def test_what_was_suspended_counts_as_sent_later() -> None:
    timers = table()
    timers.suspend(now_ns=1_050)
    timers.resume(now_ns=5_120)
    assert timers.sent_ns("cp") == 5_120 - 100, "its answer may come now"
    timers = table()
    timers.suspend(now_ns=1_050)
    timers.resume(now_ns=1_120)
    assert timers.sent_ns("cp") == 1_000
