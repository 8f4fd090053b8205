"""`python -m ground`, also `groundloop ground`."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from dtn.security import Security
from ground.progress import Progress
from ground.report import write_report
from ground.results import Run, write_results
from ground.split import split_by_log
from ground.station import Asked, Station
from ground.verdict import print_verdict
from roundtrip.command import (
    LISTEN,
    PLAIN,
    SCENARIO,
    SEED,
    UNTRUSTED_CLOCK,
    run_command,
    security_of,
    warn,
)
from roundtrip.drive.clock import unix_s
from roundtrip.drive.realtime import run_async, stop_signals
from roundtrip.errors import EXIT_OBJECTIVE_MISSED, EXIT_OK, EnvironmentFault
from roundtrip.framelog import read_log
from roundtrip.modem import Side
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario, to_toml


@click.command("ground")
@click.argument("scenario", type=SCENARIO)
@click.option(
    "--link",
    "endpoint",
    required=True,
    help="The modem, such as tcp://127.0.0.1:5560, or the node itself, udp://HOST:1113.",
)
@LISTEN
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the run; one that was killed goes on.  [default: runs/…]",
)
@click.option("--seed", type=SEED, help="Overrides the scenario's.")
@click.option(
    "--wait",
    "link_limit_s",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Seconds to wait for the link; 0: for ever.",
)
@PLAIN
@UNTRUSTED_CLOCK
def ground_command(
    scenario: Path,
    endpoint: str,
    listen: str,
    out: Path | None,
    seed: int | None,
    link_limit_s: float,
    plain: bool,
    untrusted_clock: bool,
) -> int:
    """Run the ground station: ask the workload of SCENARIO and measure every loop."""
    loaded = load_scenario(scenario)
    seed = loaded.seed if seed is None else seed
    warn(loaded, str(scenario))
    security = security_of(Side.GROUND, plain=plain, trusted_clock=not untrusted_clock)
    folder = run_folder(out, loaded, seed)
    console = Console()

    async def ask_and_finish() -> int:
        stopped = asyncio.Event()
        with stop_signals(stopped.set):
            console.print(f"waiting for the link at {endpoint}", markup=False, highlight=False)
            asked = await ask(
                loaded,
                seed,
                endpoint,
                folder,
                console,
                stopped,
                security=security,
                listen=listen,
                link_limit_s=link_limit_s or None,
            )
            return finish(loaded, seed, asked, folder, console)

    return run_async(ask_and_finish())


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
        folder = out or _new_folder(Path("runs") / f"{scenario.name}-{unix_s()}")
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
    if path.exists() and path.read_text(encoding="utf-8") != text:
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


async def ask(
    scenario: Scenario,
    seed: int,
    endpoint: str,
    folder: Path,
    console: Console,
    stopped: asyncio.Event,
    *,
    security: Security | None,
    link_limit_s: float | None,
    listen: str = "",
    on_ready: Callable[[Callable[[str], None]], None] | None = None,
) -> Asked:
    """Ask the workload; see `Station.run`.

    `on_ready` is given the station's `fail`, for whoever watches over the other processes.
    """
    progress = Progress(console, scenario.plan(), scenario.budget.loop_s, scenario.workload.count)
    ledger = folder / "ledger.sqlite"
    station = Station(scenario, seed, endpoint, ledger, progress, stopped, security, listen)
    if on_ready is not None:
        on_ready(station.fail)
    return await station.run(link_limit_s=link_limit_s)


def finish(scenario: Scenario, seed: int, asked: Asked, folder: Path, console: Console) -> int:
    """Write the run's folder and print the verdict; the exit code."""
    frames = folder / "frames.jsonl"
    fates = list(read_log(frames)) if frames.exists() else None
    records = split_by_log(asked.records, fates) if fates else asked.records
    run = Run(
        scenario,
        seed,
        "live",
        records,
        asked.health,
        fates,
        asked.started_unix_s,
        asked.length_s,
        asked.interrupted,
        dict(sorted(asked.rejected.items())),
        asked.charge,
    )
    summary = write_results(run, folder)
    write_report(run, summary, folder / "report.html")
    print_verdict(console, summary, records)
    console.print(f"folder    {folder}", markup=False, highlight=False, soft_wrap=True)
    return EXIT_OK if summary["objective_met"] else EXIT_OBJECTIVE_MISSED


if __name__ == "__main__":
    run_command(ground_command)
