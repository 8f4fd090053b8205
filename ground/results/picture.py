"""A run as a picture, for slides and papers: loop times against the budget, and where they went
(extra `png`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ground.results.record import LoopRecord
from roundtrip.errors import EnvironmentFault
from roundtrip.stages import PHASES, UNATTRIBUTED
from roundtrip.units import ns_to_s
from roundtrip.words import shown

SLOWEST = 40
"""Loops of which the phases are drawn."""
COLOURS = (
    "#8d99a8",
    "#b9c1cb",
    "#2f78c4",
    "#6c7684",
    "#f2d5ad",
    "#e8b27a",
    "#c26a12",
    "#d5dbe3",
    "#7fb0e6",
)


def write_picture(records: Sequence[LoopRecord], summary: dict[str, Any], path: Path) -> None:
    """Write a PNG of 1600 by 900.

    Raises:
        EnvironmentFault: the extra is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise EnvironmentFault(
            "draw a picture", "matplotlib is not installed", "pip install 'groundloop[png]'"
        ) from None
    figure = Figure(figsize=(16, 9), dpi=100, layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(2, 3))
    figure.suptitle(shown(f"{summary['scenario']}: {summary['sentence']}", 150), fontsize=15)
    answered = [record for record in records if record.answered and record.loop_ns]
    _histogram(above, answered, summary["budget_s"])
    _phases(below, answered)
    figure.savefig(path, format="png")


def _histogram(axes: Any, answered: Sequence[LoopRecord], budget_s: float) -> None:
    loops_s = [ns_to_s(record.loop_ns or 1) for record in answered]
    low, high = min([0.1, *loops_s]), max([budget_s * 2, *loops_s])
    steps = 60
    edges = [low * (high / low) ** (step / steps) for step in range(steps + 1)]
    axes.hist(loops_s, bins=edges, color="#1d7a48")
    axes.axvline(budget_s, color="#8a5a00", linestyle="--")
    axes.text(
        budget_s, 0.97, f" budget {budget_s:g} s", transform=axes.get_xaxis_transform(), va="top"
    )
    axes.set(xscale="log", xlabel="loop, s", ylabel="answers", title="Loop times")
    axes.spines[["top", "right"]].set_visible(False)


def _phases(axes: Any, answered: Sequence[LoopRecord]) -> None:
    chosen = sorted(answered, key=lambda record: record.loop_ns or 0)[-SLOWEST:]
    chosen.sort(key=lambda record: record.planned.index)
    names = [str(record.planned.index) for record in chosen]
    below = [0.0] * len(chosen)
    for phase, colour in zip([*PHASES, UNATTRIBUTED], (*COLOURS, "#444444"), strict=True):
        spent_s = [ns_to_s(record.phases_ns.get(phase, 0)) for record in chosen]
        if any(spent_s):
            axes.bar(names, spent_s, bottom=below, color=colour, label=phase.replace("_", " "))
            below = [low + more for low, more in zip(below, spent_s, strict=True)]
    what = "Where the time went" if len(answered) <= SLOWEST else f"The slowest {SLOWEST}"
    axes.set(xlabel="question", ylabel="s", title=what)
    axes.spines[["top", "right"]].set_visible(False)
    if names:
        axes.legend(ncols=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False)
