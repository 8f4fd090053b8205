"""`python -m link_sim`, also `groundloop link`."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from link_sim.relay import RelayConfig, run_relay
from roundtrip.command import SCENARIO, SEED, run_command
from roundtrip.drive.realtime import run_async
from roundtrip.errors import BadInput, EnvironmentFault
from roundtrip.scenario import Scenario
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
@click.option(
    "--tun",
    is_flag=True,
    help="Carry the IP packets of any program, between two network namespaces. Linux, as root.",
)
@click.option(
    "--name", default="groundloop", show_default=True, help="Of the namespaces, before -ground."
)
@click.option("--lifeline", is_flag=True, hidden=True, help="End with stdin.")
@click.argument(
    "commands", nargs=-1, type=click.UNPROCESSED, metavar="[-- ground: CMD -- node: CMD]"
)
def link_command(
    scenario: Path,
    ground_endpoint: str,
    node_endpoint: str,
    seed: int | None,
    frames_path: Path | None,
    realtime: bool,
    tun: bool,
    name: str,
    lifeline: bool,
    commands: tuple[str, ...],
) -> int:
    """Run the link of SCENARIO: a relay between ground and node.

    With --tun: packets between the namespaces groundloop-ground (10.42.0.1) and groundloop-node
    (10.42.0.2), in which any program can be started (`ip netns exec`); or of commands that it
    starts there itself, as in `link leo-pass --tun -- ground: ping -c 5 10.42.0.2`, until the
    ground's ends.

    Example: groundloop link leo-pass --frames frames.jsonl
    """
    loaded = load_scenario(scenario)
    if realtime:
        _take_realtime_priority()
    if tun:
        return _tun(loaded, loaded.seed if seed is None else seed, name, frames_path, commands)
    if commands:
        raise BadInput("link", "commands", "--tun with them", "none")
    config = RelayConfig(
        loaded,
        loaded.seed if seed is None else seed,
        ground_endpoint,
        node_endpoint,
        frames_path,
    )
    run_async(run_relay(config, lifeline=lifeline), precise=True)
    return 0


def _tun(
    scenario: Scenario, seed: int, name: str, frames_path: Path | None, words: tuple[str, ...]
) -> int:
    from link_sim.tun import TunConfig, commands_in, run_tun

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,40}", name):
        raise BadInput("link", "--name", "letters, digits and -_.", repr(name)[:60])
    try:
        commands = commands_in(list(words))
    except ValueError as error:
        expected = "ground: CMD … -- node: CMD …"
        raise BadInput("link", "commands", expected, str(error)[:60] or "nothing") from None
    config = TunConfig(scenario, seed, name, frames_path, commands)
    return run_async(run_tun(config), precise=True)


def _take_realtime_priority() -> None:
    try:
        policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK  # not of the commands that it starts
        os.sched_setscheduler(0, policy, os.sched_param(REALTIME_PRIORITY))
    except (AttributeError, OSError) as error:
        raise EnvironmentFault(
            "link --realtime", str(error), "run it on Linux as root or with CAP_SYS_NICE"
        ) from None


if __name__ == "__main__":
    run_command(link_command)
