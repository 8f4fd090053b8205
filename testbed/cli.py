"""The `groundloop` command."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
from rich.console import Console

from ground.__main__ import finish, ground_command, run_folder
from ground.report import write_report
from ground.results import write_results
from ground.verdict import print_verdict
from link_sim.__main__ import link_command
from models.commands import models
from models.resolve import resolve
from node.__main__ import node_command
from node.service_time import load_profile
from roundtrip.command import run_command
from roundtrip.config import Scenario, load_scenario
from roundtrip.drive.clock import unix_s
from roundtrip.errors import EXIT_OBJECTIVE_MISSED, EXIT_OK, BadConfig
from testbed.evaluation import eval_command, questions_command
from testbed.folder import load_run
from testbed.keys_command import keys
from testbed.live import run_live, write_scenario
from testbed.world import World

SCENARIOS = Path(__file__).parent / "scenarios"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="groundloop")
def cli() -> None:
    """Will the answer be back within two minutes, and if not, what ate the time?

    A quantized Qwen3 runs on a satellite node behind a simulated link; the ground station measures
    every loop against its budget. Start with `groundloop demo`.

    Exit codes: 0 objective met, 99 objective missed, 104 bad input, 1 failure.
    """


@cli.command("run")
@click.argument("scenario")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/…]"
)
@click.option(
    "--virtual", is_flag=True, help="In virtual time: no processes, no model, no waiting."
)
@click.option("--seed", type=click.IntRange(min=0), help="Overrides the scenario's.")
@click.option("--model", help="GGUF file or model name; overrides the scenario's.")
def run_scenario(
    scenario: str, out: Path | None, virtual: bool, seed: int | None, model: str | None
) -> int:
    """Run SCENARIO: a TOML file, or one of the shipped ones (`groundloop scenarios`)."""
    path = find_scenario(scenario)
    loaded = load_scenario(path)
    seed = loaded.seed if seed is None else seed
    console = Console()
    if virtual:
        return _virtual(loaded, path, seed, out, console)
    return _live(loaded, seed, model or loaded.node.model, out, console)


@cli.command("demo")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/…]"
)
@click.option("--model", help="GGUF file or model name.")
def demo(out: Path | None, model: str | None) -> int:
    """Run the `demo` scenario live: about a minute, one outage in the middle."""
    loaded = load_scenario(find_scenario("demo"))
    return _live(loaded, loaded.seed, model or loaded.node.model, out, Console())


@cli.command("scenarios")
def scenarios() -> None:
    """List the shipped scenarios."""
    for path in sorted(SCENARIOS.glob("*.toml")):
        click.echo(f"{path.stem:14s} {load_scenario(path).description}")


@cli.command("report")
@click.argument("folder", type=click.Path(path_type=Path))
def report(folder: Path) -> None:
    """Write `report.html` of a run's FOLDER anew and print its verdict."""
    run, summary = load_run(folder)
    write_report(run, summary, folder / "report.html")
    print_verdict(Console(), summary, list(run.records))
    click.echo(f"report    {folder / 'report.html'}")


cli.add_command(ground_command)
cli.add_command(link_command)
cli.add_command(node_command)
cli.add_command(models)
cli.add_command(keys)
models.add_command(eval_command)
models.add_command(questions_command)


def find_scenario(name: str) -> Path:
    """The file of a scenario: a path, or the name of a shipped one.

    Raises:
        BadConfig: neither.
    """
    if name.endswith(".toml") or "/" in name:
        return Path(name)
    path = SCENARIOS / f"{name}.toml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in SCENARIOS.glob("*.toml")))
        raise BadConfig(name, "", f"a scenario file or one of {known}", "neither")
    return path


def _virtual(scenario: Scenario, path: Path, seed: int, out: Path | None, console: Console) -> int:
    profile = load_profile(scenario.node.profile, beside=path.parent)
    folder = run_folder(out, scenario.name, unix_s())
    write_scenario(scenario.model_copy(update={"seed": seed}), folder / "scenario.toml")
    run = World(scenario, seed, profile).run()
    summary = write_results(run, folder)
    write_report(run, summary, folder / "report.html")
    print_verdict(console, summary, list(run.records))
    console.print(f"folder    {folder}", markup=False, highlight=False, soft_wrap=True)
    return EXIT_OK if summary["objective_met"] else EXIT_OBJECTIVE_MISSED


def _live(scenario: Scenario, seed: int, model: str, out: Path | None, console: Console) -> int:
    path = resolve(model)
    if model == "tiny":
        console.print("model `tiny` has random weights: its words mean nothing, its timing is real")
    node = scenario.node.model_copy(update={"model": str(path.resolve())})
    scenario = scenario.model_copy(update={"node": node})
    started = unix_s()
    folder = run_folder(out, scenario.name, started)
    asked = asyncio.run(run_live(scenario, seed, folder, console))
    return finish(scenario, seed, asked, folder, console, started=started)


def main() -> None:
    """Entry point."""
    run_command(cli)


if __name__ == "__main__":
    main()
