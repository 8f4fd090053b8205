"""Where a run is put, whatever its scenario is called, who may go on in it, and what it leaves."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from ground.results.folder import finish, folder_name, run_folder
from roundtrip.command import SHIPPED
from roundtrip.errors import EXIT_OBJECTIVE_MISSED, EXIT_OK, EnvironmentFault
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario
from roundtrip.screen import Screen
from tests.unit.ground.results.test_summary import make_run

TAKES = """
import sys
from pathlib import Path
from ground.results.folder import run_folder
from roundtrip.command import SHIPPED
from roundtrip.scenario_file import load_scenario
run_folder(Path(sys.argv[1]), load_scenario(SHIPPED / "demo.toml"), 1)
"""
"""Another process takes a folder, and ends."""

NAMES = (
    "..",
    ".",
    "/",
    "../../etc/x",
    "a/b",
    "",
    " ",
    "-rf",
    "~",
    "é" * 100,
    "\U0001f6f0" * 100,
    "$x",
)


@pytest.fixture(scope="module")
def demo() -> Scenario:
    return load_scenario(SHIPPED / "demo.toml")


@pytest.mark.parametrize("name", NAMES)
def test_a_run_stays_under_runs(
    demo: Scenario, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = run_folder(None, demo.model_copy(update={"name": name}), 1)
    assert folder.resolve().parent == tmp_path / "runs"
    assert (folder / "scenario.toml").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("leo-pass", "leo-pass"),
        ("Day 1, night 2", "Day_1__night_2"),
        ("..", "run"),
        ("", "run"),
        ("../a", "_a"),
        (".hidden", "hidden"),
        ("--out", "out"),
        ("überflug_7.5", "überflug_7.5"),
        ("a\nb\0c", "a_b_c"),
        ("é" * 150, "é" * 100),
        ("x" + "é" * 150, "x" + "é" * 99),
    ],
)
def test_a_name_becomes_one_part_of_a_path(name: str, folder: str) -> None:
    assert folder_name(name) == folder


def test_a_second_run_at_the_same_time_has_a_folder_of_its_own(
    demo: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ground.results.folder.unix_s", lambda: 7)
    names = [run_folder(None, demo, 1).name for _ in range(3)]
    assert names == ["demo-7", "demo-7-2", "demo-7-3"]


def test_a_folder_with_another_scenario_is_left_alone(demo: Scenario, tmp_path: Path) -> None:
    for content in (b"\xff\xfe", b"", b"seed = 1\n"):
        (tmp_path / "scenario.toml").write_bytes(content)
        with pytest.raises(EnvironmentFault, match="another scenario or seed"):
            run_folder(tmp_path, demo, 1)
        assert (tmp_path / "scenario.toml").read_bytes() == content


def test_a_folder_is_held_by_one_process_until_that_ends(demo: Scenario, tmp_path: Path) -> None:
    command = [sys.executable, "-c", TAKES, str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == 0
    assert run_folder(tmp_path, demo, 1) == tmp_path, "the same run goes on"
    other = subprocess.run(command, capture_output=True, check=False, text=True)
    assert "it holds a run of another process" in other.stderr


def test_a_run_that_was_begun_goes_on_where_it_may(demo: Scenario, tmp_path: Path) -> None:
    run_folder(tmp_path, demo, 1)
    (tmp_path / "ledger.sqlite").touch()
    assert run_folder(tmp_path, demo, 1) == tmp_path
    with pytest.raises(EnvironmentFault, match="a run that was begun"):
        run_folder(tmp_path, demo, 1, resumable=False)
    with pytest.raises(EnvironmentFault, match="another scenario or seed"):
        run_folder(tmp_path, demo, 2)
    (tmp_path / "summary.json").touch()
    with pytest.raises(EnvironmentFault, match="a run that has ended"):
        run_folder(tmp_path, demo, 1)


def test_a_folder_that_cannot_be_made_says_so(demo: Scenario, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFault, match=r"make .*file/run: Not a directory"):
        run_folder(tmp_path / "file" / "run", demo, 1)


@pytest.mark.parametrize(
    ("lost", "word", "code"), [(0, "MET", EXIT_OK), (1, "MISSED", EXIT_OBJECTIVE_MISSED)]
)
def test_at_the_end_the_verdict_is_said_and_everything_written(
    answered, expired, tmp_path: Path, lost: int, word: str, code: int
) -> None:
    out = io.StringIO()
    run = make_run([answered(0), *(expired(1) for _ in range(lost))])
    assert finish(run, tmp_path, Screen(file=out, width=100)) == code
    assert f"verdict   {word}: " in out.getvalue()
    assert out.getvalue().endswith(f"folder    {tmp_path}\n")
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"summary.json", "loops.jsonl", "latency.hlog", "report.html"}
