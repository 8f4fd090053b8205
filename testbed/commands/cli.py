"""The `groundloop` command."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from ground.__main__ import ground_command
from ground.results.folder import finish, run_folder
from ground.results.load import load_run
from ground.results.report import write_report
from ground.results.verdict import print_verdict
from ground.station import run_of
from link_sim.__main__ import link_command
from models.resolve import resolve
from node.__main__ import node_command
from node.engine.accept import accept_model
from node.service_time import load_profile
from roundtrip.command import SCENARIO, SEED, SHIPPED, warn
from roundtrip.drive.realtime import run_async, stop_signals
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario
from roundtrip.screen import Screen, say
from testbed.commands.campaign import campaign_command, compare_command
from testbed.commands.coverage import coverage_command
from testbed.commands.evaluation import eval_command, questions_command
from testbed.commands.keys import keys
from testbed.commands.models import models
from testbed.commands.node_bench import bench
from testbed.commands.passes import passes_command
from testbed.live import run_live
from testbed.world import World


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="groundloop")
def cli() -> None:
    """Will the answer be back within two minutes, and if not, what ate the time?

    A quantized Qwen3 runs on a satellite node behind a simulated link; the ground station measures
    every loop against its budget. Start with `groundloop demo`.

    Exit codes: 0 objective met, 99 objective missed, 104 bad input, 1 failure.
    """


@cli.command("run")
@click.argument("scenario", type=SCENARIO)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the run; one that was killed goes on.  [default: runs/…]",
)
@click.option(
    "--virtual", is_flag=True, help="In virtual time: no processes, no model, no waiting."
)
@click.option("--seed", type=SEED, help="Overrides the scenario's.")
@click.option("--model", help="GGUF file or model name; overrides the scenario's.")
@click.option("--plain", is_flag=True, help="Neither sign nor encrypt.")
def run_scenario(
    scenario: Path,
    out: Path | None,
    virtual: bool,
    seed: int | None,
    model: str | None,
    plain: bool,
) -> int:
    """Run SCENARIO: a TOML file, or one of the shipped ones (`groundloop scenarios`)."""
    if virtual and model is not None:
        raise click.UsageError("--virtual runs no model: its speeds come from node.profile")
    loaded = load_scenario(scenario)
    seed = loaded.seed if seed is None else seed
    warn(loaded, str(scenario))
    if virtual:
        return _virtual(loaded, seed, out, Screen(), plain=plain)
    return _live(loaded, seed, model or loaded.node.model, out, Screen(), plain=plain)


@cli.command("demo")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/…]"
)
@click.option("--model", help="GGUF file or model name.")
def demo(out: Path | None, model: str | None) -> int:
    """Run the `demo` scenario live: about a minute, one outage in the middle."""
    loaded = load_scenario(SHIPPED / "demo.toml")
    return _live(loaded, loaded.seed, model or loaded.node.model, out, Screen())


@cli.command("scenarios")
def scenarios() -> None:
    """List the shipped scenarios."""
    for path in sorted(SHIPPED.glob("*.toml")):
        say(f"{path.stem:14s} {load_scenario(path).description}")


@cli.command("report")
@click.argument("folder", type=click.Path(path_type=Path))
def report(folder: Path) -> None:
    """Write `report.html` of a run's FOLDER anew and print its verdict."""
    run, summary = load_run(folder)
    write_report(run, summary, folder / "report.html")
    print_verdict(Screen(), summary, list(run.records))
    say(f"report    {folder / 'report.html'}")


cli.add_command(ground_command)
cli.add_command(link_command)
cli.add_command(node_command)
cli.add_command(models)
cli.add_command(keys)
cli.add_command(passes_command)
cli.add_command(coverage_command)
cli.add_command(bench)
cli.add_command(campaign_command)
cli.add_command(compare_command)
models.add_command(eval_command)
models.add_command(questions_command)


def _virtual(
    scenario: Scenario, seed: int, out: Path | None, console: Screen, *, plain: bool
) -> int:
    profile = load_profile(scenario.node.profile)
    folder = run_folder(out, scenario, seed, resumable=False)
    run = World(scenario, seed, profile, plain=plain).run()
    return finish(run, folder, console)


def _live(
    scenario: Scenario,
    seed: int,
    model: str,
    out: Path | None,
    console: Screen,
    *,
    plain: bool = False,
) -> int:
    node = scenario.node.model_copy(update={"model": str(resolve(model).resolve())})
    accept_model(node)
    if model == "tiny":
        console.print("model `tiny` has random weights: its words mean nothing, its timing is real")
    scenario = scenario.model_copy(update={"node": node})
    folder = run_folder(out, scenario, seed)

    async def run_and_finish() -> int:
        stopped = asyncio.Event()
        with stop_signals(stopped.set):
            asked = await run_live(scenario, seed, folder, console, stopped, plain=plain)
            return finish(run_of(scenario, seed, asked, folder), folder, console)

    return run_async(run_and_finish())
