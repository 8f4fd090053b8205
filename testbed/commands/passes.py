"""`groundloop passes`: when a scenario's satellites are above its stations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.table import Table

from roundtrip.command import SCENARIO, Number
from roundtrip.config import Direction
from roundtrip.errors import BadConfig
from roundtrip.orbit import Pass
from roundtrip.passes import all_passes, rate_steps, unix_s, warnings_of
from roundtrip.say import say, say_json
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario
from roundtrip.screen import Screen
from roundtrip.units import ns_to_s
from roundtrip.words import count, shown
from testbed.contact_plan import hdtn_plan, ion_plan
from testbed.passes_plot import write_passes

WIDTH = 108
"""Characters that the table needs."""


@click.command("passes")
@click.argument("scenario", type=SCENARIO)
@click.option("--days", type=Number(min=0.01, max=366), help="Instead of orbit.hours.")
@click.option("--json", "as_json", is_flag=True, help="All of it, for programs.")
@click.option("--ion", is_flag=True, help="As an ION contact plan (ground 1, node 2).")
@click.option("--hdtn", is_flag=True, help="As an HDTN contact plan (ground 1, node 2).")
@click.option("--plot", type=click.Path(path_type=Path), help="Sky plot and elevation, as HTML.")
def passes_command(
    scenario: Path,
    days: float | None,
    as_json: bool,
    ion: bool,
    hdtn: bool,
    plot: Path | None,
) -> None:
    """List the passes of SCENARIO: AOS, TCA, LOS, highest elevation, duration, range, and the
    rate where it follows from a link budget.

    Example: groundloop passes orbit-day --days 3
    """
    loaded = load_scenario(scenario)
    if loaded.orbit is None:
        raise BadConfig(str(scenario), "orbit", "[orbit], [[satellite]] and [[station]]", "none")
    if days is not None:
        orbit = loaded.orbit.model_copy(update={"hours": days * 24})
        loaded = loaded.model_copy(update={"orbit": orbit})
    for warning in warnings_of(loaded, str(scenario)):
        say(f"warning: {warning}", err=True)
    found = all_passes(loaded, str(scenario))
    if as_json:
        say_json([_fields(one, loaded) for one in found], indent=2)
    elif ion:
        for line in ion_plan(loaded, found):
            say(line)
    elif hdtn:
        say_json(hdtn_plan(loaded, found), indent=2)
    else:
        _print(Screen(width=max(Screen().width, WIDTH)), loaded, found)
    if plot is not None:
        write_passes(loaded, found, plot)
        say(f"plot: {plot}", err=True)


def _moment(scenario: Scenario, at_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s(scenario), UTC) + timedelta(seconds=at_s)


def _fields(one: Pass, scenario: Scenario) -> dict[str, object]:
    shown = {
        name: _moment(scenario, at_s).isoformat(timespec="milliseconds")
        for name, at_s in (("aos", one.aos_s), ("tca", one.tca_s), ("los", one.los_s))
    }
    return {
        "satellite": one.satellite,
        "station": one.station,
        **shown,
        "aos_s": one.aos_s,
        "tca_s": one.tca_s,
        "los_s": one.los_s,
        "duration_s": one.los_s - one.aos_s,
        "max_elevation_deg": one.max_elevation_deg,
        "range_min_km": min(one.ranges_km),
        "range_max_km": max(one.ranges_km),
        "cut": one.cut,
        "uplink_rates": _rates(one, scenario.link.uplink),
        "downlink_rates": _rates(one, scenario.link.downlink),
    }


def _rates(one: Pass, direction: Direction) -> list[dict[str, object]]:
    return [
        {
            "start_s": ns_to_s(step.start_ns),
            "end_s": ns_to_s(step.end_ns),
            "rate_bps": step.rate_bps,
            "modcod": step.modcod or None,
        }
        for step in rate_steps(one, direction)
    ]


def _shown_rates(one: Pass, direction: Direction) -> str:
    """Lowest and highest, in Mbit/s."""
    rates = [step.rate_bps / 1e6 for step in rate_steps(one, direction)]
    return f"{min(rates):.3g}–{max(rates):.3g}"


def _print(console: Screen, scenario: Scenario, found: list[Pass]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("satellite", "station"):
        table.add_column(name, overflow="fold")
    for name in ("AOS (UTC)", "TCA", "LOS", "elevation", "minutes", "range km"):
        table.add_column(name, justify="right", no_wrap=True)
    adaptive = [
        (label, direction)
        for label, direction in (("up", scenario.link.uplink), ("down", scenario.link.downlink))
        if direction.budget is not None
    ]
    for label, _ in adaptive:
        table.add_column(f"{label} Mbit/s", justify="right", no_wrap=True)
    for one in found:
        aos, tca, los = (_moment(scenario, at) for at in (one.aos_s, one.tca_s, one.los_s))
        table.add_row(
            shown(one.satellite),
            shown(one.station),
            f"{aos:%m-%d %H:%M:%S}",
            f"{tca:%H:%M:%S}",
            f"{los:%H:%M:%S}" + ("*" if one.cut else ""),
            f"{one.max_elevation_deg:.1f}°",
            f"{(one.los_s - one.aos_s) / 60:.1f}",
            f"{min(one.ranges_km):.0f}–{max(one.ranges_km):.0f}",
            *(_shown_rates(one, direction) for _, direction in adaptive),
        )
    console.print(table)
    assert scenario.orbit is not None
    minutes = sum(one.los_s - one.aos_s for one in found) / 60
    days = scenario.orbit.hours / 24
    console.print(
        f"{count(len(found), 'pass', 'passes')}, {len(found) / days:.1f} a day; "
        f"{count(round(minutes), 'contact minute')}, "
        f"{minutes / days:.0f} a day" + ("; * cut by the end" if any(p.cut for p in found) else "")
    )
