from __future__ import annotations

from pathlib import Path

import pytest

from models.triage import SYSTEM_PROMPT
from node.service_time import load_profile
from roundtrip.config import load_scenario
from testbed.cli import SCENARIOS
from testbed.live import write_scenario

SHIPPED = sorted(SCENARIOS.glob("*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_scenario_as_run_reads_back_the_same(path: Path, tmp_path: Path) -> None:
    scenario = load_scenario(path)
    write_scenario(scenario, tmp_path / "scenario.toml")
    assert load_scenario(tmp_path / "scenario.toml") == scenario


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_ask_the_builtin_what_it_knows(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario.node.model == "builtin"
    assert scenario.workload.system in ("", SYSTEM_PROMPT)
    assert scenario.workload.temperature == 0
    assert all(item.expected for item in scenario.workload.items())
    assert scenario.description
    load_profile(scenario.node.profile)
