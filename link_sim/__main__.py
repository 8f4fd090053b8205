"""`python -m link_sim`, also `groundloop link`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from link_sim.relay import RelayConfig, run_relay
from roundtrip.command import SCENARIO, SEED, run_command
from roundtrip.drive.realtime import run_async
from roundtrip.errors import EnvironmentFault
from roundtrip.scenario_file import load_scenario

REALTIME_PRIORITY = 5


@click.command("link")
@click.argument("scenario", type=SCENARIO)
@click.option(
    "--ground",
    "ground_endpoint",
    default="tcp://127.0.0.1:5560",
    show_default=True,
    help="Where the ground's modem listens.",
)
@click.option(
    "--node",
    "node_endpoint",
    default="tcp://127.0.0.1:5561",
    show_default=True,
    help="Where the node's modem listens.",
)
@click.option("--seed", type=SEED, help="Overrides the scenario's.")
@click.option(
    "--frames",
    "frames_path",
    type=click.Path(path_type=Path),
    help="Write the fate of every frame here (JSON lines); in a folder, a file an hour.",
)
@click.option(
    "--realtime",
    is_flag=True,
    help="With real-time priority (SCHED_FIFO), for frames on time beside busy processes. Needs "
    "root or CAP_SYS_NICE.",
)
@click.option("--lifeline", is_flag=True, hidden=True, help="End with stdin.")
def link_command(
    scenario: Path,
    ground_endpoint: str,
    node_endpoint: str,
    seed: int | None,
    frames_path: Path | None,
    realtime: bool,
    lifeline: bool,
) -> None:
    """Run the link of SCENARIO: a relay between ground and node.

    Example: groundloop link leo-pass --frames frames.jsonl
    """
    loaded = load_scenario(scenario)
    config = RelayConfig(
        loaded,
        loaded.seed if seed is None else seed,
        ground_endpoint,
        node_endpoint,
        frames_path,
    )
    if realtime:
        _take_realtime_priority()
    run_async(run_relay(config, lifeline=lifeline), precise=True)


def _take_realtime_priority() -> None:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(REALTIME_PRIORITY))
    except (AttributeError, OSError) as error:
        raise EnvironmentFault(
            "link --realtime", str(error), "run it on Linux as root or with CAP_SYS_NICE"
        ) from None


if __name__ == "__main__":
    run_command(link_command)
