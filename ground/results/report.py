"""`report.html`: one offline file, without scripts, that still opens in twenty years.

Geometry is worked out here, in CSS pixels of an SVG 960 wide; the words and marks are in
`report.html.j2`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from ground.air import LAYERS
from ground.results.record import LoopRecord
from ground.results.summary import SCORED, Run
from roundtrip.budget import Outcome
from roundtrip.contacts import FOREVER_NS
from roundtrip.stages import PHASES, UNATTRIBUTED, Stage
from roundtrip.transport import remedy_of
from roundtrip.units import NS_PER_S, ns_to_s, s_to_ns
from roundtrip.words import count, duration, percent, shown

WIDTH = 960
LEFT = 56
RIGHT = 24
TAIL = 200
"""Room beside the waterfall for what became of a question without an answer."""
WATERFALL_ROWS = 100
WATERFALL_ROW = 16
BUCKETS_PER_DECADE = 10
DEGREES = (1, 2, 5)
OUTAGES = ("planned", "cued", "silent", "stuck")
AIR_ROW = 42
AIR_WORDS = {
    "text": "text, as packed",
    "message": "message",
    "upload": "pieces of uploads",
    "bundle": "bundle headers",
    "security": "security",
    "segments": "LTP headers",
    "control": "LTP reports",
    "repeats": "repeats",
    "unfinished": "not whole",
}
UNITS = {
    "quant": "quantization",
    "prefill_tok_s": "prompt, tokens/s",
    "decode_tok_s": "answer, tokens/s",
    "rss_peak_mb": "memory at most, MB",
    "rss_bytes": "memory at the end, bytes",
    "throttled_ms": "throttled, ms",
    "temperature_mc": "temperature, m°C",
    "power_mw": "power, mW",
    "charge_permille": "charge, ‰",
    "mended": "damaged tensors read again",
    "engine_mb": "memory that the engine may have, MB",
    "room_mb": "room for uploads, MB",
    "exposed": "answers perhaps spoilt by upsets",
}
"""What the figures of a node are called."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle with a tooltip."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


def templates(*folders: Path) -> jinja2.Environment:
    """Our templates, and those of other folders that share their style."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([Path(__file__).parent, *folders]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        # Text of others, before it is escaped; Markup is our own.
        finalize=lambda value: shown(value) if type(value) is str else value,
    )
    words = {"duration": duration, "percent": percent, "count": count, "remedy": remedy_of}
    environment.filters |= words
    return environment


def write_report(run: Run, summary: dict[str, Any], path: Path) -> None:
    """Write the report of a run."""
    page = (
        templates()
        .get_template("report.html.j2")
        .render(
            summary=summary,
            scenario=run.scenario,
            phases=[*PHASES, UNATTRIBUTED],
            histogram=_histogram(run),
            waterfall=_waterfall(run),
            timeline=_timeline(run),
            charge=_charge(run),
            node=_node(summary["node"]),
            air=_air(run),
            width=WIDTH,
            left=LEFT,
            right=RIGHT,
            virtual=_virtual(run),
            scored=run.mode == SCORED,
        )
    )
    path.write_text(page, encoding="utf-8")


def _virtual(run: Run) -> str:
    """What a reader has to know of a virtual run."""
    if run.mode != "virtual":
        return ""
    if run.real_engine:
        return "Virtual time: the model answered, and each of its steps took as long as it took."
    no_model = "Virtual time: no model ran, service times come from a profile"
    if run.upsets is None:
        return f"{no_model}, and answers are not graded."
    return f"{no_model}; an answer counts as right where no harmful upset stood."


def _node(node: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is known of the node, with its vitals, as rows of a table."""
    known = {**node, **(node.get("vitals") or {})}
    known["threads"] = node.get("threads")
    known.pop("vitals", None)
    return [
        (
            UNITS.get(name, name).replace("_", " "),
            f"{value:,.1f}" if isinstance(value, float) else str(value),
        )
        for name, value in known.items()
        if value is not None
    ]


# -- bytes on the air ------------------------------------------------------------------------------


def _air(run: Run) -> dict[str, Any] | None:
    """A stacked bar for each direction; the wider one fills the page."""
    if run.air is None:
        return None
    most = max([1, *(max(way["total"], way["raw_text"]) for way in run.air.values())])
    scale, asked = (WIDTH - LEFT - RIGHT) / most, max(1, len(run.records))
    rows, bars = [], []
    for row, (name, way) in enumerate(run.air.items()):
        x, y = float(LEFT), row * AIR_ROW
        for layer in LAYERS:
            wide = way[layer] * scale
            title = (
                f"{AIR_WORDS[layer]}: {way[layer]:,} bytes, {way[layer] / asked:,.1f} a question"
            )
            bars.append(Bar(x, y, wide, AIR_ROW - 14, f"air-{layer}", title))
            x += wide
        rows.append(
            {"name": name, "y": y + 18, "raw_x": LEFT + way["raw_text"] * scale, "way": way}
        )
    return {
        "bars": bars,
        "rows": rows,
        "height": AIR_ROW * len(rows),
        "layers": [(layer, AIR_WORDS[layer]) for layer in LAYERS],
        "asked": asked,
    }


# -- histogram -------------------------------------------------------------------------------------


def _histogram(run: Run) -> dict[str, Any]:
    """Bars of the loop time on a logarithmic axis, with the budget line."""
    budget_s = run.scenario.budget.loop_s
    times = [ns_to_s(r.loop_ns) for r in run.records if r.answered and r.loop_ns]
    low = math.floor(math.log10(min([*times, budget_s / 10])) * 2) / 2
    high = math.ceil(math.log10(max([*times, budget_s * 2])) * 2) / 2
    scale = (WIDTH - LEFT - RIGHT - 70) / (high - low)
    height = 180

    def x_of(seconds: float) -> float:
        return LEFT + (math.log10(seconds) - low) * scale

    counts: dict[int, list[float]] = {}
    for seconds in times:
        counts.setdefault(math.floor(math.log10(seconds) * BUCKETS_PER_DECADE), []).append(seconds)
    unanswered = sum(not record.answered for record in run.records)
    top = max([len(found) for found in counts.values()] + [unanswered, 1])
    bars: list[Bar] = []
    for bucket, found in sorted(counts.items()):
        edges = [10 ** ((bucket + side) / BUCKETS_PER_DECADE) for side in (0, 1)]
        late = sum(seconds > budget_s for seconds in found)
        y = float(height)
        for number, kind in ((len(found) - late, "good"), (late, "bad")):
            if number:
                tall = number / top * (height - 20)
                y -= tall
                title = f"{count(number, 'loop')} from {edges[0]:.3g} to {edges[1]:.3g} s"
                wide = x_of(edges[1]) - x_of(edges[0]) - 1
                bars.append(Bar(x_of(edges[0]), y, wide, tall, kind, title))
    if unanswered:
        tall = unanswered / top * (height - 20)
        title = f"{count(unanswered, 'question')} without an answer"
        bars.append(Bar(WIDTH - RIGHT - 44, height - tall, 40, tall, "none", title))
    return {
        "bars": bars,
        "ticks": [Tick(x_of(s), _seconds(s)) for s in _decade_ticks(low, high)],
        "budget_x": x_of(budget_s),
        "height": height,
        "top": top,
        "unanswered": unanswered,
    }


def _decade_ticks(low: float, high: float) -> list[float]:
    ticks = [
        degree * 10.0**power
        for power in range(math.floor(low), math.ceil(high) + 1)
        for degree in DEGREES
    ]
    return [s for s in ticks if low - 1e-9 <= math.log10(s) <= high + 1e-9]


def _seconds(seconds: float) -> str:
    if seconds == 0:
        return "0"
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:g} ms"


# -- waterfall -------------------------------------------------------------------------------------


def _waterfall(run: Run) -> dict[str, Any]:
    """One row a question: its phases since it was meant to be sent."""
    rows = _chosen(run.records)
    budget_s = run.scenario.budget.loop_s
    ends = [ns_to_s(_end_ns(record) - record.planned.intended_ns) for record in rows]
    longest = max([*ends, 0.001])
    span = longest if longest < budget_s / 2 else max(longest, budget_s * 1.05)
    tails = [_tail(record) for record in rows]
    scale = (WIDTH - LEFT - (TAIL if any(tails) else RIGHT)) / span
    lines = []
    for row, record in enumerate(rows):
        y = row * WATERFALL_ROW
        at = 0.0
        bars = []
        for phase, length_ns in record.phases_ns.items():
            seconds = ns_to_s(length_ns)
            title = f"#{record.planned.index} {phase}: {duration(seconds * 1000)}"
            bars.append(Bar(LEFT + at * scale, y + 2, max(seconds * scale, 0.3), 12, phase, title))
            at += seconds
        lines.append(
            {
                "label": f"#{record.planned.index}",
                "y": y + 12,
                "bars": bars,
                "tail": tails[row],
                "why": record.why,
                "tail_x": LEFT + at * scale + 6,
                "late": record.outcome not in (Outcome.ON_TIME, Outcome.PARTIAL),
            }
        )
    return {
        "rows": lines,
        "height": max(len(rows), 1) * WATERFALL_ROW,
        "ticks": [Tick(LEFT + s * scale, _seconds(s)) for s in _linear_ticks(span)],
        "budget_x": LEFT + budget_s * scale if budget_s <= span else None,
        "left_out": len(run.records) - len(rows),
        "used": [
            phase
            for phase in (*PHASES, UNATTRIBUTED)
            if any(phase in record.phases_ns for record in rows)
        ],
    }


def _tail(record: LoopRecord) -> str:
    """What became of a question without an answer."""
    if record.answered:
        return ""
    if record.answer:
        return f"{record.outcome.value}, {count(len(record.answer), 'character')} came"
    return shown(f"{record.outcome.value}: {record.reason.replace('_', ' ')}", 34)


def _chosen(records: Sequence[LoopRecord]) -> list[LoopRecord]:
    if len(records) <= WATERFALL_ROWS:
        return list(records)
    slowest = sorted(records, key=lambda r: -(_end_ns(r) - r.planned.intended_ns))
    return sorted(slowest[:WATERFALL_ROWS], key=lambda record: record.planned.index)


def _end_ns(record: LoopRecord) -> int:
    return record.stamps.get(Stage.ANSWERED, max(record.stamps.values()))


def _linear_ticks(span: float) -> list[float]:
    if span <= 0:
        return [0.0]
    rough = span / 8
    power = 10 ** math.floor(math.log10(rough))
    step = next(d * power for d in (1, 2, 5, 10) if d * power >= rough)
    return [index * step for index in range(int(span / step + 1e-9) + 1)]


# -- timeline --------------------------------------------------------------------------------------


def _charge(run: Run) -> dict[str, Any] | None:
    """The battery over time; None where there is none."""
    if len(run.charge) < 2:
        return None
    height, end_ns = 120, max(run.charge[-1][0], 1)
    scale = (WIDTH - LEFT - RIGHT) / end_ns

    def y(permille: float) -> float:
        return height * (1 - permille / 1000)

    energy = run.scenario.node.energy
    points = (f"{LEFT + at * scale:.1f},{y(permille):.1f}" for at, permille in run.charge)
    return {
        "points": " ".join(points),
        "floor_y": y(energy.floor * 1000) if energy is not None else None,
        "marks": [(y(share * 10), f"{share}%") for share in (0, 50, 100)],
        "ticks": [
            Tick(LEFT + s * NS_PER_S * scale, _seconds(s)) for s in _linear_ticks(end_ns / NS_PER_S)
        ],
        "height": height,
    }


def _timeline(run: Run) -> dict[str, Any]:
    """Contacts and outages per direction, and every question from intended to its end."""
    scenario = run.scenario
    end_ns = max([_end_ns(record) for record in run.records] + [s_to_ns(1)])
    last = FOREVER_NS if run.mode == SCORED else scenario.plan().last_end_ns
    if last < FOREVER_NS:
        end_ns = max(end_ns, min(last, 2 * end_ns))
    first_ns = min((record.planned.intended_ns for record in run.records), default=0)
    begin_ns = first_ns if first_ns > end_ns - first_ns else 0  # a day of a station that stands
    scale = (WIDTH - LEFT - RIGHT) / max(end_ns - begin_ns, 1)
    bars: list[Bar] = []

    def add(y: float, spans: Sequence[tuple[int, int]], kind: str, height: float) -> None:
        for start, end in spans:
            start, end = max(start, begin_ns), min(end, end_ns)
            if start < end:
                title = f"{kind}: {start / NS_PER_S:.1f} to {end / NS_PER_S:.1f} s"
                x = LEFT + (start - begin_ns) * scale
                bars.append(Bar(x, y, max((end - start) * scale, 0.5), height, kind, title))

    for row, name in enumerate(() if run.mode == SCORED else ("uplink", "downlink")):
        y = row * 26
        add(y, scenario.contact_windows(name).spans, "contact", 20)
        for kind in OUTAGES:
            add(y, scenario.outages(name, kind).spans, kind, 20)
    lanes = _lanes(run.records)
    for record, lane in lanes:
        start = record.planned.intended_ns
        good = record.outcome in (Outcome.ON_TIME, Outcome.PARTIAL)
        kind = "good" if good else "bad" if record.answered else "none"
        x = LEFT + (start - begin_ns) * scale
        wide = max((_end_ns(record) - start) * scale, 1.5)
        title = f"#{record.planned.index} {record.outcome.value}"
        bars.append(Bar(x, 62 + lane * 5, wide, 4, kind, title))
    deepest = max((lane for _, lane in lanes), default=0)
    return {
        "bars": bars,
        "ticks": [
            Tick(LEFT + s * NS_PER_S * scale, _seconds(s + begin_ns // NS_PER_S))
            for s in _linear_ticks((end_ns - begin_ns) / NS_PER_S)
        ],
        "height": 62 + (deepest + 1) * 5 + 4,
        "kinds": [kind for kind in ("contact", *OUTAGES) if any(bar.kind == kind for bar in bars)],
    }


def _lanes(records: Sequence[LoopRecord]) -> list[tuple[LoopRecord, int]]:
    """Each question with a lane in which it overlaps none before it; 40 lanes at the most."""
    ends: list[int] = []
    placed: list[tuple[LoopRecord, int]] = []
    for record in sorted(records, key=lambda record: record.planned.intended_ns):
        start = record.planned.intended_ns
        lane = next((i for i, end in enumerate(ends) if end <= start), len(ends))
        if lane == len(ends) and lane < 40:
            ends.append(0)
        lane = min(lane, 39)
        ends[lane] = max(ends[lane], _end_ns(record))
        placed.append((record, lane))
    return placed
