"""`groundloop score`: the verdict on a log of loops, whoever wrote it."""

from __future__ import annotations

from pathlib import Path

import click

from roundtrip.command import Number
from roundtrip.say import say
from roundtrip.scenario import Scenario
from roundtrip.words import count, shown

LONGEST_NAME = 100


@click.command("score")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--budget",
    "budget_s",
    type=Number(min=1e-3, max=366 * 86_400),
    default=120.0,
    show_default=True,
    help="Seconds that a loop may take.",
)
@click.option(
    "--objective",
    type=Number(min=0, max=1),
    default=0.95,
    show_default=True,
    help="Share of the questions that must be answered in time.",
)
@click.option(
    "--expire",
    "expire_s",
    type=Number(min=1e-3, max=366 * 86_400),
    help="Seconds that a question without an answer counts as.  [default: 600, or the budget]",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of what is written.  [default: runs/…]"
)
def score_command(
    file: Path, budget_s: float, objective: float, expire_s: float | None, out: Path | None
) -> int:
    """Judge anyone's log of loops, FILE: the same histograms, verdict and report as of a run.

    FILE has a loop a line, as JSON, or as CSV where its name ends in .csv. Enough is when each
    question was meant to be sent or was sent, and when its answer was there: docs/loop-log.md.

    Example: groundloop score flight.jsonl --budget 120
    """
    from ground.results.folder import finish, run_folder
    from ground.results.loop_log import read_log
    from ground.results.summary import SCORED, Run
    from roundtrip.units import NS_PER_S

    if expire_s is None:
        expire_s = max(600.0, budget_s)
    if expire_s < budget_s:
        raise click.UsageError("--expire must not be less than --budget")
    budget = {"loop_s": budget_s, "objective": objective, "expire_s": expire_s}
    scenario = _scenario(file, budget, "unknown", 1)
    log = read_log(file, scenario.budget.budget())
    scenario = _scenario(file, budget, log.model, len(log.records))
    folder = run_folder(out, scenario, scenario.seed, resumable=False)
    if log.ignored:
        say(f"ignored   {', '.join(log.ignored[:20])}")
    say(f"read      {count(len(log.records), 'loop')} from {file}")
    run = Run(
        scenario,
        scenario.seed,
        SCORED,
        log.records,
        None,
        None,
        log.started_unix_s,
        log.length_ns / NS_PER_S,
        False,
        {},
    )
    return finish(run, folder)


def _scenario(file: Path, budget: dict[str, float], model: str, loops: int) -> Scenario:
    """What a folder has to say of a scenario where only the loops are known."""
    from roundtrip.scenario_file import check_scenario

    name = shown(file.stem, LONGEST_NAME)
    unknown = {"rate_bps": 1, "one_way_delay_ms": 0}
    table: dict[str, object] = {
        "name": name,
        "description": f"Scored from {shown(file.name, 200)}; link and workload are not known.",
        "link": {"uplink": unknown, "downlink": unknown},
        "workload": {"questions": ["not known"], "count": loops, "rate_per_min": 1e6},
        "budget": budget,
        "node": {"model": shown(model, 200) or "unknown"},
    }
    return check_scenario(table, str(file))
