"""`python -m ground`, also `groundloop ground`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from ground.progress import Progress
from ground.report import write_report
from ground.results import Run, write_results
from ground.split import split_by_log
from ground.station import Asked, Station
from ground.verdict import print_verdict
from roundtrip.command import run_command
from roundtrip.config import Scenario, load_scenario
from roundtrip.drive.clock import unix_s
from roundtrip.errors import EXIT_OBJECTIVE_MISSED, EXIT_OK, EnvironmentFault
from roundtrip.framelog import read_log


@click.command("ground")
@click.argument("scenario", type=click.Path(path_type=Path))
@click.option("--link", "endpoint", required=True, help="The modem, such as tcp://127.0.0.1:5560.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/…]"
)
@click.option("--seed", type=int, help="Overrides the scenario's.")
@click.option(
    "--wait",
    "link_limit_s",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Seconds to wait for the link; 0: for ever.",
)
def ground_command(
    scenario: Path, endpoint: str, out: Path | None, seed: int | None, link_limit_s: float
) -> int:
    """Run the ground station: ask the workload of SCENARIO and measure every loop."""
    loaded = load_scenario(scenario)
    seed = loaded.seed if seed is None else seed
    started = unix_s()
    folder = run_folder(out, loaded.name, started)
    console = Console()
    asked = asyncio.run(
        ask(loaded, seed, endpoint, folder, console, link_limit_s=link_limit_s or None)
    )
    return finish(loaded, seed, asked, folder, console, started=started)


def run_folder(out: Path | None, name: str, started_unix_s: int) -> Path:
    """Make the folder of a run.

    Raises:
        EnvironmentFault: it cannot be made, or it holds a run already.
    """
    folder = out or _free(Path("runs") / f"{name}-{started_unix_s}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(
            f"make {folder}", error.strerror or "failed", "give another folder with --out"
        ) from None
    if (folder / "summary.json").exists() or (folder / "ledger.sqlite").exists():
        raise EnvironmentFault(
            f"write {folder}", "it holds a run already", "give another folder with --out"
        )
    return folder


def _free(wanted: Path) -> Path:
    number = 2
    folder = wanted
    while folder.exists():
        folder = wanted.with_name(f"{wanted.name}-{number}")
        number += 1
    return folder


async def ask(
    scenario: Scenario,
    seed: int,
    endpoint: str,
    folder: Path,
    console: Console,
    *,
    link_limit_s: float | None,
    on_ready: Callable[[Callable[[str], None]], None] | None = None,
) -> Asked:
    """Ask the workload; see `Station.run`.

    `on_ready` is given the station's `fail`, for whoever watches over the other processes.
    """
    progress = Progress(console, scenario.plan(), scenario.budget.loop_s, scenario.workload.count)
    station = Station(scenario, seed, endpoint, folder / "ledger.sqlite", progress)
    if on_ready is not None:
        on_ready(station.fail)
    return await station.run(link_limit_s=link_limit_s)


def finish(
    scenario: Scenario, seed: int, asked: Asked, folder: Path, console: Console, *, started: int
) -> int:
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
        started,
        asked.length_s,
        asked.interrupted,
        dict(sorted(asked.rejected.items())),
    )
    summary = write_results(run, folder)
    write_report(run, summary, folder / "report.html")
    print_verdict(console, summary, records)
    console.print(f"folder    {folder}", markup=False, highlight=False, soft_wrap=True)
    return EXIT_OK if summary["objective_met"] else EXIT_OBJECTIVE_MISSED


if __name__ == "__main__":
    run_command(ground_command)
