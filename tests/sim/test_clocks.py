"""Runs on any date: the plan's clock is the time, and the wall clock nothing but a label."""

from __future__ import annotations

import pytest

from node.service_time import load_profile
from roundtrip.budget import Outcome
from roundtrip.scenario import Scenario
from testbed.world import DTN_EPOCH_MS, World

YEAR_MS = 365 * 86_400_000


def outcomes(scenario: Scenario, dtn_epoch_ms: int, *, plain: bool = False) -> list[object]:
    profile = load_profile(scenario.node.profile)
    run = World(scenario, 3, profile, plain=plain, dtn_epoch_ms=dtn_epoch_ms).run()
    assert run.rejected == {}
    return [(record.outcome, record.reason) for record in run.records]


@pytest.mark.parametrize("name", ["demo", "lunar"])
def test_a_run_goes_the_same_on_any_date(name: str, shipped: dict[str, Scenario]) -> None:
    usual = outcomes(shipped[name], DTN_EPOCH_MS)
    for date_ms in (DTN_EPOCH_MS - 10 * YEAR_MS, DTN_EPOCH_MS + 200 * YEAR_MS):
        assert outcomes(shipped[name], date_ms) == usual, "replay with this date"


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("name", ["demo", "outage-storm", "uhf"])
def test_ends_without_a_date_go_by_ages(
    name: str, plain: bool, shipped: dict[str, Scenario]
) -> None:
    found = outcomes(shipped[name], 0, plain=plain)
    assert len(found) == shipped[name].workload.count
    on_time = sum(outcome in (Outcome.ON_TIME, Outcome.PARTIAL) for outcome, _ in found)
    assert on_time >= shipped[name].budget.objective * len(found)
