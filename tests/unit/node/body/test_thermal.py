from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.body.thermal import Level, ThermalPolicy
from roundtrip.node_config import ThermalConfig

CONFIG = ThermalConfig(reduce_c=75, pause_c=85, margin_c=5)


def levels(*temperatures_c: float | None) -> list[Level]:
    policy = ThermalPolicy(CONFIG)
    found = []
    for temperature_c in temperatures_c:
        policy.update(temperature_c)
        found.append(policy.level)
    return found


def test_it_steps_up_at_the_limits_and_down_a_margin_below() -> None:
    full, reduced, paused = Level.FULL, Level.REDUCED, Level.PAUSED
    assert levels(74.9, 75, 70.1, 70) == [full, reduced, reduced, full]
    assert levels(80, 85, 80.1, 80, 70) == [reduced, paused, paused, reduced, full]


def test_a_leap_passes_all_levels() -> None:
    assert levels(99, 20) == [Level.PAUSED, Level.FULL]


def test_no_measurement_changes_nothing() -> None:
    assert levels(80, None, None) == [Level.REDUCED] * 3


def test_it_says_when_the_level_changes() -> None:
    policy = ThermalPolicy(CONFIG)
    assert [policy.update(c) for c in (60, 76, 77, 60)] == [False, True, False, True]


@pytest.mark.parametrize(("full", "reduced"), [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4)])
def test_threads_by_level(full: int, reduced: int) -> None:
    policy = ThermalPolicy(CONFIG)
    assert policy.threads(full) == full
    policy.update(80)
    assert policy.threads(full) == reduced
    policy.update(90)
    assert policy.threads(full) == 0


@given(st.lists(st.floats(-50, 150)))
def test_within_the_margin_it_never_goes_back_and_forth(temperatures_c: list[float]) -> None:
    policy = ThermalPolicy(CONFIG)
    changes: list[tuple[Level, float]] = [(Level.FULL, -1000)]
    for temperature_c in temperatures_c:
        if policy.update(temperature_c):
            (before, at_c), now = changes[-1], policy.level
            assert now > before or at_c - temperature_c >= CONFIG.margin_c
            assert (now > before) == (temperature_c > at_c)
            changes.append((now, temperature_c))
        expected = (
            Level.PAUSED if temperature_c >= 85 else Level.FULL if temperature_c <= 70 else None
        )
        assert expected in (None, policy.level)
