"""`groundloop run`, `demo`, `scenarios` and `report`."""

from __future__ import annotations

from pathlib import Path

import click

from roundtrip.command import SCENARIO, SEED, SHIPPED, warn
from roundtrip.say import say, say_json, say_part
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario


@click.command("run")
@click.argument("scenario", type=SCENARIO)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the run; one that was killed goes on.  [default: runs/…]",
)
@click.option(
    "--virtual", is_flag=True, help="In virtual time: no processes, no model, no waiting."
)
@click.option(
    "--engine",
    type=click.Choice(["profile", "real"]),
    default="profile",
    show_default=True,
    help="In virtual time: `real` computes the answers, and takes as long as that takes.",
)
@click.option(
    "--speed-of", help="A profile, such as rpi5-8gb: real answers as fast as that machine's."
)
@click.option("--seed", type=SEED, help="Overrides the scenario's.")
@click.option("--model", help="GGUF file or model name; overrides the scenario's.")
@click.option("--plain", is_flag=True, help="Neither sign nor encrypt.")
def run_scenario(
    scenario: Path,
    out: Path | None,
    virtual: bool,
    engine: str,
    speed_of: str | None,
    seed: int | None,
    model: str | None,
    plain: bool,
) -> int:
    """Run SCENARIO: a TOML file, or one of the shipped ones (`groundloop scenarios`).

    Example: groundloop run leo-pass --virtual --engine real --seed 7
    """
    real = engine == "real"
    if real and not virtual:
        raise click.UsageError("--engine is of a virtual run: a live one has the real engine")
    if speed_of is not None and not real:
        raise click.UsageError("--speed-of is of a virtual run with --engine real")
    if virtual and not real and model is not None:
        raise click.UsageError(
            "--virtual runs no model: its speeds come from node.profile, or take --engine real"
        )
    loaded = load_scenario(scenario)
    seed = loaded.seed if seed is None else seed
    if model is not None:
        loaded = loaded.model_copy(update={"node": loaded.node.model_copy(update={"model": model})})
    warn(loaded, str(scenario))
    if real:
        return _real(loaded, seed, out, speed_of, plain=plain)
    if virtual:
        return _virtual(loaded, seed, out, str(scenario), plain=plain)
    return _live(loaded, seed, model or loaded.node.model, out, plain=plain)


@click.command("demo")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/…]"
)
@click.option("--model", help="GGUF file or model name.")
def demo(out: Path | None, model: str | None) -> int:
    """Run the `demo` scenario live: about a minute, one outage in the middle.

    Example: groundloop demo
    """
    loaded = load_scenario(SHIPPED / "demo.toml")
    return _live(loaded, loaded.seed, model or loaded.node.model, out)


@click.command("scenarios")
def scenarios() -> None:
    """List the shipped scenarios.

    Example: groundloop scenarios
    """
    for path in sorted(SHIPPED.glob("*.toml")):
        say(f"{path.stem:14s} {load_scenario(path).description}")


@click.command("report")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "md", "json", "csv", "png"]),
    default="html",
    show_default=True,
    help="html and png are files in FOLDER; the others are printed. png needs the extra `png`.",
)
def report(folder: Path, form: str) -> None:
    """Write `report.html` of a run's FOLDER anew and print its verdict.

    Example: groundloop report runs/leo-pass-1780272000 --format md
    """
    from ground.results.load import load_run

    run, summary = load_run(folder)
    records = list(run.records)
    match form:
        case "md":
            from ground.results.formats import to_markdown

            say_part(to_markdown(summary))
        case "json":
            say_json(summary, indent=2)
        case "csv":
            from ground.results.formats import to_csv

            say_part(to_csv(records, summary["node"]["model"] or run.scenario.node.model))
        case "png":
            from ground.results.picture import write_picture

            write_picture(records, summary, folder / "report.png")
            say(f"picture   {folder / 'report.png'}")
        case _:
            from ground.results.report import write_report
            from ground.results.verdict import print_verdict
            from roundtrip.screen import Screen

            write_report(run, summary, folder / "report.html")
            print_verdict(Screen(), summary, records)
            say(f"report    {folder / 'report.html'}")


def _virtual(scenario: Scenario, seed: int, out: Path | None, source: str, *, plain: bool) -> int:
    from ground.results.folder import finish, run_folder
    from node.service_time import load_profile
    from testbed.effort import check_effort
    from testbed.world import World

    profile = load_profile(scenario.node.profile)
    check_effort(scenario, profile, source)
    folder = run_folder(out, scenario, seed, resumable=False)
    return finish(World(scenario, seed, profile, plain=plain).run(), folder)


def _real(
    scenario: Scenario, seed: int, out: Path | None, speed_of: str | None, *, plain: bool
) -> int:
    from ground.results.folder import finish, run_folder
    from testbed.real_engine import real_engine
    from testbed.world import World

    folder = run_folder(out, scenario, seed, resumable=False)
    real = real_engine(scenario, speed_of)
    return finish(World(scenario, seed, real.profile, plain=plain, engine=real.new).run(), folder)


def _live(
    scenario: Scenario, seed: int, model: str, out: Path | None, *, plain: bool = False
) -> int:
    from testbed.live import live

    return live(scenario, seed, model, out, plain=plain)
