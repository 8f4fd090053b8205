"""`groundloop campaign` and `groundloop compare`."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ground.results.folder import run_folder
from node.service_time import load_profile
from roundtrip.command import SCENARIO, SEED, warn
from roundtrip.errors import (
    EXIT_FAILURE,
    EXIT_OBJECTIVE_MISSED,
    EXIT_OK,
    BadInput,
    EnvironmentFault,
)
from roundtrip.say import say_json
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario
from roundtrip.screen import Screen
from roundtrip.words import between, duration, percent, shown
from testbed.campaign.compared import load_summary
from testbed.campaign.report import write_campaign_report
from testbed.campaign.runs import (
    run_campaign,
    summarise_campaign,
    write_campaign,
)
from testbed.campaign.sweep import points_of
from testbed.effort import check_effort

SHOWN_BROKEN = 20
SCHEDULER_LIMIT_S = 10.0
"""How long a scheduler may take to answer."""


@click.command("campaign")
@click.argument("scenario", type=SCENARIO)
@click.option("--runs", type=click.IntRange(1, 10_000_000), default=100, show_default=True)
@click.option(
    "-j", "jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes at once."
)
@click.option("--scheduler", help="A Dask scheduler, tcp://HOST:PORT, instead of -j.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    help="Sweep: KEY=VALUE,VALUE,... such as link.downlink.loss=0,0.05; may be repeated.",
)
@click.option("--seed", type=SEED, help="Of the first run; the others count on from it.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder; an interrupted campaign goes on there.  [default: runs/…]",
)
@click.option(
    "--engine",
    type=click.Choice(["profile", "real"]),
    default="profile",
    show_default=True,
    help="`real` computes the answers, and takes as long as that takes; right ones count.",
)
@click.option(
    "--chaos",
    is_flag=True,
    help="Kill ground, node, link and engine all the time, and check what is promised then.",
)
def campaign_command(
    scenario: Path,
    runs: int,
    jobs: int,
    scheduler: str | None,
    sets: tuple[str, ...],
    seed: int | None,
    out: Path | None,
    engine: str,
    chaos: bool,
) -> int:
    """Run SCENARIO many times in virtual time and merge the results.

    Example: groundloop campaign leo-pass --runs 1000 -j 2 --set link.uplink.loss=0,0.1
    """
    loaded = load_scenario(scenario)
    warn(loaded, str(scenario))
    if seed is not None:
        loaded = loaded.model_copy(update={"seed": seed})
    if chaos:
        if sets:
            raise BadInput("campaign", "--chaos", "no --set besides", sets[0])
        real = engine == "real"
        return _chaos(loaded, str(scenario), runs, jobs, scheduler, out, real=real)
    points = points_of(loaded, sets)
    for point in points:
        profile = load_profile(point.scenario.node.profile)
        check_effort(point.scenario, profile, f"{scenario} ({point.name})")
    console = Screen()
    with _workers(scheduler), _progress(console) as progress:
        folder = run_folder(out, loaded, loaded.seed)
        real = engine == "real"
        plan = {"runs": runs, "sets": list(sets)} | ({"engine": "real"} if real else {})
        _same_plan(folder / "campaign.json", plan)
        task = progress.add_task("runs", total=runs * len(points))
        lines = run_campaign(
            points,
            runs,
            folder,
            replay=f"groundloop run {scenario} --virtual" + (" --engine real" if real else ""),
            real=real,
            jobs=-1 if scheduler else jobs,
            on_batch=lambda done, total: progress.update(task, completed=done, total=total),
        )
    summary, histograms = summarise_campaign(points, lines)
    write_campaign(folder, summary, histograms)
    report = write_campaign_report(folder, summary, histograms)
    _print_campaign(console, summary)
    console.print(f"folder    {shown(folder)}", soft_wrap=True)
    console.print(f"report    {shown(report)}", soft_wrap=True)
    met = all(point["objective_met"] for point in summary["points"])
    return EXIT_OK if met else EXIT_OBJECTIVE_MISSED


def _chaos(
    scenario: Scenario,
    name: str,
    runs: int,
    jobs: int,
    scheduler: str | None,
    out: Path | None,
    *,
    real: bool,
) -> int:
    from testbed.chaos.runs import many_runs, table_of

    check_effort(scenario, load_profile(scenario.node.profile), name)
    console = Screen()
    seeds = range(scenario.seed, scenario.seed + runs)
    with _workers(scheduler), _progress(console) as progress:
        folder = run_folder(out, scenario, scenario.seed)
        task = progress.add_task("runs", total=runs)
        verdict = many_runs(
            scenario,
            seeds,
            jobs=-1 if scheduler else jobs,
            on_batch=lambda done: progress.update(task, completed=done),
            real=real,
        )
    table = table_of(verdict)
    (folder / "chaos.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    for kind in ("faults", "outcomes"):
        for what, number in sorted(table[kind].items()):
            console.print(f"{kind:9s} {number:10,d}  {what}")
    for seed, what in verdict.broken[:SHOWN_BROKEN]:
        again = (
            f"groundloop campaign {name} --chaos --runs 1 --seed {seed}{' --engine real' * real}"
        )
        console.print(f"BROKEN    {shown(what, 300)}; replay with: {shown(again)}", soft_wrap=True)
    broken = len({seed for seed, _ in verdict.broken})
    console.print(
        f"verdict   {verdict.runs:,} runs, {verdict.questions:,} questions: "
        + (f"{broken:,} runs break a promise" if broken else "every promise was kept")
    )
    console.print(f"folder    {shown(folder)}", soft_wrap=True)
    return EXIT_FAILURE if broken else EXIT_OK


@click.command("compare")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True)
def compare_command(first: Path, second: Path, as_json: bool) -> None:
    """Show what changed from FIRST to SECOND: folders of runs or of campaigns.

    Example: groundloop compare runs/before runs/after
    """
    rows = [
        row
        for name, before, after in _pairs(load_summary(first), load_summary(second))
        for row in _deltas(name, before, after)
    ]
    if as_json:
        say_json(rows, indent=2)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("", "what", "first", "second", "change", "95 %"):
        left = column in ("", "what")
        table.add_column(column, justify="left" if left else "right", no_wrap=True)
    for row in rows:
        interval = row["interval"]
        bounds = [None if bound is None else f"{bound:+.4g}" for bound in interval or ()]
        table.add_row(
            shown(row["point"]), row["what"], f"{row['first']:.4g}", f"{row['second']:.4g}",
            f"{row['change']:+.4g}", between(*bounds) if bounds else "",
        )  # fmt: skip
    Screen().print_wide(table)


def _same_plan(path: Path, plan: dict[str, Any]) -> None:
    """Note what a campaign is to do, or check that it is the same as before.

    Raises:
        EnvironmentFault: the folder's campaign is another.
    """
    text = json.dumps(plan, sort_keys=True) + "\n"
    if not path.exists():
        path.write_text(text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text:
        raise EnvironmentFault(
            f"write {path.parent}", "it holds a campaign with other --runs, --set or --engine",
            "give another folder with --out",
        )  # fmt: skip


def _progress(console: Screen) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, transient=True,
    )  # fmt: skip


@contextlib.contextmanager
def _workers(scheduler: str | None) -> Iterator[None]:
    """Where batches run.

    Raises:
        EnvironmentFault: no such scheduler, or its client is not installed.
    """
    if scheduler is None:
        yield
        return
    import joblib

    try:
        from distributed import Client
    except ImportError:
        raise EnvironmentFault(
            "dask", "not installed", "pip install 'groundloop[cluster]'"
        ) from None
    try:
        client = Client(scheduler, timeout=SCHEDULER_LIMIT_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise EnvironmentFault(
            f"scheduler {scheduler}", str(error) or type(error).__name__, "start it, or use -j"
        ) from None
    with client, joblib.parallel_config(backend="dask"):
        yield


def _print_campaign(console: Screen, summary: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("", "runs", "on time", "95 %", "p50", "p90", "p99", "p99, 95 %", "mostly"):
        left = column in ("", "mostly")
        table.add_column(column, justify="left" if left else "right", no_wrap=True)
    for point in summary["points"]:
        low, high = point["goodput_95"]
        phases = sorted(point["phase_means_ms"].items(), key=lambda phase: -phase[1])
        table.add_row(
            shown(point["point"]),
            f"{point['runs']:,}",
            percent(point["goodput"], 2),
            between(percent(low, 2), percent(high, 2)),
            *[duration(point["loop_ms"][name][0]) for name in ("p50", "p90", "p99")],
            between(*[None if ms is None else duration(ms) for ms in point["loop_ms"]["p99"][1:]]),
            phases[0][0] if phases else "",
        )
    console.print_wide(table)


def _pairs(
    first: dict[str, Any], second: dict[str, Any]
) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    points = [_points(summary) for summary in (first, second)]
    names = [name for name in points[0] if name in points[1]]
    if not names:
        expected = "the same points in both"
        raise BadInput("compare", "points", expected, f"{list(points[0])} and {list(points[1])}")
    return [(name, points[0][name], points[1][name]) for name in names]


def _points(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The points of a campaign by name; a single run is the point "all"."""
    if summary.get("kind") == "campaign":
        return {point["point"]: point for point in summary["points"]}
    return {"all": summary}


def _deltas(name: str, before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [_row(name, "goodput", _good(before), _good(after))]
    for quantile in ("p50", "p90", "p99"):
        pair = [_loop(point, quantile) for point in (before, after)]
        if pair[0] is not None and pair[1] is not None:
            rows.append(_row(name, f"loop {quantile} ms", pair[0], pair[1]))
    return rows


def _row(name: str, what: str, first: list[Any], second: list[Any]) -> dict[str, Any]:
    """A difference; its interval, where both have one, as of independent estimates.

    The distances of the bounds that it depends on add up as squares (Zou and Donner, Statistics in
    Medicine 27, 2008); where one of them is open (None), so is the difference on that side.
    """
    change = second[0] - first[0]
    interval: list[float | None] | None = None
    if len(first) == len(second) == 3:
        low = _away(second[0], second[1], first[0], first[2])
        high = _away(second[0], second[2], first[0], first[1])
        interval = [None if low is None else change - low, None if high is None else change + high]
    return {
        "point": name, "what": what, "first": first[0], "second": second[0], "change": change,
        "interval": interval,
    }  # fmt: skip


def _away(second: float, its: float | None, first: float, other: float | None) -> float | None:
    return None if its is None or other is None else math.hypot(second - its, first - other)


def _good(point: dict[str, Any]) -> list[float]:
    return [point["goodput"], *point.get("goodput_95", [])]


def _loop(point: dict[str, Any], quantile: str) -> list[Any] | None:
    value = point["loop_ms"].get(quantile)
    if value is None:
        return None
    return list(value) if isinstance(value, list) else [value]
