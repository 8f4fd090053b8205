"""Everything dies, and what is promised holds; and the checker that says so notices what it should.

A failure names the seed: `groundloop campaign outage-storm --chaos --runs 1 --seed N` shows it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ground.machine import GroundMachine
from ground.parts import Parts
from ground.timers import Due
from node.jobs import Jobs
from node.machine import NodeMachine
from node.outputs import StoreAnswer
from node.service_time import load_profile
from node.store import NodeStore
from roundtrip.drive.virtual import VirtualClock
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import check_scenario
from testbed.chaos.disk import HurtDisk
from testbed.chaos.faults import EngineFault, Faults, Kill, faults_of
from testbed.chaos.runs import Verdict, many_runs, one_run
from testbed.chaos.world import ChaosWorld, words_of

WITHIN = 200
"""Seeds in which a planted fault must be found."""


def lossy(sequences: int = 1, **budget: float) -> Scenario:
    """Always in contact but for silent outages; answers of several parts."""
    way = {"rate_bps": 19_200, "one_way_delay_ms": 200, "loss": 0.1, "mtu_bytes": 256}
    return check_scenario(
        {
            "link": {"uplink": way, "downlink": way},
            "outage": [{"start_s": at, "end_s": at + 25, "kind": "silent"} for at in (20, 90, 160)],
            "workload": {
                "questions": [f"What is channel {n}?" for n in range(15)],
                "count": 15,
                "rate_per_min": 6 * sequences,
                "max_tokens": 400,
            },
            "budget": {"loop_s": 120, "expire_s": 900} | budget,
            "node": {"part_s": 0.2, "profile": "rpi5-8gb", "sequences": sequences},
        },
        "lossy",
    )


def runs(scenario: Scenario, seeds: range) -> Verdict:
    profile, total = load_profile(scenario.node.profile), Verdict()
    for seed in seeds:
        total.add(one_run(scenario, seed, profile))
    return total


@pytest.mark.parametrize(
    "seeds", [range(60), pytest.param(range(60, 2000), marks=pytest.mark.chaos)]
)
def test_nothing_is_lost_and_nothing_done_twice(shipped: dict[str, Scenario], seeds: range) -> None:
    for scenario in (shipped["outage-storm"], lossy()):
        total = runs(scenario, seeds)
        assert total.broken == [], scenario.name
        assert min(total.faults[f"{name} killed"] for name in ("ground", "node", "link")) > 50
        assert total.outcomes["on_time"] > 0.9 * total.questions


def test_an_engine_that_really_answers_dies_like_the_other(shipped: dict[str, Scenario]) -> None:
    verdict = many_runs(shipped["demo"], range(3), jobs=1, on_batch=lambda _: None, real=True)
    assert verdict.broken == []
    assert verdict.faults["engine died"] + verdict.faults["node killed"] >= 3
    assert verdict.outcomes["on_time"] > 2 * shipped["demo"].workload.count


def test_many_runs_are_the_same_runs_wherever(shipped: dict[str, Scenario]) -> None:
    told: list[int] = []
    both = many_runs(shipped["outage-storm"], range(30, 52), jobs=1, on_batch=told.append)
    assert both == runs(shipped["outage-storm"], range(30, 52))
    assert told == [20, 22]


# -- the checker is checked ------------------------------------------------------------------------

Patch = Callable[[pytest.MonkeyPatch], None]


def acknowledged_before_stored(patch: pytest.MonkeyPatch) -> None:
    take = NodeMachine._take

    def taken(self: Any, question: Any, received: Any) -> Any:
        outputs = take(self, question, received)
        self._entries[question.question_id].bundle_id = None
        return [*outputs, *self._radio.accept(received.bundle.id, received.received_ns)]

    patch.setattr(NodeMachine, "_take", taken)


def answer_sent_before_stored(patch: pytest.MonkeyPatch) -> None:
    done = NodeMachine.inference_done

    def sent(self: Any, question_id: int, *args: Any, now_ns: int) -> Any:
        outputs = done(self, question_id, *args, now_ns=now_ns)
        stored = any(isinstance(output, StoreAnswer) for output in outputs)
        return [*outputs, *(self._radio.send_reply(question_id, now_ns) if stored else [])]

    patch.setattr(NodeMachine, "inference_done", sent)
    patch.setattr(NodeMachine, "answer_stored", lambda self, question_id, now_ns: [])


def duplicate_filter_forgotten_at_restart(patch: pytest.MonkeyPatch) -> None:
    recover = NodeStore.recover

    def unanswered(self: Any, run_id: int | None) -> Any:
        found, damaged = recover(self, run_id)
        return [one for one in found if one.reply is None], damaged

    patch.setattr(NodeStore, "recover", unanswered)
    patch.setattr(NodeStore, "seen", lambda self: [])


def timer_not_resumed(patch: pytest.MonkeyPatch) -> None:
    set_timers = GroundMachine._set_timers

    def forgotten(self: Any, entry: Any) -> None:
        if not entry.stamps.interrupted:
            set_timers(self, entry)

    patch.setattr(GroundMachine, "_set_timers", forgotten)


def part_accepted_twice(patch: pytest.MonkeyPatch) -> None:
    def add(self: Any, part: Any) -> None:
        self._pieces[sum(map(len, self._pieces.values()))] = part.text.encode()

    def whole(self: Any, answer: Any) -> Any:
        return replace(answer, text=self.text + answer.text, start=0, digest=b"")

    patch.setattr(Parts, "add", add)
    patch.setattr(Parts, "whole", whole)


def settled_twice(patch: pytest.MonkeyPatch) -> None:
    recover = GroundMachine._recover
    patch.setattr(
        GroundMachine,
        "_recover",
        lambda self, planned, stored: recover(self, planned, replace(stored, settled=False)),
    )


def wrong_questions_answer(patch: pytest.MonkeyPatch) -> None:
    done = Jobs.done

    def mixed(self: Any, question_id: int, result: Any, *args: Any) -> Any:
        others = [other for other in self._running if other != question_id]
        return done(self, others[0] if others else question_id, result, *args)

    patch.setattr(Jobs, "done", mixed)


def stamp_in_the_wrong_clock(patch: pytest.MonkeyPatch) -> None:
    first_token = Jobs.first_token

    def of_the_engine(self: Any, question_id: int, at_ns: int, now_ns: int) -> Any:
        return first_token(self, question_id, at_ns - 10**9, now_ns)

    patch.setattr(Jobs, "first_token", of_the_engine)


def expires_at_once(patch: pytest.MonkeyPatch) -> None:
    """As if the clock had jumped at the ground's start."""
    patch.setattr("ground.machine.Budget", lambda *args: None)
    recover = GroundMachine._recover

    def hurried(self: Any, planned: Any, stored: Any) -> None:
        recover(self, planned, stored)
        self._timers.put(0, stored.question_id, Due.EXPIRED)

    patch.setattr(GroundMachine, "_recover", hurried)


@pytest.mark.parametrize(
    ("plant", "of", "says"),
    [
        (acknowledged_before_stored, lossy(), "acknowledged and not yet on disk|is lost"),
        (answer_sent_before_stored, lossy(), "a reply that the node had not on disk|second time"),
        (duplicate_filter_forgotten_at_restart, lossy(), "second time on board|is lost"),
        (timer_not_resumed, lossy(loop_s=10, expire_s=20), "outlives its expiry"),
        (part_accepted_twice, lossy(), "another's answer"),
        (settled_twice, lossy(), "two outcomes"),
        (wrong_questions_answer, lossy(4), "another's answer"),
        (stamp_in_the_wrong_clock, lossy(), "has the times"),
        (expires_at_once, lossy(), "expires before its time"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_fault_is_found(
    plant: Patch, of: Scenario, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    found: list[str] = []
    for seed in range(WITHIN):
        found = [what for _, what in runs(of, range(seed, seed + 1)).broken]
        if any(re.search(says, what) for what in found):
            return
    pytest.fail(f"not within {WITHIN} seeds; the last said {found}")


# -- what it is made of ----------------------------------------------------------------------------


def test_a_disk_that_dies_keeps_what_it_called_safe_and_some_of_the_rest() -> None:
    clock, safe, told = VirtualClock(), [], []
    disk = HurtDisk(clock, random.Random(3), 1_000, safe.append)
    for number in range(3):
        disk.write(number, lambda number=number: told.append(number))
    clock.run(lambda: disk.idle, limit_ns=1 << 62)
    assert disk.kept == safe == told == [0, 1, 2]
    orders = set()
    for seed in range(60):
        other = HurtDisk(clock, random.Random(seed), 1_000, lambda output: None, kept=[0])
        for number in (1, 2, 3):
            other.write(number, told.clear)
        assert other.crash(0) == []
        assert other.kept[0] == 0
        assert other.idle
        orders.add(tuple(other.kept[1:]))
    assert {(), (1,), (2, 1), (3, 1, 2)} <= orders
    clock.run(lambda: False, limit_ns=1 << 62)
    assert told == [0, 1, 2], "nobody is told of what came after"


def test_a_disk_that_lies_loses_the_last_and_all_that_came_after() -> None:
    disk = HurtDisk(VirtualClock(), random.Random(1), 1_000, lambda output: None, kept=[1, 2, 3])
    disk.write(4, None)
    assert disk.crash(2) == [2, 3]
    assert disk.kept == [1]


def test_faults_follow_from_the_seed() -> None:
    until_ns = 10**11
    assert faults_of(5, until_ns) == faults_of(5, until_ns)
    drawn = [faults_of(seed, until_ns) for seed in range(300)]
    assert all(fault.at_ns < until_ns for faults in drawn for fault in faults.engine)
    assert {faults.own_clock for faults in drawn} == {faults.lies for faults in drawn} == {0, 1}
    shifted = [faults for faults in drawn if any(k.shift_ns for k in faults.kills["node"])]
    assert shifted
    assert all(faults.own_clock for faults in shifted)


def test_without_faults_nothing_goes_wrong() -> None:
    none = Faults({"ground": (), "node": (), "link": ()}, (), own_clock=False, lies=False)
    verdict = one_run(lossy(), 1, load_profile("rpi5-8gb"), none)
    assert (verdict.broken, verdict.faults) == ([], {})
    assert verdict.outcomes == {"on_time": 15}


def test_each_fault_happens_as_told() -> None:
    """A kill after so many outputs, for so long; an engine that hangs is noticed after 20 s."""
    second = 10**9
    kills = {"ground": (), "node": (Kill(5, 3 * second),), "link": (Kill(40, second),)}
    faults = Faults(kills, (EngineFault(30 * second, True, second),), own_clock=True, lies=False)
    world = ChaosWorld(lossy(), 1, load_profile("rpi5-8gb"), faults)
    records = world.run().records
    assert world.done == {"node killed": 1, "link killed": 1, "engine hung": 1} | {
        "writes lost by a lying disk": 0
    }
    assert len(records) == 15
    assert all(
        record.answer == words_of(record.planned.text, len(record.answer)) for record in records
    )
