"""How fast virtual time runs: `leo-pass` with 100 questions, imports and loading aside."""

from __future__ import annotations

import statistics
import time

from bench.row import Row
from node.service_time import load_profile
from roundtrip.command import SHIPPED as SCENARIOS
from roundtrip.scenario_file import load_scenario
from testbed.world import World

RUNS = 7


def rows() -> list[Row]:
    """Seconds of one run, the median of several."""
    scenario = load_scenario(SCENARIOS / "leo-pass.toml")
    workload = scenario.workload.model_copy(update={"count": 100, "rate_per_min": 20.0})
    scenario = scenario.model_copy(update={"workload": workload})
    profile = load_profile(scenario.node.profile)
    seconds = []
    for seed in range(RUNS):
        begin = time.process_time()
        run = World(scenario, seed, profile).run()
        seconds.append(time.process_time() - begin)
        assert len(run.records) == 100
    return [
        Row(
            "virtual time: leo-pass, 100 questions",
            statistics.median(seconds),
            "s of one core",
            1.0,
            at_least=False,
        )
    ]
