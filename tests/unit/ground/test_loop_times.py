"""Running figures of a station's loops."""

from __future__ import annotations

import pytest

from ground.loop_times import LoopTimes
from roundtrip.budget import Outcome


def test_there_are_none_at_first() -> None:
    shown = LoopTimes().shown()
    assert (shown["p50_s"], shown["bars"]) == (None, {})
    assert sum(shown["outcomes"].values()) == 0


def test_percentiles_and_bars_are_of_answers_and_outcomes_of_all(answered, expired) -> None:
    times = LoopTimes()
    for scale in (1, 10, 100, 100):  # loops of 36, 360, 3600 ms
        times.settled(answered(scale=scale))
        times.shown()
    times.settled(expired())
    shown = times.shown()
    assert shown["outcomes"] == {
        "on_time": 4, "late": 0, "partial": 0, "refused": 0, "expired": 1
    }  # fmt: skip
    assert shown["p50_s"] == pytest.approx(0.36, rel=2e-3)
    assert shown["p90_s"] == pytest.approx(3.6, rel=2e-3)
    assert shown["bars"] == {-15: 1, -5: 1, 5: 2}
    assert shown["per_decade"] == 10


def test_the_late_counts_though_it_is_long(answered) -> None:
    times = LoopTimes()
    times.settled(answered(scale=10**7, outcome=Outcome.LATE))  # more than a day
    assert times.shown()["p99_s"] == pytest.approx(86_400, rel=2e-3)
