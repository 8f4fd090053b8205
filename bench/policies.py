"""Answers on time by scheduling policy, on a node that is too slow for what is asked of it.

In virtual time, with the speed of a Raspberry Pi 5 running Qwen3-0.6B: `storm` and `leo-pass`,
asked at one, two and four times their rate. Partial answers count as on time, late ones do not.
"""

from __future__ import annotations

from pathlib import Path

from bench.row import Row
from node.service_time import Profile, load_profile
from roundtrip.budget import Outcome
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario
from testbed.world import World

SCENARIOS = Path(__file__).parent.parent / "testbed" / "scenarios"
SEEDS = 20
POLICIES = ("fifo", "edf", "deadline")
PROFILE = "rpi5-8gb"


def rows() -> list[Row]:
    """Ours over the better of the two others, for each scenario and load."""
    profile = load_profile(PROFILE)
    found: list[Row] = []
    for name in ("storm", "leo-pass"):
        scenario = load_scenario(SCENARIOS / f"{name}.toml")
        for load in (1, 2, 4):
            shares = {policy: _share(scenario, profile, policy, load) for policy in POLICIES}
            best = max(shares["fifo"], shares["edf"])
            note = ", ".join(f"{policy} {shares[policy]:.1%}" for policy in POLICIES)
            ratio = shares["deadline"] / best
            what = f"on time, {name} at {load}x: ours / best of fifo and edf"
            found.append(Row(what, ratio, "x", 1.0, at_least=True, note=note))
    return found


def _share(scenario: Scenario, profile: Profile, policy: str, load: int) -> float:
    workload = scenario.workload
    asked = workload.model_copy(
        update={"rate_per_min": workload.rate_per_min * load, "count": workload.count * load}
    )
    node = scenario.node.model_copy(update={"policy": policy})
    loaded = scenario.model_copy(update={"workload": asked, "node": node})
    in_time = total = 0
    for seed in range(SEEDS):
        for record in World(loaded, seed, profile).run().records:
            total += 1
            in_time += record.outcome in (Outcome.ON_TIME, Outcome.PARTIAL)
    return in_time / total
