"""How long an answer is waited for, with the numbers worked out by hand."""

from __future__ import annotations

from dtn.ltp.round_trip import RoundTrip
from dtn.ltp.timers import Answered

LEAST = 200


def after(*took: int) -> RoundTrip:
    found = RoundTrip()
    for one in took:
        found.take(Answered(one, one))
    return found


def test_the_margin_is_never_below_the_least() -> None:
    assert RoundTrip().margin_ns(LEAST) == LEAST
    assert after(5, 20, 5, 90, 60).margin_ns(LEAST) == LEAST


def test_late_answers_make_it_longer_by_their_mean_and_their_variation() -> None:
    assert after(1_000).margin_ns(LEAST) == 500 + 2 * 500
    assert after(1_000, 1_000).margin_ns(LEAST) == 750 + 2 * 500
    assert after(1_000, 1_000, 1_000).margin_ns(LEAST) == 875 + 2 * 375


def test_it_never_falls_below_a_delay_that_stays() -> None:
    found = RoundTrip()
    for _ in range(50):
        found.take(Answered(1_000, 1_000))
        assert found.margin_ns(LEAST) >= 1_000 - 1, "to the last rounding"
    assert found.margin_ns(LEAST) < 1_020


def test_an_answer_that_comes_sooner_is_believed_at_once() -> None:
    assert after(60_000, 60_000, 400).margin_ns(LEAST) == 400 + 2 * 200


def test_an_answer_to_one_of_several_sendings_counts_where_it_contradicts() -> None:
    found = after(1_000, 1_000)
    found.take(Answered(100, 5_000))
    assert found.margin_ns(LEAST) == 750 + 2 * 500, "the belief lies between"
    found.take(Answered(2_750, 5_000))
    assert found.margin_ns(LEAST) == 1_750 + 2 * 1_250, "at least so long"
    found.take(Answered(0, 300))
    assert found.margin_ns(LEAST) == 300 + 2 * 150, "at most so long"


def test_lost_frames_on_a_quick_link_change_nothing() -> None:
    """The repeat is answered at once; only that is certain."""
    found = RoundTrip()
    for _ in range(10):
        found.take(Answered(3, 1_003))
    assert found.margin_ns(LEAST) == LEAST


def test_backed_off_from_the_third_repeat_on() -> None:
    factors = [RoundTrip().margin_ns(LEAST, runs=runs) // LEAST for runs in range(9)]
    assert factors == [1, 1, 1, 2, 4, 8, 16, 16, 16]


def test_it_says_whether_an_answer_came_sooner_than_believed() -> None:
    found = RoundTrip()
    assert not found.take(Answered(1_000, 1_000))
    assert found.take(Answered(499, 499))
    assert not found.take(Answered(499, 499))
    assert not found.take(Answered(10, 2_000))
