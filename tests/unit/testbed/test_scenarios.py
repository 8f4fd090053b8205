from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ground.results.load import load_run
from ground.results.record import Planned
from ground.results.summary import write_results
from models.triage.questions import SYSTEM_PROMPT
from node.service_time import load_profile
from roundtrip.command import SHIPPED as SCENARIOS
from roundtrip.errors import BadInput
from roundtrip.scenario_file import load_scenario, to_toml
from testbed.grading import check_rules
from testbed.world import World

SHIPPED = sorted(SCENARIOS.glob("*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_scenario_as_run_reads_back_the_same(path: Path, tmp_path: Path) -> None:
    scenario = load_scenario(path)
    (tmp_path / "scenario.toml").write_text(to_toml(scenario))
    assert load_scenario(tmp_path / "scenario.toml") == scenario


def test_a_folder_reads_back_and_says_what_is_missing(tmp_path: Path) -> None:
    scenario = load_scenario(SCENARIOS / "demo.toml")
    run = World(scenario, 1, load_profile("builtin")).run()
    odd = Planned(0, run.records[0].planned.intended_ns, "one\u2028line\x85only", None)
    records = [replace(run.records[0], planned=odd), *run.records[1:]]
    write_results(replace(run, records=records), tmp_path)
    (tmp_path / "scenario.toml").write_text(to_toml(scenario))
    again, summary = load_run(tmp_path)
    assert list(again.records) == records
    del summary["loop_ms"]
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(BadInput, match="loop_ms"):
        load_run(tmp_path)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_ask_the_builtin_what_it_knows(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario.node.model == "builtin"
    assert scenario.workload.system in ("", SYSTEM_PROMPT)
    assert scenario.workload.temperature == 0
    questions = scenario.workload.questions
    assert all(item.expected or item.rule for item in questions)
    assert all(len(item.text.encode()) <= 40 for item in questions if item.see is None)
    assert scenario.workload.see == ("telemetry",)
    check_rules(scenario)
    assert scenario.description
    load_profile(scenario.node.profile)
