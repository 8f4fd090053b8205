from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ground.results.summary import Run
from node.service_time import load_profile
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario
from roundtrip.trace import Trace
from testbed.world import World

SHIPPED = sorted((Path(__file__).parents[2] / "testbed" / "scenarios").glob("*.toml"))


@pytest.fixture(scope="session")
def shipped() -> dict[str, Scenario]:
    """Every shipped scenario, by name; what goes up in one is a hundredth of what it is."""
    known = {path.stem: load_scenario(path, now="2026-06-01T00:00:00Z") for path in SHIPPED}
    for name, scenario in known.items():
        if scenario.upload is not None:
            less = {"size_bytes": scenario.upload.size_bytes // 100}
            upload = scenario.upload.model_copy(update=less)
            known[name] = scenario.model_copy(update={"upload": upload})
    return known


@pytest.fixture(scope="session")
def simulate() -> Callable[..., Run]:
    """Run a scenario in virtual time."""

    def run(scenario: Scenario, seed: int, trace: Trace | None = None) -> Run:
        return World(scenario, seed, load_profile(scenario.node.profile), trace).run()

    return run
