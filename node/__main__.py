"""`python -m node`, also `groundloop node`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from node.beacon import los_of
from node.board.build import board_of
from node.board.spacecraft import Doing
from node.board.view import Board, Keep
from node.body.energy import Battery, battery_of
from node.run_config import NodeRunConfig
from node.service import NodeService
from node.service_time import load_profile
from roundtrip.command import (
    LISTEN,
    PLAIN,
    SCENARIO,
    UNTRUSTED_CLOCK,
    Number,
    run_command,
    security_of,
    signing_keys,
)
from roundtrip.config import MAX_S
from roundtrip.drive import clock
from roundtrip.drive.realtime import run_async
from roundtrip.drive.udp import SCHEME, UdpLink, udp_link
from roundtrip.errors import EnvironmentFault
from roundtrip.modem import Side
from roundtrip.node_config import NodeConfig
from roundtrip.onboard import TelemetryConfig, ToolsConfig
from roundtrip.say import say
from roundtrip.scenario_file import load_scenario
from roundtrip.units import s_to_ns

UNTOLD = NodeConfig(telemetry=TelemetryConfig(), tools=ToolsConfig())
"""Without a scenario: what the shipped ones ask for is there."""
LIVE_SUNLIGHT_S = 7 * 86_400
"""How far ahead sunlight is known where there is no orbit."""


@click.command("node")
@click.option("--scenario", type=SCENARIO, help="Take [node] and [link] from it.")
@click.option("--model", help="GGUF file or model name; overrides the scenario.")
@click.option(
    "--profile", help="Platform: rpi5-8gb, rpi4-4gb, cubesat-1gb, laptop, or a .toml file."
)
@click.option(
    "--link",
    "endpoint",
    required=True,
    help="The modem, such as tcp://127.0.0.1:5561, or the ground itself, udp://HOST:1113.",
)
@LISTEN
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=Path("node.sqlite"),
    show_default=True,
    help="Where questions and answers are kept.",
)
@click.option("--threads", type=click.IntRange(min=0), help="0: measured at the first start.")
@click.option("--lock", is_flag=True, help="Keep the model in memory (mlock).")
@click.option(
    "--wait",
    "link_limit_s",
    type=Number(0, MAX_S),
    default=0.0,
    help="Seconds to wait for the link; 0: for ever.",
)
@PLAIN
@UNTRUSTED_CLOCK
@click.option("--lifeline", is_flag=True, hidden=True, help="End with stdin.")
def node_command(
    scenario: Path | None,
    model: str | None,
    profile: str | None,
    endpoint: str,
    listen: str,
    store: Path,
    threads: int | None,
    lock: bool,
    link_limit_s: float,
    plain: bool,
    untrusted_clock: bool,
    lifeline: bool,
) -> None:
    """Run the satellite: a model behind a link.

    Example: groundloop node --link tcp://127.0.0.1:5561 --profile rpi4-4gb
    """
    loaded = load_scenario(scenario) if scenario else None
    node = loaded.node if loaded else UNTOLD
    udp = udp_link(loaded.link, Side.NODE, listen) if loaded else UdpLink(listen)
    changes: dict[str, object] = {}
    if model is not None:
        changes["model"] = model
    if profile is not None:
        changes["profile"] = profile
    if threads is not None:
        changes["threads"] = threads
    if lock:
        changes["lock"] = True
    if not store.parent.is_dir():
        raise EnvironmentFault(f"open {store}", "its folder is not there", "make the folder first")
    node = node.model_copy(update=changes)
    security = security_of(Side.NODE, plain=plain)
    plan = loaded.plan() if loaded and not endpoint.startswith(SCHEME) else None
    los_ns = los_of(loaded) if loaded else ()

    def battery() -> Battery | None:
        if loaded is None or loaded.node.energy is None:
            return None
        power = load_profile(node.profile).power
        return battery_of(loaded, power, s_to_ns(LIVE_SUNLIGHT_S))

    def board(doing: Callable[[], Doing], keep: Keep) -> Board:
        return board_of(
            loaded,
            node,
            doing,
            length_ns=s_to_ns(LIVE_SUNLIGHT_S),
            folder=store.parent,
            unix_ns=lambda _: clock.unix_ns(),
            keep=keep,
        )

    battery()
    config = NodeRunConfig(
        node,
        endpoint,
        udp,
        store,
        link_limit_s or None,
        security,
        plan,
        battery,
        signing_keys(plain=plain),
        board,
        los_ns,
        trusted_clock=not untrusted_clock,
    )

    async def serve() -> None:
        await NodeService(config, lambda line: say(line, err=True)).run(lifeline=lifeline)

    run_async(serve())


if __name__ == "__main__":
    run_command(node_command)
