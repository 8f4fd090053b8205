"""`groundloop doctor`: whether this machine can do what groundloop needs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.text import Text

from roundtrip.say import say_json
from roundtrip.screen import Screen

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@click.command("doctor")
@click.option("--model", default="builtin", show_default=True, help="That will run here.")
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where runs will be.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor_command(model: str, runs: Path, as_json: bool) -> int:
    """Check what groundloop needs of this machine, and say what to do.

    Exits with 1 where something needed does not work. Example: groundloop doctor --model builtin
    """
    from testbed.doctor import Level, examine

    findings = examine(runs, model)
    failed = any(finding.level is Level.FAIL for finding in findings)
    if as_json:
        say_json([{**asdict(one), "level": one.level.value} for one in findings], indent=2)
        return int(failed)
    console = Screen()
    for one in findings:
        line = Text(f"{one.level.value:5s}", style=STYLES[one.level.value])
        line.append(f"{one.name:12s} ", style="bold").append(one.found, style="default")
        console.print(line, soft_wrap=True)
        if one.remedy:
            console.print(Text(f"     → {one.remedy}", style="dim"), soft_wrap=True)
    return int(failed)
