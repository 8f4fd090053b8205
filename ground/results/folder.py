"""The folder of a run: made or taken up again, held by a lock, and written at the end."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

from roundtrip.drive.clock import unix_s
from roundtrip.errors import EXIT_OBJECTIVE_MISSED, EXIT_OK, EnvironmentFault
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import to_toml
from roundtrip.words import shown

if TYPE_CHECKING:
    from ground.results.summary import Run
    from roundtrip.screen import Screen

MAX_NAME_BYTES = 200
"""Of a folder's name before its number; file systems take 255."""


def run_folder(out: Path | None, scenario: Scenario, seed: int, *, resumable: bool = True) -> Path:
    """Make the folder of a run, or take that of the same run that was killed; keep it until this
    process ends.

    Args:
        out: None for a new one in `runs/`.
        scenario, seed: what will run.
        resumable: a run that was killed may go on.

    Raises:
        EnvironmentFault: it cannot be made, is in use, or holds something else.
    """
    text = to_toml(scenario.model_copy(update={"seed": seed}))
    try:
        folder = out or _new_folder(Path("runs") / f"{folder_name(scenario.name)}-{unix_s()}")
        folder.mkdir(parents=True, exist_ok=True)
        held = _occupied(folder, text, resumable=resumable)
        if held is None:
            _write_whole(folder / "scenario.toml", text)
            return folder
    except OSError as error:
        raise EnvironmentFault(
            f"make {out or 'runs/'}", error.strerror or "failed", "give another folder with --out"
        ) from None
    raise EnvironmentFault(f"write {folder}", f"it holds {held}", "give another folder with --out")


def folder_name(name: str) -> str:
    """A scenario's name as one part of a path that no shell and no file system trips over."""
    safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
    return safe.lstrip(".-").encode()[:MAX_NAME_BYTES].decode(errors="ignore") or "run"


def _occupied(folder: Path, text: str, *, resumable: bool) -> str | None:
    """What a folder holds that forbids this run; takes a lock on it that ends with the process."""
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return "a run of another process"
    if (folder / "summary.json").exists():
        return "a run that has ended"
    if (folder / "ledger.sqlite").exists() and not resumable:
        return "a run that was begun"
    path = folder / "scenario.toml"
    if path.exists() and path.read_bytes() != text.encode():
        return "another scenario or seed"
    return None


def _write_whole(path: Path, text: str) -> None:
    if not path.exists():
        new = path.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(path)


def _new_folder(wanted: Path) -> Path:
    number, folder = 2, wanted
    while True:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            folder = wanted.with_name(f"{wanted.name}-{number}")
            number += 1
        else:
            return folder


def finish(run: Run, folder: Path, console: Screen | None = None) -> int:
    """Write what a run leaves behind and print its verdict; the exit code.

    What this needs is imported here: a run begins without it.
    """
    from ground.results.summary import write_results
    from ground.results.verdict import print_verdict
    from roundtrip.screen import Screen

    console = console or Screen()
    summary = write_results(run, folder)
    print_verdict(console, summary, list(run.records))
    console.print(f"folder    {shown(folder)}", soft_wrap=True)
    return EXIT_OK if summary["objective_met"] else EXIT_OBJECTIVE_MISSED
