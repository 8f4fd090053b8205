"""A node on a battery, in virtual time."""

from __future__ import annotations

from itertools import pairwise

from node.service_time import load_profile
from roundtrip.budget import Outcome
from roundtrip.node_config import EnergyConfig
from roundtrip.scenario import Scenario
from testbed.world import World


def on_battery(scenario: Scenario, **energy) -> Scenario:
    node = scenario.node.model_copy(update={"energy": EnergyConfig(**energy)})
    return scenario.model_copy(update={"node": node})


def test_below_the_floor_only_expedited_questions_are_answered(shipped) -> None:
    demo = shipped["demo"]
    questions = tuple(
        question.model_copy(update={"priority": "expedited" if index % 3 == 0 else "normal"})
        for index, question in enumerate(demo.workload.questions[:18])
    )
    workload = demo.workload.model_copy(update={"questions": questions, "count": 18})
    scenario = on_battery(
        demo.model_copy(update={"workload": workload}),
        battery_wh=10, floor=0.5, start=0.4, solar_w=0,
    )  # fmt: skip
    run = World(scenario, 1, load_profile("rpi5-8gb")).run()
    for record in run.records:
        if record.planned.priority == 2:
            assert record.outcome is Outcome.ON_TIME
            assert record.spent_mj > 0
        else:
            assert (record.outcome, record.reason) == (Outcome.REFUSED, "no_energy")


def test_a_deferred_question_is_answered_when_the_sun_has_filled_the_battery(shipped) -> None:
    scenario = on_battery(shipped["demo"], battery_wh=0.5, floor=0.5, start=0.45, solar_w=12)
    run = World(scenario, 1, load_profile("rpi5-8gb")).run()
    first = run.records[0]
    assert first.outcome is Outcome.ON_TIME
    assert first.phases_ns["onboard_queue"] > 5e9, "it waited for the sun"
    levels = [permille for _, permille in run.charge]
    assert levels[0] == 450
    assert max(levels) > 490


def test_a_day_in_orbit_charges_in_sunlight_and_discharges_in_shadow(shipped) -> None:
    day = shipped["orbit-day"]
    run = World(day, 1, load_profile(day.node.profile)).run()
    levels = [permille for _, permille in run.charge]
    assert len(levels) > 100
    ups = sum(b > a for a, b in pairwise(levels))
    downs = sum(b < a for a, b in pairwise(levels))
    assert ups > 20
    assert downs > 20
    assert 0 < min(levels) < max(levels) <= 1000
