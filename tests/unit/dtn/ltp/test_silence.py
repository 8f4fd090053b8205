"""Nothing is answered: who waits, and who asks."""

from __future__ import annotations

from dtn.ltp.silence import PROBE_NS, SILENT_NS, Silence


def ran_out(
    silence: Silence[str], key: str, now_ns: int, *, first_ns: int = 0, sent_ns: int = 1
) -> bool:
    """A timer of a segment that was repeated has run out."""
    return silence.ran_out(key, first_ns=first_ns, sent_ns=sent_ns, repeated=True, now_ns=now_ns)


def begun(*keys: str) -> Silence[str]:
    """A silence, with these timers overdue."""
    silence: Silence[str] = Silence()
    for key in keys:
        assert ran_out(silence, key, SILENT_NS)
    return silence


def test_a_run_of_losses_is_no_silence() -> None:
    silence: Silence[str] = Silence()
    assert not silence.ran_out("a", first_ns=0, sent_ns=0, repeated=False, now_ns=9 * SILENT_NS)
    assert not ran_out(silence, "a", SILENT_NS - 1)
    assert not ran_out(silence, "a", SILENT_NS + 99, first_ns=100)
    assert not silence.lasts
    assert silence.probe_ns is None


def test_it_lasts_since_the_latest_answer() -> None:
    silence: Silence[str] = Silence()
    assert silence.end(now_ns=100) == []
    assert not ran_out(silence, "a", SILENT_NS + 99, sent_ns=100)
    assert ran_out(silence, "a", SILENT_NS + 100, sent_ns=100)


def test_a_repeat_that_left_before_an_answer_came_says_nothing() -> None:
    silence: Silence[str] = Silence()
    silence.end(now_ns=100)
    assert not ran_out(silence, "a", 9 * SILENT_NS, sent_ns=99)


def test_in_a_silence_everything_waits_until_there_is_an_answer() -> None:
    silence = begun("a")
    later_ns = SILENT_NS + 1
    assert silence.ran_out(
        "b", first_ns=later_ns, sent_ns=later_ns, repeated=False, now_ns=later_ns
    )
    assert silence.lasts
    assert silence.end(now_ns=later_ns) == ["a", "b"]
    assert not silence.lasts
    assert silence.end(now_ns=later_ns) == []


def test_one_asks_after_the_other_once_a_second() -> None:
    silence = begun("a", "b", "c")
    silence.forget("b")
    silence.forget("b")
    assert silence.probe(now_ns=7, wait_ns=5) == ["a"]
    assert silence.probe_ns == 7 + PROBE_NS
    assert silence.probe(now_ns=6 + PROBE_NS, wait_ns=5) == []
    assert silence.probe(now_ns=7 + PROBE_NS, wait_ns=5) == ["c"]
    assert silence.probe_ns is None, "none waits"


def test_none_asks_sooner_than_an_answer_could_be_here() -> None:
    silence = begun("a", "b")
    silence.probe(now_ns=PROBE_NS, wait_ns=3 * PROBE_NS)
    assert silence.probe_ns == 4 * PROBE_NS
