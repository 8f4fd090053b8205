"""`python -m ground`, also `groundloop ground`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from ground.results.folder import finish, run_folder
from ground.station import ask, run_of
from roundtrip.command import (
    GROUNDS_LINK,
    LISTEN,
    PLAIN,
    SCENARIO,
    SEED,
    UNTRUSTED_CLOCK,
    Number,
    run_command,
    security_of,
    warn,
)
from roundtrip.config import MAX_S
from roundtrip.drive.realtime import run_async, stop_signals
from roundtrip.modem import Side
from roundtrip.scenario_file import load_scenario
from roundtrip.screen import Screen
from roundtrip.words import shown


@click.command("ground")
@click.argument("scenario", type=SCENARIO)
@GROUNDS_LINK
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
    type=Number(0, MAX_S),
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
    """Run the ground station: ask the workload of SCENARIO and measure every loop.

    Example: groundloop ground leo-pass --link tcp://127.0.0.1:5560 --wait 60
    """
    loaded = load_scenario(scenario)
    seed = loaded.seed if seed is None else seed
    warn(loaded, str(scenario))
    security = security_of(Side.GROUND, plain=plain)
    folder = run_folder(out, loaded, seed)
    console = Screen()

    async def ask_and_finish() -> int:
        stopped = asyncio.Event()
        with stop_signals(stopped.set):
            console.print(f"waiting for the link at {shown(endpoint)}")
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
                trusted_clock=not untrusted_clock,
            )
            return finish(run_of(loaded, seed, asked, folder), folder, console)

    return run_async(ask_and_finish())


if __name__ == "__main__":
    run_command(ground_command)
