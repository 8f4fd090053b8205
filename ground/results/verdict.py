"""The end of a run on the terminal: histogram, where the time went, and the verdict."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from ground.results.record import LoopRecord
from roundtrip.screen import Screen
from roundtrip.transport import with_remedy
from roundtrip.units import NS_PER_S
from roundtrip.words import duration, percent

BAR = 44
BUCKETS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 90, 120, 180, 300, 600, 1800, 3600)


def print_verdict(console: Screen, summary: dict[str, Any], records: list[LoopRecord]) -> None:
    """Print what `summary.json` says."""
    console.print()
    _print_histogram(console, summary["budget_s"], records)
    _print_phases(console, summary)
    console.print(f"in short  {summary['sentence']}", soft_wrap=True)
    outcomes = ", ".join(f"{n} {name}" for name, n in summary["outcomes"].items() if n)
    loop = summary["loop_ms"]
    if loop["p50"] is not None:
        quantiles = "   ".join(f"{name} {duration(value)}" for name, value in loop.items())
        console.print(f"loop      {quantiles}   budget {summary['budget_s']:g} s")
    console.print(f"outcomes  {summary['questions']} asked: {outcomes}")
    if summary["graded"]:
        console.print(f"answers   {summary['right']} of {summary['graded']} right")
    for reason, times in summary["rejected"].items():
        line = Text(f"not taken {times} × {with_remedy(reason)}", style="yellow")
        console.print(line, soft_wrap=True)
    met = summary["objective_met"]
    style, word = ("bold green", "MET") if met else ("bold red", "MISSED")
    good = "answered on time" + (" and right" if summary["graded"] else "")
    console.print(
        Text.assemble(
            "verdict   ",
            (word, style),
            f": {percent(summary['goodput'])} {good}, objective {percent(summary['objective'])}",
            " (interrupted)" if summary["interrupted"] else "",
        )
    )


def _print_histogram(console: Screen, budget_s: float, records: list[LoopRecord]) -> None:
    bounds = sorted({*BUCKETS_S, budget_s})
    counts = [0] * (len(bounds) + 1)
    for record in records:
        if record.answered and record.loop_ns is not None:
            loop_s = record.loop_ns / NS_PER_S
            counts[sum(loop_s > bound for bound in bounds)] += 1
    unanswered = sum(not record.answered for record in records)
    filled = [index for index, count in enumerate(counts) if count]
    if filled or unanswered:
        top = max(*counts, unanswered, 1)
        last = max([*filled, bounds.index(budget_s)])
        console.print("loop histogram")
        for index in range(min([*filled, bounds.index(budget_s)]), last + 1):
            upper = f"≤ {bounds[index]:g} s" if index < len(bounds) else f"> {bounds[-1]:g} s"
            late = index > bounds.index(budget_s)
            console.print(_bar(upper, counts[index], top, "red" if late else "green"))
            if index == bounds.index(budget_s):
                console.print(Text.assemble(" " * 11, ("─" * BAR + " budget", "yellow")))
        if unanswered:
            console.print(_bar("no answer", unanswered, top, "red"))
        console.print()


def _bar(label: str, number: int, top: int, style: str) -> Text:
    bar = "█" * -(-number * BAR // top)
    return Text.assemble(f"{label:>10s} ", (f"{bar:{BAR}s}", style), f" {number}")


def _print_phases(console: Screen, summary: dict[str, Any]) -> None:
    if not summary["phases_ms"]:
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("phase")
    for name in ("p50", "p90", "p99", "max"):
        table.add_column(name, justify="right", min_width=10)
    for phase, values in summary["phases_ms"].items():
        table.add_row(phase, *(duration(values[name]) for name in ("p50", "p90", "p99", "max")))
    console.print(table)
    console.print()
