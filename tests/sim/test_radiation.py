"""Whole runs under radiation, in virtual time."""

from __future__ import annotations

from pathlib import Path

import pytest

from ground.results.load import load_run
from ground.results.summary import Run, summarise, write_results
from node.radio import Radio
from node.service_time import load_profile
from roundtrip.budget import Outcome
from roundtrip.radiation import RadiationConfig
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import to_toml
from testbed.world import World


def exposed(scenario: Scenario, count: int, **radiation) -> Run:
    workload = scenario.workload.model_copy(update={"count": count})
    config = RadiationConfig.model_validate(radiation)
    node = scenario.node.model_copy(update={"radiation": config})
    changed = scenario.model_copy(update={"workload": workload, "node": node})
    return World(changed, 1, load_profile("builtin")).run()


@pytest.fixture
def scenario(shipped) -> Scenario:
    return shipped["radiation"]


def test_a_day_at_a_thousand_times_the_rate_of_an_orbit_is_answered_right(
    scenario: Scenario,
) -> None:
    summary = summarise(World(scenario, 1, load_profile("builtin")).run())
    assert (summary["right"], summary["graded"]) == (1440, 1440)
    assert summary["outcomes"]["on_time"] == 1440
    upsets = summary["upsets"]
    assert upsets["upsets"] > 10_000
    assert (upsets["mended"], upsets["spoilt"]) == (upsets["upsets"], 0)
    assert summary["node"]["vitals"]["mended"] > 10_000


def test_without_checks_it_is_not(scenario: Scenario) -> None:
    run = exposed(scenario, 600, environment="leo", times=1000, scrub=False)
    summary = summarise(run)
    assert summary["graded"] == 600
    assert summary["right"] == 600 - summary["upsets"]["spoilt"] < 300
    assert summary["upsets"]["mended"] == 0
    assert summary["node"]["vitals"]["mended"] == 0


def test_its_results_read_back_and_say_what_happened(scenario: Scenario, tmp_path: Path) -> None:
    run = exposed(scenario, 100, environment="leo", times=1000)
    assert run.upsets is not None
    (tmp_path / "scenario.toml").write_text(to_toml(run.scenario))
    write_results(run, tmp_path)
    again, summary = load_run(tmp_path)
    assert again.upsets == run.upsets
    assert summary["upsets"] == run.upsets
    assert summarise(again)["right"] == 100
    page = (tmp_path / "report.html").read_text()
    assert f"{run.upsets['upsets']:,} upsets in the weights" in page
    assert "an answer counts as right where no harmful upset stood" in page


def test_without_upsets_all_is_right_and_a_seed_repeats_what_it_did(scenario: Scenario) -> None:
    assert summarise(exposed(scenario, 20))["right"] == 20
    first, again = (exposed(scenario, 50, environment="saa", times=1000) for _ in "ab")
    assert first == again


def test_bundles_that_are_hit_are_said_anew_or_asked_for_again(
    shipped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that wait are found by the node, those that leave by the ground."""
    monkeypatch.setattr("testbed.world.QUEUE_BITS", 8 << 10)
    often = RadiationConfig.model_construct(flips_per_bit_day=1000.0, scrub=False)
    scenario = shipped["outage-storm"]
    node = scenario.node.model_copy(update={"radiation": often})
    profile = load_profile(scenario.node.profile).model_copy(update={"weights_mb": 1e-6})
    said_anew: list[object] = []
    right = Radio._damaged

    def counted(radio: Radio, bundle_id, now_ns: int):
        said_anew.append(bundle_id)
        return right(radio, bundle_id, now_ns)

    monkeypatch.setattr(Radio, "_damaged", counted)
    changed = scenario.model_copy(update={"node": node})
    run = World(changed, 1, profile).run()
    assert {record.outcome for record in run.records} <= {Outcome.ON_TIME, Outcome.LATE}
    assert len(run.records) == scenario.workload.count
    assert said_anew, "some were hit while they waited"
    assert run.rejected, "and some when they had left"
