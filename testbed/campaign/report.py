"""`report.html` of a campaign: loop times and shares by sweep value, one offline file.

Geometry is worked out here, in CSS pixels of an SVG 960 wide, as for a run's report; the words and
marks are in `campaign.html.j2`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ground.results.histogram import rank_of, values_at
from ground.results.report import LEFT, RIGHT, WIDTH, Bar, Tick, templates
from roundtrip.stages import PHASES, UNATTRIBUTED
from roundtrip.units import NS_PER_MS
from roundtrip.words import between, duration, percent

CDF_HEIGHT = 220
ROW = 26
NAMES = 250
"""Left margin of the charts with a row for each point, for its name."""
COLOURS = ("#3b7dd8", "#d9609f", "#2f9e62", "#c77700", "#8a5cc2", "#22a6a1", "#d2453a", "#5b6778")
PERCENTS = [number / 4 for number in range(1, 400)] + [99.9]


def write_campaign_report(
    folder: Path, summary: Mapping[str, Any], histograms: Mapping[str, Any]
) -> Path:
    """Write the report of a campaign; its path.

    Args:
        folder: of the campaign.
        summary: what `summary.json` holds.
        histograms: the merged loop histogram of each point, by its name.
    """
    points = [
        {
            **point,
            "label": _label(point, summary["points"]),
            "shown_95": {name: _interval(point["loop_ms"][name]) for name in ("p50", "p90", "p99")},
            "goodput_95_shown": between(*(percent(share, 2) for share in point["goodput_95"])),
        }
        for point in summary["points"]
    ]
    path = folder / "report.html"
    page = templates(Path(__file__).parent).get_template("campaign.html.j2")
    text = page.render(
        summary=summary,
        points=points,
        cdf=_cdf(points, histograms),
        shares=_shares(points),
        times=_times(points),
        phases=[*PHASES, UNATTRIBUTED],
        width=WIDTH,
        left=LEFT,
        right=RIGHT,
        names=NAMES,
    )
    path.write_text(text, encoding="utf-8")
    return path


def _label(point: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> str:
    """A point's settings, with as little of their keys as tells them apart."""
    keys = {key for other in points for key in other["settings"]}
    last = [key.rsplit(".", 1)[-1] for key in keys]
    shown = []
    for key, value in point["settings"].items():
        parts = key.split(".")
        short = parts[-1] if last.count(parts[-1]) == 1 else ".".join(parts[-2:])
        shown.append(f"{short} {value}")
    return ", ".join(shown) or "all runs"


def _interval(quantile: Sequence[float | None]) -> str:
    _, low, high = quantile
    return between(*(None if bound is None else duration(bound) for bound in (low, high)))


def _axis(power: int) -> str:
    """10 to a power, in ms, as a mark on an axis."""
    return f"{10**power:g} ms" if power < 3 else f"{10 ** (power - 3):g} s"


def _cdf(points: Sequence[Mapping[str, Any]], histograms: Mapping[str, Any]) -> dict[str, Any]:
    """The share of questions answered within a time, on a logarithmic axis."""
    curves: list[tuple[str, list[float]]] = []
    for point in points:
        histogram = histograms[point["point"]]
        ranks = [rank_of(level, histogram.total_count) for level in PERCENTS]
        values = values_at(histogram, ranks)
        curves.append((point["label"], [max(value / NS_PER_MS, 0.001) for value in values]))
    budget_ms = points[0]["budget_s"] * 1000
    low = min([budget_ms, *(values[0] for _, values in curves)])
    high = max([budget_ms, *(values[-1] for _, values in curves)])
    start, end = math.floor(math.log10(low)), math.ceil(math.log10(high * 1.001))
    scale = (WIDTH - LEFT - RIGHT) / max(1, end - start)

    def x(value_ms: float) -> float:
        return LEFT + (math.log10(value_ms) - start) * scale

    def y(level: float) -> float:
        return CDF_HEIGHT * (1 - level / 100)

    return {
        "height": CDF_HEIGHT,
        "curves": [
            {
                "name": name,
                "colour": COLOURS[number % len(COLOURS)],
                "points": " ".join(
                    f"{x(value):.1f},{y(level):.1f}"
                    for value, level in zip(values, PERCENTS, strict=True)
                ),
            }
            for number, (name, values) in enumerate(curves)
        ],
        "ticks": [Tick(x(10.0**power), _axis(power)) for power in range(start, end + 1)],
        "marks": [(y(level), f"{level}%") for level in (0, 50, 90, 100)],
        "budget_x": x(budget_ms),
    }


def _shares(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Answered in time, by point, with the 95 % interval."""
    scale = WIDTH - NAMES - RIGHT - 60
    rows = []
    for number, point in enumerate(points):
        low, high = point["goodput_95"]
        rows.append(
            {
                "name": point["label"],
                "y": number * ROW,
                "x": NAMES + point["goodput"] * scale,
                "low": NAMES + low * scale,
                "high": NAMES + high * scale,
                "met": point["objective_met"],
                "label": percent(point["goodput"]),
            }
        )
    ticks = [Tick(NAMES + share * scale, f"{share:.0%}") for share in (0, 0.25, 0.5, 0.75, 1)]
    objective = NAMES + points[0]["objective"] * scale
    return {"rows": rows, "ticks": ticks, "height": len(rows) * ROW, "objective_x": objective}


def _times(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of each phase over the answered questions, one after the other."""
    longest = max([sum(point["phase_means_ms"].values()) for point in points] + [1.0])
    scale = (WIDTH - NAMES - RIGHT - 70) / longest
    bars: list[Bar] = []
    labels = []
    for number, point in enumerate(points):
        x = float(NAMES)
        for phase in (*PHASES, UNATTRIBUTED):
            mean_ms = point["phase_means_ms"].get(phase, 0.0)
            if mean_ms:
                title = f"{phase.replace('_', ' ')}: {duration(mean_ms)}"
                bars.append(Bar(x, number * ROW + 4, mean_ms * scale, ROW - 8, phase, title))
                x += mean_ms * scale
        total = duration(sum(point["phase_means_ms"].values()))
        labels.append({"name": point["label"], "y": number * ROW, "x": x, "label": total})
    return {"bars": bars, "labels": labels, "height": len(points) * ROW}
