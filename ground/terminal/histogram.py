"""Loop times against the budget, as columns of blocks on a logarithmic scale. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rich.text import Text

BLOCKS = " ▁▂▃▄▅▆▇█"
BUDGET = "│"
CELLS = 2
"""Of one bin."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Loops by how long they took."""

    counts: list[int]
    first: int
    """Bar of the first column, see `ground.loop_times`."""
    bars: int
    """Of one column."""
    per_decade: int

    def of(self, value_s: float) -> int:
        """The column of a time."""
        bar = math.floor(math.log10(value_s) * self.per_decade + 1e-9)
        return (bar - self.first) // self.bars


def columns_of(loops: dict[str, Any], budget_s: float, number: int) -> Columns:
    """So many columns; every loop and the budget are inside.

    Args:
        loops: as in the status of a `Desk`.
        budget_s: of a loop.
        number: of columns.
    """
    bars = {int(bar): count for bar, count in loops["bars"].items()}
    per_decade = loops["per_decade"]
    budget = math.floor(math.log10(budget_s) * per_decade)
    least = min([budget - 2 * per_decade, *bars])
    first = math.floor(least / per_decade) * per_decade
    span = max([budget + per_decade // 2, *bars]) - first + 1
    each = -(-span // number)
    counts = [0] * number
    for bar, count in bars.items():
        counts[(bar - first) // each] += count
    return Columns(counts, first, each, per_decade)


def loops_drawn(
    loops: dict[str, Any] | None, budget_s: float, width: int, height: int
) -> list[Text]:
    """The histogram in exactly so many lines; the last is the scale.

    Args:
        loops, budget_s: as for `columns_of`; None before there is a status.
        width, height: cells.
    """
    if loops is None:
        return [Text() for _ in range(height)]
    columns = columns_of(loops, budget_s, width // CELLS)
    budget, most = columns.of(budget_s), max(columns.counts)
    rows = height - 1
    lines = []
    for row in range(rows):
        line = Text()
        for place, number in enumerate(columns.counts):
            eighths = math.ceil(8 * rows * number / most) if most else 0
            block = BLOCKS[min(max(eighths - 8 * (rows - 1 - row), 0), 8)]
            if place == budget and block == " ":
                line.append(" " * (CELLS - 1)).append(BUDGET, "red")
            else:
                line.append(block * CELLS, "red" if place > budget else "green")
        lines.append(line)
    if not most:
        lines[rows // 2] = _over(lines[rows // 2], "no answer yet")
    return [*lines, _scale(columns, budget_s)]


def _over(line: Text, words: str) -> Text:
    return Text().append(f" {words}", "dim").append_text(line[len(words) + 1 :])


def _scale(columns: Columns, budget_s: float) -> Text:
    """The budget at its place, and powers of ten where there is room."""
    width = len(columns.counts) * CELLS
    cells, taken = [" "] * width, [False] * width
    label = f"{budget_s:g} s"
    start = min(max((columns.of(budget_s) + 1) * CELLS - len(label), 0), width - len(label))
    _put(cells, taken, start, label)
    power = columns.first // columns.per_decade
    while (place := columns.of(10.0**power)) < len(columns.counts):
        _put(cells, taken, place * CELLS, f"{10.0**power:g}")
        power += 1
    end = start + len(label)
    return (
        Text()
        .append("".join(cells[:start]), "dim")
        .append(label, "red")
        .append("".join(cells[end:]), "dim")
    )


def _put(cells: list[str], taken: list[bool], start: int, label: str) -> None:
    end = start + len(label)
    if end <= len(cells) and not any(taken[max(start - 1, 0) : end + 1]):
        cells[start:end] = label
        taken[start:end] = [True] * len(label)
