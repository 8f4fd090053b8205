"""Questions that come while the station stands, and those that nobody waits for any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from ground.outputs import Asking, Request
from ground.results.summary import Run
from ground.workload import asking_of
from node.service_time import load_profile
from roundtrip.budget import Budget, Outcome
from roundtrip.message import Refusal
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import check_scenario
from roundtrip.units import NS_PER_S, s_to_ns
from testbed.world import World

MINUTE = Budget(60 * NS_PER_S, 120 * NS_PER_S, 1.0)


def scenario(**changes: object) -> Scenario:
    way = {"rate_bps": 9_600, "one_way_delay_ms": 500}
    table: dict[str, object] = {
        "link": {"uplink": way, "downlink": way},
        "workload": {"questions": ["First?", "Last?"], "count": 2, "rate_per_min": 1},
        "node": {"sequences": 1},
        "budget": {"loop_s": 120, "expire_s": 300},
    }
    return check_scenario(table | changes, "standing")


@pytest.fixture
def world() -> Callable[..., World]:
    def make(of: Scenario | None = None) -> World:
        of = of or scenario()
        return World(of, 1, load_profile("rpi5-8gb"))

    return make


def at(world: World, at_s: float, command: Callable[..., object], *args: object) -> None:
    world.link.clock.call_at(s_to_ns(at_s), partial(world.ground.call, command, *args))


def by_text(run: Run) -> dict[str, object]:
    return {record.planned.text: record for record in run.records}


def test_a_question_besides_the_workload_is_answered_and_recorded(world) -> None:
    it = world()
    machine = it.ground.machine
    first = machine.next_id()
    at(it, 0.5, machine.ask, Request("Second?"))
    at(it, 0.6, machine.ask, Request("Third?", priority=2))
    run = it.run()
    assert [record.planned.index for record in run.records] == [0, 1, 2, 3]
    assert [record.question_id for record in run.records][2] == first
    assert all(record.outcome is Outcome.ON_TIME for record in run.records)
    assert by_text(run)["Second?"].planned.intended_ns == s_to_ns(0.5)


def test_it_has_settings_and_a_budget_of_its_own(world) -> None:
    it = world()
    asking: Asking = asking_of(scenario().workload, run_id=1, seed=1)
    short = Request("Short?", replace(asking, max_tokens=3, system="Be short."))
    hurried = Request("Hurried?", None, Budget(1 * NS_PER_S, 2 * NS_PER_S, 1.0))
    at(it, 0.5, it.ground.machine.ask, short)
    at(it, 0.6, it.ground.machine.ask, hurried)
    found = by_text(it.run())
    assert found["Short?"].output_tokens <= 3
    assert found["Hurried?"].outcome in (Outcome.EXPIRED, Outcome.REFUSED)
    assert found["Hurried?"].settled_ns <= s_to_ns(2.7)


@pytest.mark.parametrize(("after_s", "reached"), [(0.105, False), (0.7, True)])
def test_a_cancelled_question_expires_at_once_and_the_node_is_told(
    world, after_s: float, reached: bool
) -> None:
    """One that waits behind another on board is taken out there."""
    it = world()
    machine = it.ground.machine
    second = machine.next_id()
    at(it, 0.1, machine.ask, Request("Second?"))
    at(it, after_s, machine.cancel, second)
    found = by_text(it.run())
    assert found["First?"].outcome is Outcome.ON_TIME
    assert found["Last?"].outcome is Outcome.ON_TIME
    cancelled = found["Second?"]
    assert (cancelled.outcome, cancelled.reason) == (Outcome.EXPIRED, "cancelled")
    assert cancelled.settled_ns == s_to_ns(after_s)
    entry = it.node.machine._entries.get(second)
    assert (entry is not None) >= reached
    assert entry is None or entry.reply is not None
    if reached:
        assert entry.reply.reason == "cancelled"


def test_cancelling_what_is_being_answered_cuts_it(world) -> None:
    it = world()
    machine = it.ground.machine
    first = machine.next_id() - 2
    at(it, 0.3, machine.cancel, first)
    found = by_text(it.run())
    assert found["First?"].reason == "cancelled"
    reply = it.node.machine._entries[first].reply
    assert isinstance(reply, Refusal), "it had nothing yet"
    assert reply.reason == "no_time"
    assert found["Last?"].outcome is Outcome.ON_TIME


def test_cancelling_what_is_not_open_does_nothing(world) -> None:
    it = world()
    at(it, 100, it.ground.machine.cancel, 5)
    assert all(record.outcome is Outcome.ON_TIME for record in it.run().records)


@pytest.mark.parametrize("name", ["leo-pass", "uhf"])
def test_answers_are_expected_when_they_come(name: str, shipped, simulate) -> None:
    """Over some seeds; never earlier than light, the rates and the plan allow."""
    errors: list[float] = []
    for seed in range(5):
        run = simulate(shipped[name], seed)
        links = {way: shipped[name].rate(way).most_bps for way in ("uplink", "downlink")}
        light_ns = sum(shipped[name].light_time(way).least_ns for way in links)
        for record in run.records:
            assert record.expected_at_ns is not None
            least_ns = light_ns + 40 * 8 * NS_PER_S // links["uplink"]
            assert record.expected_at_ns >= record.planned.intended_ns + least_ns
            errors.append(record.expectation_error)
    assert sorted(errors)[len(errors) // 2] <= 0.1
