"""`python -m ground`, also `groundloop ground`."""

from __future__ import annotations

import asyncio
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
)
from roundtrip.config import Scenario, load_scenario, to_toml
from roundtrip.drive.clock import unix_s
from roundtrip.drive.realtime import run_async, stop_signals
from roundtrip.errors import EXIT_OBJECTIVE_MISSED, EXIT_OK, EnvironmentFault
from roundtrip.framelog import read_log
from roundtrip.modem import Side


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
    security = security_of(Side.GROUND, plain=plain, trusted_clock=not untrusted_clock)
    folder = run_folder(out, loaded, seed)
    console = Console()

    async def ask_and_finish() -> int:
        started, stopped = unix_s(), asyncio.Event()
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
            return finish(loaded, seed, asked, folder, console, started=started)

    return run_async(ask_and_finish())


def run_folder(out: Path | None, scenario: Scenario, seed: int) -> Path:
    """Make the folder of a run, or take that of the same run that was killed.

    Raises:
        EnvironmentFault: it cannot be made, or it holds another run, or one that has ended.
    """
    folder = out or _free(Path("runs") / f"{scenario.name}-{unix_s()}")
    as_run = scenario.model_copy(update={"seed": seed})
    text = to_toml(as_run)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ended = (folder / "summary.json").exists()
        path = folder / "scenario.toml"
        began = (folder / "ledger.sqlite").exists() and path.exists()
        if ended or (began and path.read_text(encoding="utf-8") != text):
            what = "a run that has ended" if ended else "a run of another scenario or seed"
            raise EnvironmentFault(
                f"write {folder}", f"it holds {what}", "give another folder with --out"
            )
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EnvironmentFault(
            f"make {folder}", error.strerror or "failed", "give another folder with --out"
        ) from None
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
