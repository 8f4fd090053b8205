"""Latency histograms: HdrHistogram, three significant digits, from 1 us to a day, in ns.

The `.hlog` (V2, with tags) and `.hgrm` text forms are written here: hdrhistogram 0.10's own writer
leaves out tags and gets a footer wrong. Format: HdrHistogram's HistogramLogWriter and
`outputPercentileDistribution`.

One rule for all percentiles, that of HdrHistogram's own readers in Java and JavaScript: the value
at rank max(1, ⌈q·n⌉). The Python and C libraries round the rank instead, so that theirs may be one
value lower: they are not asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

from ground.results.record import LoopRecord
from roundtrip.budget import Budget
from roundtrip.stages import PHASES, UNATTRIBUTED
from roundtrip.units import NS_PER_MS
from roundtrip.words import shown

LOWEST_NS = 1_000
HIGHEST_NS = 86_400 * 1_000_000_000
SIGNIFICANT_DIGITS = 3


def new_histogram() -> Any:
    """An empty histogram of durations in ns."""
    from hdrh.histogram import HdrHistogram  # not before a run's end

    return HdrHistogram(LOWEST_NS, HIGHEST_NS, SIGNIFICANT_DIGITS)


def histograms(records: Iterable[LoopRecord], budget: Budget) -> dict[str, Any]:
    """The histograms of a run, by name.

    `loop` and `uncorrected` hold every question asked: one without an answer (refused or expired)
    counts as the time after which the ground stops waiting, so that it cannot flatter a percentile.
    What is longer than a day counts as a day.
    `in_contact` and the phases hold the questions that were answered.
    """
    names = ["loop", "uncorrected", "in_contact", *PHASES, UNATTRIBUTED]
    table = {name: new_histogram() for name in names}
    for record in records:
        if not record.answered:
            _record(table["loop"], budget.expire_ns)
            _record(table["uncorrected"], budget.expire_ns)
            continue
        loop_ns = record.loop_ns
        assert loop_ns is not None
        _record(table["loop"], loop_ns)
        _record(table["uncorrected"], record.uncorrected_ns)
        if record.in_contact_ns is not None:
            _record(table["in_contact"], record.in_contact_ns)
        for phase, duration_ns in record.phases_ns.items():
            _record(table[phase], duration_ns)
    return {name: histogram for name, histogram in table.items() if histogram.total_count}


def _record(histogram: Any, duration_ns: int) -> None:
    histogram.record_value(min(max(duration_ns, LOWEST_NS), HIGHEST_NS))


def quantiles_ms(durations_ns: Sequence[int]) -> dict[str, float | None]:
    """p50, p90, p99 and max in ms, exact: the values at their ranks; None for no values."""
    ordered = sorted(durations_ns)
    if not ordered:
        return dict.fromkeys(("p50", "p90", "p99", "max"))

    def at(percent: int) -> float:
        return ordered[rank_of(percent, len(ordered)) - 1] / NS_PER_MS

    return {"p50": at(50), "p90": at(90), "p99": at(99), "max": ordered[-1] / NS_PER_MS}


def rank_of(percent: float, count: int) -> int:
    """The rank, from 1, of a percentile among so many values: max(1, ⌈q·n⌉)."""
    return max(1, math.ceil(Fraction(str(percent)) * count / 100))


def values_at(histogram: Any, ranks: Sequence[int]) -> list[int]:
    """The values at some ranks of a histogram, in ns: the highest that it cannot tell from the one
    recorded, as HdrHistogram's readers give it.

    Args:
        histogram: not empty.
        ranks: ascending, from 1 to its count.
    """
    found: list[int] = []
    for item in histogram.get_recorded_iterator():
        while len(found) < len(ranks) and ranks[len(found)] <= item.total_count_to_this_value:
            found.append(item.value_iterated_to)
    return found


def to_hlog(table: dict[str, Any], *, start_s: float, length_s: float, comment: str) -> str:
    """An HdrHistogram log, V2: one line a histogram, tagged with its name; values in ns, shown in
    ms."""
    lines = [
        f"#[{shown(comment)}]",
        "#[Histogram log format version 1.3]",
        f"#[StartTime: {start_s:.3f} (seconds since epoch)]",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    ]
    for name, histogram in table.items():
        encoded = histogram.encode().decode()
        top_ms = histogram.get_max_value() / NS_PER_MS
        tag = shown(name).replace(" ", ";").replace(",", ";")
        lines.append(f"Tag={tag},0.000,{length_s:.3f},{top_ms:.3f},{encoded}")
    return "\n".join(lines) + "\n"


def to_hgrm(histogram: Any, *, ticks_per_half: int = 5) -> str:
    """The percentile distribution of one histogram, in ms, as HdrHistogram's plotters read it.

    Args:
        histogram: not empty.
        ticks_per_half: lines each time the distance to 100 % halves.
    """
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}", ""]
    total = histogram.total_count
    level = 0.0
    for item in histogram.get_recorded_iterator():
        reached, value_ms = item.total_count_to_this_value, item.value_iterated_to / NS_PER_MS
        while level < 1 and reached < total and reached / total >= level:
            lines.append(f"{value_ms:12.3f} {level:2.12f} {reached:10d} {1 / (1 - level):14.2f}")
            halvings = 2 ** (math.floor(math.log2(1 / (1 - level))) + 1)
            level += 1 / (halvings * ticks_per_half)
        if reached == total:
            lines.append(f"{value_ms:12.3f} {1:2.12f} {reached:10d}")
    mean, deviation = histogram.get_mean_value(), histogram.get_stddev()
    lines += [
        f"#[Mean    = {mean / NS_PER_MS:12.3f}, StdDeviation   = {deviation / NS_PER_MS:12.3f}]",
        f"#[Max     = {histogram.get_max_value() / NS_PER_MS:12.3f}, "
        f"Total count    = {histogram.total_count:12d}]",
        f"#[Buckets = {histogram.bucket_count:12d}, "
        f"SubBuckets     = {histogram.sub_bucket_count:12d}]",
    ]
    return "\n".join(lines) + "\n"
