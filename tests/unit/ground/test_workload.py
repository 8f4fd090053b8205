from __future__ import annotations

from itertools import pairwise

from ground.workload import planned_questions
from roundtrip.units import NS_PER_S
from roundtrip.workload_config import WorkloadConfig


def test_fixed_arrivals_are_evenly_spaced_and_cycle_the_questions() -> None:
    config = WorkloadConfig(questions=("a", "b"), count=3, rate_per_min=30, start_s=1)
    planned = planned_questions(config, seed=1)
    assert [p.intended_ns for p in planned] == [NS_PER_S, 3 * NS_PER_S, 5 * NS_PER_S]
    assert [p.text for p in planned] == ["a", "b", "a"]


def test_poisson_arrivals_have_the_rate_and_the_spread() -> None:
    config = WorkloadConfig(questions=("a",), count=5000, rate_per_min=60, arrivals="poisson")
    times = [p.intended_ns / NS_PER_S for p in planned_questions(config, seed=1)]
    gaps = [b - a for a, b in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert abs(mean - 1) < 0.05
    assert abs(variance - 1) < 0.15
    assert times != [p.intended_ns / NS_PER_S for p in planned_questions(config, seed=2)]
