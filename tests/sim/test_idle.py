"""Time in which nothing happens costs nothing but the node's beacons. Counted in events on the
heap, which hang on no machine."""

from __future__ import annotations

from typing import Any

import pytest

from link_sim.impairments import RainFade
from node.service_time import load_profile
from roundtrip.budget import Outcome
from roundtrip.scenario import Scenario
from testbed.world import CHARGE_SAMPLES, World

DAYS = 14
QUESTIONS = 3
BEACON_EVENTS = 16
"""Of one beacon: frames, reports, timers, on a link with losses."""
ALWAYS_OPEN = (
    "demo",
    "geo-relay",
    "handover-burst",
    "iridium",
    "lunar",
    "optical-pass",
    "starlink",
    "storm",
    "uhf",
    "xband-pass",
)
"""Shipped links; their contacts and outages, which are events, are taken out."""


def events(scenario: Scenario, idle_s: float, **node: Any) -> int:
    """Of a run that asks a few questions after an idle time, then one more after another."""
    workload = scenario.workload.model_copy(
        update={"start_s": idle_s, "count": QUESTIONS, "arrivals": "fixed"}
    )
    quiet = scenario.model_copy(
        update={
            "workload": workload,
            "contact": (),
            "outage": (),
            "node": scenario.node.model_copy(update=node),
        }
    )
    world = World(quiet, 1, load_profile(quiet.node.profile))
    run = world.run()
    assert [record.outcome for record in run.records] == [Outcome.ON_TIME] * QUESTIONS
    return world._clock.events


@pytest.mark.parametrize("name", ALWAYS_OPEN)
def test_idle_days_cost_their_beacons_only(name: str, shipped: dict[str, Scenario]) -> None:
    scenario = shipped[name]
    idle_s = DAYS * 86_400.0
    beacons = DAYS * 24 + 12
    """One an hour, and more often in the first hours."""
    assert events(scenario, idle_s) <= events(scenario, 0.0) + BEACON_EVENTS * beacons
    silent = events(scenario, idle_s, beacon_s=0.0)
    assert silent <= events(scenario, 0.0, beacon_s=0.0) + 50


def test_a_year_costs_as_little_as_a_day(shipped: dict[str, Scenario]) -> None:
    day, year = (events(shipped["storm"], days * 86_400.0, beacon_s=0.0) for days in (1, 365))
    assert year <= day + 50


def test_the_fades_of_idle_days_are_not_drawn(
    shipped: dict[str, Scenario], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    normal = RainFade._normal
    monkeypatch.setattr(
        RainFade, "_normal", lambda fade, step: drawn.append(step) or normal(fade, step)
    )
    events(shipped["storm"], DAYS * 86_400.0, beacon_s=0.0)
    assert 0 < len(drawn) < 2_000


def test_a_battery_is_sampled_a_few_hundred_times_however_long(
    shipped: dict[str, Scenario],
) -> None:
    scenario = shipped["demo"]
    energy = {"battery_wh": 80, "solar_w": 20, "bus_w": 2, "eclipse_min": 35}
    node = scenario.node.model_validate(
        scenario.node.model_dump() | {"energy": energy, "profile": "rpi5-8gb"}
    )
    powered = scenario.model_copy(update={"node": node})
    idle, at_once = (events(powered, days * 86_400.0, beacon_s=0.0) for days in (DAYS, 0))
    assert idle <= at_once + CHARGE_SAMPLES + 50
