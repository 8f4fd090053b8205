"""How long the loops of a station took since it was started: outcomes, percentiles, a histogram."""

from __future__ import annotations

from collections import Counter
from math import floor, log10
from typing import Any

from ground.results.histogram import HIGHEST_NS, LOWEST_NS, new_histogram, rank_of, values_at
from ground.results.record import LoopRecord
from roundtrip.budget import Outcome
from roundtrip.units import ns_to_s

PER_DECADE = 10
"""Bars of the histogram."""


class LoopTimes:
    """Counts loops; what it holds does not grow with them."""

    def __init__(self) -> None:
        self._histogram = new_histogram()
        self._outcomes: Counter[Outcome] = Counter()
        self._shown: dict[str, Any] | None = None

    def settled(self, record: LoopRecord) -> None:
        """A question has its outcome."""
        self._outcomes[record.outcome] += 1
        self._shown = None
        loop_ns = record.loop_ns
        if record.answered and loop_ns is not None:
            self._histogram.record_value(min(max(loop_ns, LOWEST_NS), HIGHEST_NS))

    def shown(self) -> dict[str, Any]:
        """Of answers: percentiles in s, and how many loops were as long as each bar says, by its
        number: bar n is from 10^(n/PER_DECADE) s on."""
        if self._shown is None:
            self._shown = self._summed()
        return self._shown

    def _summed(self) -> dict[str, Any]:
        answered = self._histogram.total_count
        found: dict[str, Any] = {"p50_s": None, "p90_s": None, "p99_s": None, "bars": {}}
        if answered:
            ranks = [rank_of(percent, answered) for percent in (50, 90, 99)]
            values = values_at(self._histogram, ranks)
            names = ("p50_s", "p90_s", "p99_s")
            found |= dict(zip(names, map(ns_to_s, values), strict=True))
            found["bars"] = self._bars()
        return {
            **found,
            "outcomes": {outcome.value: self._outcomes[outcome] for outcome in Outcome},
            "per_decade": PER_DECADE,
        }

    def _bars(self) -> dict[int, int]:

        bars: Counter[int] = Counter()
        for item in self._histogram.get_recorded_iterator():
            number = floor(log10(ns_to_s(item.value_iterated_to)) * PER_DECADE)
            bars[number] += item.count_at_value_iterated_to
        return dict(sorted(bars.items()))
