"""The link belongs to an enemy: nothing forged is taken, nothing is lost, memory stays bounded.

`python -m tests.sim.test_enemy [ATTEMPTS]` tries as many as it is told.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from statistics import median

import pytest

from ground.results.record import LoopRecord
from node.service_time import load_profile
from roundtrip.modem import Side
from testbed.chaos.hostile import HostileWorld
from testbed.chaos.runs import open_windows
from tests.sim.test_chaos import lossy

SCENARIO = lossy(2)
PROFILE = load_profile(SCENARIO.node.profile)


def under_attack(
    seed: int, per_frame: float, *, meddles: bool = True
) -> tuple[HostileWorld, list[LoopRecord], list[str]]:
    world = HostileWorld(SCENARIO, seed, PROFILE, per_frame=per_frame, meddles=meddles)
    records = list(world.run().records)
    workload, budget = SCENARIO.workload, SCENARIO.budget.budget()
    broken = world.checker.ends(records, workload.count, budget, open_windows(SCENARIO), 0)
    return world, records, broken


@pytest.mark.parametrize(
    "seeds", [range(24), pytest.param(range(100, 1000), marks=pytest.mark.chaos)]
)
def test_nothing_forged_is_taken_and_nothing_is_lost(seeds: range) -> None:
    attempts: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for seed in seeds:
        world, records, broken = under_attack(seed, 1.0)
        assert broken == [], f"seed {seed}"
        attempts.update(world.attempts)
        outcomes.update(record.outcome.value for record in records)
    assert min(attempts.values()) > 5 * len(seeds), attempts
    assert sum(attempts.values()) > 800 * len(seeds)
    assert outcomes["on_time"] + outcomes["late"] == 15 * len(seeds), "they cost time alone"


def test_memory_is_bounded_whatever_is_opened() -> None:
    world, _, broken = under_attack(3, 4.0)
    assert broken == []
    assert sum(world.attempts.values()) > 10_000
    for side in Side:
        agent = (world.ground.machine if side is Side.GROUND else world.node.machine._radio)._agent
        receiver = agent._engine._receiver
        assert len(receiver._receivers) <= receiver._config.max_rx_sessions
        assert len(receiver._closed) <= receiver._config.closed_sessions_kept


def test_honest_loops_keep_their_rate_under_as_many_hostile_frames() -> None:
    loops = {}
    for per_frame in (0.0, 1.0):
        found = [under_attack(seed, per_frame, meddles=False)[1] for seed in range(6)]
        loops[per_frame] = median(r.loop_ns or 1 << 62 for records in found for r in records)
    assert loops[1.0] <= 2 * loops[0.0]


def tried(count: int) -> None:
    """Run until so many attempts are made, and print what came of them."""
    attempts: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    broken: list[str] = []
    began, seed = time.process_time(), 0
    while sum(attempts.values()) < count:
        world, records, found = under_attack(10_000 + seed, 1.0)
        seed += 1
        attempts.update(world.attempts)
        outcomes.update(record.outcome.value for record in records)
        broken += [f"seed {10_000 + seed}: {what}" for what in found]
    for name, number in sorted(attempts.items()):
        print(f"{number:10,d}  {name}")
    print(
        f"{sum(attempts.values()):10,d}  attempts in {seed} runs, {sum(outcomes.values()):,} "
        f"questions: {dict(outcomes)}; {len(broken)} promises broken; "
        f"{time.process_time() - began:.0f} s of processor time"
    )
    for what in broken[:20]:
        print(what)


if __name__ == "__main__":
    tried(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
