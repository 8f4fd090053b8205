"""Where a run is put, whatever its scenario is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from ground.results.folder import folder_name, run_folder
from roundtrip.command import SHIPPED
from roundtrip.errors import EnvironmentFault
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario

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
