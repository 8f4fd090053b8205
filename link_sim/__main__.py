"""`python -m link_sim`, also `groundloop link`."""

from __future__ import annotations

from pathlib import Path

import click

from link_sim.relay import RelayConfig, run_relay
from roundtrip.command import SCENARIO, SEED, run_command
from roundtrip.drive.realtime import run_async
from roundtrip.scenario_file import load_scenario


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
    help="Write the fate of every frame here (JSON lines).",
)
@click.option("--lifeline", is_flag=True, hidden=True, help="End with stdin.")
def link_command(
    scenario: Path,
    ground_endpoint: str,
    node_endpoint: str,
    seed: int | None,
    frames_path: Path | None,
    lifeline: bool,
) -> None:
    """Run the link of SCENARIO: a relay between ground and node."""
    loaded = load_scenario(scenario)
    config = RelayConfig(
        loaded,
        loaded.seed if seed is None else seed,
        ground_endpoint,
        node_endpoint,
        frames_path,
    )
    run_async(run_relay(config, lifeline=lifeline), precise=True)


if __name__ == "__main__":
    run_command(link_command)
