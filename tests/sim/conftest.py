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
    """Every shipped scenario, by name."""
    return {path.stem: load_scenario(path, now="2026-06-01T00:00:00Z") for path in SHIPPED}


@pytest.fixture(scope="session")
def simulate() -> Callable[..., Run]:
    """Run a scenario in virtual time."""

    def run(scenario: Scenario, seed: int, trace: Trace | None = None) -> Run:
        return World(scenario, seed, load_profile(scenario.node.profile), trace).run()

    return run
