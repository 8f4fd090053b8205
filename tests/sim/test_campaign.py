"""Campaigns: the same bytes wherever the runs ran, resumed, swept, and refused when wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.progress import Progress

from roundtrip.errors import BadConfig, EnvironmentFault
from roundtrip.scenario_file import load_scenario
from testbed.campaign import runs as campaigns
from testbed.campaign.runs import RunFailed, batches_of
from testbed.campaign.sweep import points_of
from testbed.commands import campaign as commands
from testbed.commands.campaign import campaign_command, compare_command

SCENARIO = """
[link.uplink]
rate_bps = 64000
one_way_delay_ms = 6
loss = 0.05
[link.downlink]
rate_bps = 64000
one_way_delay_ms = 6
[[outage]]
start_s = 10
end_s = 150
kind = "cued"
[workload]
questions = ["a?", "b?"]
count = 10
rate_per_min = 30
[budget]
objective = 0.1
[node]
model = "tiny"
"""
SWEEP = ("--set", "link.uplink.loss=0,0.2")


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "swept.toml"
    path.write_text(SCENARIO)
    return path


def run(scenario: Path, out: Path, *options: str) -> Result:
    args = [str(scenario), "--runs", "20", "--out", str(out), *SWEEP, *options]
    return CliRunner().invoke(campaign_command, args)


def results(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "summary.json").read_bytes(), (folder / "latency.hlog").read_bytes()


@pytest.fixture(autouse=True, scope="module")
def small_batches() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(campaigns, "BATCH_QUESTIONS", 50)
        yield


@pytest.fixture(scope="module")
def whole(small_batches: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign by one worker, not to be changed."""
    folder = tmp_path_factory.mktemp("whole")
    path = folder / "swept.toml"
    path.write_text(SCENARIO)
    done = run(path, folder / "out")
    assert done.exception is None, done.output
    return folder / "out"


def test_the_merged_summary_is_the_same_for_one_and_for_two_workers(
    scenario, whole, tmp_path
) -> None:
    done = run(scenario, tmp_path / "two", "-j", "2")
    assert done.exception is None, done.output
    assert results(whole) == results(tmp_path / "two")
    summary = json.loads(results(whole)[0])
    clean, lossy = summary["points"]
    assert (clean["runs"], clean["questions"]) == (20, 200)
    assert sum(clean["outcomes"].values()) == 200
    assert clean["goodput_95"][0] <= clean["goodput"] <= clean["goodput_95"][1]
    assert lossy["loop_ms"]["p50"][0] > clean["loop_ms"]["p50"][0]


def test_an_interrupted_campaign_goes_on_to_the_same_end(scenario, whole, tmp_path) -> None:
    part = tmp_path / "part"
    shutil.copytree(whole, part)
    wanted = results(part)
    lines = (part / "batches.jsonl").read_text().split("\n")
    damaged = [
        lines[1].replace('"count": 5', '"count": "5"'),
        lines[2].replace('"loop": "', '"loop": "A'),
        "[" * 100_000,
        "\x00",
    ]
    assert not set(damaged) & set(lines)
    kept = [lines[3], *damaged, lines[0], lines[5][:100]]
    (part / "batches.jsonl").write_text("\n".join(kept))
    (part / "summary.json").unlink()
    assert run(scenario, part).exception is None
    assert results(part) == wanted


def test_another_plan_does_not_go_on_in_the_folder(scenario, whole, tmp_path) -> None:
    shutil.copytree(whole, tmp_path / "it")
    (tmp_path / "it" / "summary.json").unlink()
    other = run(scenario, tmp_path / "it", "--set", "budget.loop_s=60")
    assert isinstance(other.exception, EnvironmentFault)
    assert "other --runs, --set or --engine" in str(other.exception)


def test_a_dask_cluster_gives_the_same_and_a_worker_killed_in_the_middle_changes_nothing(
    scenario, whole, tmp_path, monkeypatch
) -> None:
    distributed = pytest.importorskip("distributed")
    update, killed = Progress.update, []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:

        def kill_one(*args: object, completed: int, total: int, **options: object) -> None:
            if completed and not killed:  # some batches are back, the others are on their way
                assert completed < total
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)
            update(*args, completed=completed, total=total, **options)

        for name in ("undisturbed", "disturbed"):
            there = run(scenario, tmp_path / name, "--scheduler", cluster.scheduler_address)
            assert there.exception is None, there.exception
            assert results(tmp_path / name) == results(whole)
            monkeypatch.setattr(Progress, "update", kill_one)
    assert killed


def test_a_scheduler_that_is_not_there(scenario, tmp_path, monkeypatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(commands, "SCHEDULER_LIMIT_S", 0.5)
    missing = run(scenario, tmp_path / "it", "--scheduler", "tcp://127.0.0.1:1")
    assert isinstance(missing.exception, EnvironmentFault)
    assert "tcp://127.0.0.1:1" in str(missing.exception)
    assert not (tmp_path / "it").exists(), "nothing half-done"


def test_a_run_that_fails_says_how_to_see_it_again(scenario, tmp_path, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(campaigns, "World", broken)
    failed = run(scenario, tmp_path / "it")
    assert isinstance(failed.exception, RunFailed)
    line = "--virtual --set link.uplink.loss=0 --seed 1"
    assert line in str(failed.exception)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("link.uplink.colour=1", "link.uplink.colour"),
        ("nowhere.loss=1", "an unknown one"),
        ("outage.1.start_s=1", "an unknown one"),
        ("link.uplink.loss=2", "link.uplink.loss"),
        ("link.uplink.loss", "KEY=VALUE"),
        ("link.uplink.loss=", "KEY=VALUE"),
    ],
)
def test_a_sweep_over_what_is_not_there_is_refused(scenario, text: str, match: str) -> None:
    with pytest.raises(BadConfig, match=match):
        points_of(load_scenario(scenario), (text,))


def test_sweeps_combine_in_order(scenario) -> None:
    points = points_of(
        load_scenario(scenario), ("link.uplink.loss=0,0.1", "outage.0.kind=cued,silent")
    )
    assert [point.name for point in points] == [
        "link.uplink.loss=0 outage.0.kind=cued",
        "link.uplink.loss=0 outage.0.kind=silent",
        "link.uplink.loss=0.1 outage.0.kind=cued",
        "link.uplink.loss=0.1 outage.0.kind=silent",
    ]
    assert points[3].scenario.outage[0].kind == "silent"
    assert sum(batch.count for batch in batches_of(points, 7)) == 28


def test_compare_shows_the_change_and_refuses_what_cannot_be(scenario, whole, tmp_path) -> None:
    run(scenario, tmp_path / "b", "--seed", "1000")
    both = [str(whole), str(tmp_path / "b"), "--json"]
    rows = json.loads(CliRunner().invoke(compare_command, both).output)
    assert {row["what"] for row in rows} >= {"goodput", "loop p50 ms"}
    for row in rows:
        assert row["change"] == pytest.approx(row["second"] - row["first"])
        if None not in row["interval"]:
            assert row["interval"][0] <= row["change"] <= row["interval"][1]
    assert None not in rows[0]["interval"]
    nothing = CliRunner().invoke(compare_command, [str(whole), str(tmp_path)])
    assert "summary" in str(nothing.exception)


def test_compare_leaves_a_bound_open_where_a_campaigns_ranks_do_not_reach(
    scenario, tmp_path
) -> None:
    for name in ("a", "b"):
        args = [str(scenario), "--runs", "3", "--out", str(tmp_path / name)]
        assert CliRunner().invoke(campaign_command, args).exception is None
    both = [str(tmp_path / "a"), str(tmp_path / "b")]
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert summary["points"][0]["loop_ms"]["p99"][2] is None, "30 values"
    rows = json.loads(CliRunner().invoke(compare_command, [*both, "--json"]).output)
    by_name = {row["what"]: row for row in rows}
    assert by_name["loop p99 ms"]["interval"] == [None, None], "each bound needs one of either"
    assert None not in by_name["loop p50 ms"]["interval"]
    assert CliRunner().invoke(compare_command, both).exception is None


def test_a_campaign_shows_its_intervals_and_no_markup_of_others(scenario, tmp_path) -> None:
    args = [str(scenario), "--runs", "3", "--out", str(tmp_path / "[red]it"), "--set"]
    done = CliRunner().invoke(campaign_command, [*args, "workload.system=[/red],\x1b[2J"])
    assert done.exception is None, done.output
    assert "[red]it" in done.output
    assert "workload.system=[/red]" in done.output
    assert "\x1b" not in done.output
    assert "workload.system=\\x1b[2J" in done.output
    assert "≥" in done.output, "p99 of 30 values has no upper bound"
    log = (tmp_path / "[red]it" / "latency.hlog").read_text()
    assert log.count("Tag=") == 2
    assert log.replace("\n", "").isprintable()


def test_one_of_a_list_is_swept_too(scenario) -> None:
    points = points_of(load_scenario(scenario), ("workload.questions.1=Hm?,Ha?",))
    texts = [[one.text for one in point.scenario.workload.questions] for point in points]
    assert [text[1] for text in texts] == ["Hm?", "Ha?"]
    assert texts[0][0] == texts[1][0] != "Hm?"
    with pytest.raises(BadConfig, match="an unknown one"):
        points_of(load_scenario(scenario), ("workload.questions.99=Hm?",))
