"""`groundloop trace`: measured links."""

from __future__ import annotations

from pathlib import Path

import click
import tomli_w

from models.atomic import atomic_target
from roundtrip.link_trace import read_trace
from roundtrip.say import say
from testbed.trace_fit import QUANTILES, fitted


@click.group("trace")
def trace() -> None:
    """Measured links: files with rate, delay and loss over time."""


@trace.command("fit")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.1, 3600),
    default=15.0,
    show_default=True,
    help="Length of a step of the rate, s.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write the steps here.  [default: FILE-steps.csv]",
)
def fit_command(file: Path, every_s: float, out: Path | None) -> int:
    """Make the nearest parametric link of FILE, and say how far off it is.

    FILE is a CSV or a packet-delivery trace, see docs/link.md. What it prints is a part of a
    scenario; the steps of the rate are a trace of their own.

    Example: groundloop trace fit starlink.csv --every 15
    """
    found = fitted(read_trace(str(file)), every_s)
    settings: dict[str, object] = dict(found.settings)
    if found.steps:
        target = out or file.with_name(f"{file.stem}-steps.csv")
        rows = [*found.steps]
        if len(rows) == 1:
            rows.append((rows[0][0] + every_s, rows[0][1]))
        with atomic_target(target) as path:
            path.write_text(
                "t_s,rate_bps\n" + "".join(f"{at_s:g},{rate_bps:.0f}\n" for at_s, rate_bps in rows)
            )
        settings["trace"] = str(target)
    say("[link.uplink]  # or downlink")
    for line in tomli_w.dumps({"link": {"uplink": settings}}).splitlines():
        if line and line != "[link.uplink]":
            say(line)
    say("")
    for one in found.compared:
        say(f"{one.column}, {one.unit}: KS distance {one.ks:.3f}")
        say("           " + "".join(f"{f'p{100 * share:g}':>10}" for share in QUANTILES))
        for name, values in (("measured", one.measured), ("model", one.modelled)):
            say(f"  {name:<9}" + "".join(f"{value:>10.3g}" for value in values))
    return 0
