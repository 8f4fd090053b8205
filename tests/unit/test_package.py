"""What `pip install .` installs: a wheel with all that a run reads, which works anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def _pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*command, *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-build-isolation", "--no-deps", "--no-index", ROOT, "-w", folder)
    (made,) = folder.glob("groundloop-*.whl")
    return made


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    ours = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "models/builtin/triage-Q8_0.gguf" in ours
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == ours


def test_an_installed_copy_runs_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)  # somebody else's: not our commit
    site = tmp_path / "site"
    _pip("install", "--no-deps", "--no-index", "--target", site, wheel)

    def groundloop(*arguments: str) -> str:
        return subprocess.run(
            [site / "bin" / "groundloop", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(site)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    assert PROJECT["project"]["version"] in groundloop("--version")
    assert str(site) in groundloop("models", "list", "--json")
    assert "MET" in groundloop("run", "demo", "--virtual", "--out", "run")
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["commit"] == "unknown"
