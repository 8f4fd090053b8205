"""The parametric link that is nearest to a measured one, and how far off it is. Pure.

Rates become means over steps; delays a shortest one and a spread above it, equally likely, by which
a link's `jitter_ms` is drawn; losses a Gilbert-Elliott model whose bad spells are as long and as
many as the rows above some loss.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from roundtrip.link_trace import Trace, TraceRate
from roundtrip.units import NS_PER_MS, NS_PER_S

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.9, 0.99)
DRAWS = 20_000
"""Of a model, to compare."""
FRAME_BYTES = 1_400
"""That losses are counted by."""
GRID = 20
"""Shortest delays, and spreads, that are tried."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A column of a trace beside what the model gives."""

    column: str
    unit: str
    measured: tuple[float, ...]
    """At QUANTILES."""
    modelled: tuple[float, ...]
    ks: float
    """Kolmogorov-Smirnov distance of both samples: the largest difference of their distribution
    functions, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A link, as lines of `[link.uplink]` and steps of its rate."""

    settings: dict[str, float | dict[str, float]]
    steps: tuple[tuple[float, float], ...]
    """From when, s, and the rate, bit/s; empty where the trace has none."""
    compared: tuple[Compared, ...]


def fitted(trace: Trace, every_s: float) -> Fitted:
    """The nearest link.

    Args:
        trace: measured.
        every_s: length of a step of the rate.
    """
    settings: dict[str, float | dict[str, float]] = {}
    steps: tuple[tuple[float, float], ...] = ()
    compared: list[Compared] = []
    if trace.rates_bps:
        steps = _steps(trace, every_s)
        settings["rate_bps"] = max(1, round(TraceRate(trace, repeat=True, linear=False).mean_bps))
        modelled = [_at(steps, start / NS_PER_S) / 1e6 for start in trace.starts_ns]
        measured = [rate / 1e6 for rate in trace.rates_bps]
        compared.append(_compared("rate", "Mbit/s", measured, modelled))
    if trace.delays_ns:
        delays = [delay / NS_PER_MS for delay in trace.delays_ns]
        base, spread = _delay(delays)
        settings |= {"one_way_delay_ms": round(base, 3), "jitter_ms": round(spread, 3)}
        modelled = [base + spread * (draw + 0.5) / DRAWS for draw in range(DRAWS)]
        compared.append(_compared("one way", "ms", delays, modelled))
    if trace.losses:
        model, modelled = _bursts(trace)
        settings["burst"] = model
        compared.append(_compared("loss", "%", [100 * x for x in trace.losses], modelled))
    return Fitted(settings, steps, tuple(compared))


def _steps(trace: Trace, every_s: float) -> tuple[tuple[float, float], ...]:
    """Means of the rate."""
    length_s = trace.length_ns / NS_PER_S
    ends = [*(start / NS_PER_S for start in trace.starts_ns[1:]), length_s]
    bits: dict[int, float] = {}
    for start_ns, end, rate in zip(trace.starts_ns, ends, trace.rates_bps, strict=True):
        start = start_ns / NS_PER_S
        while start < end:
            step = int(start / every_s + 1e-9)
            until = min(end, (step + 1) * every_s)
            bits[step] = bits.get(step, 0.0) + rate * (until - start)
            start = until
    return tuple(
        (step * every_s, sum_bits / (min(length_s, (step + 1) * every_s) - step * every_s))
        for step, sum_bits in sorted(bits.items())
    )


def _at(steps: Sequence[tuple[float, float]], at_s: float) -> float:
    return next(rate for start_s, rate in reversed(steps) if start_s <= at_s + 1e-9)


def _delay(delays: Sequence[float]) -> tuple[float, float]:
    """Shortest delay and spread of the uniform distribution with the least KS distance."""
    ordered = sorted(delays)
    low, high = ordered[0], ordered[-1]
    if high == low:
        return low, 0.0
    places = [low + (high - low) * step / GRID for step in range(GRID + 1)]
    places += [_quantile(ordered, share / GRID) for share in range(1, GRID)]
    pairs = ((a, b) for a in places for b in places if a < b)
    base, top = min(pairs, key=lambda pair: _ks_to_uniform(ordered, *pair))
    return base, top - base


def _ks_to_uniform(ordered: Sequence[float], low: float, high: float) -> float:
    count, worst = len(ordered), 0.0
    for place, value in enumerate(ordered):
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        worst = max(worst, share - place / count, (place + 1) / count - share)
    return worst


def _bursts(trace: Trace) -> tuple[dict[str, float], list[float]]:
    """A Gilbert-Elliott model, and percent lost by it in as many spans as the trace has rows: of
    those in which a row above some loss is a bad one, the one with the least KS distance."""
    ordered = sorted(trace.losses)
    bounds = sorted({_quantile(ordered, share / GRID) for share in range(GRID)} - {ordered[-1]})
    measured = [100 * loss for loss in ordered]
    found = []
    for bound in bounds or [ordered[-1]]:
        model = _model(trace, bound)
        drawn = _drawn(model, trace)
        found.append((ks_distance(measured, sorted(drawn)), model, drawn))
    _, model, drawn = min(found, key=lambda one: one[0])
    return model, drawn


def _frames_a_row(trace: Trace) -> float:
    row_s = trace.length_ns / NS_PER_S / len(trace.losses)
    rate = TraceRate(trace, repeat=True, linear=False).mean_bps if trace.rates_bps else 1e6
    return max(1.0, row_s * rate / (8 * FRAME_BYTES))


def _model(trace: Trace, bound: float) -> dict[str, float]:
    """p, r and the losses of both states, counted in frames at the mean rate."""
    frames = _frames_a_row(trace)
    spells: dict[bool, list[int]] = {False: [], True: []}
    lost: dict[bool, list[float]] = {False: [], True: []}
    for bad, run in groupby(trace.losses, key=lambda loss: loss > bound):
        rows = list(run)
        spells[bad].append(len(rows))
        lost[bad] += rows
    if not spells[True]:
        return {"p": 0.0, "r": 1.0, "loss_good": bound, "loss_bad": bound}
    means = {bad: sum(rows) / len(rows) if rows else 0.0 for bad, rows in lost.items()}
    good_rows = sum(spells[False]) / len(spells[False]) if spells[False] else 0.0
    return {
        "p": 1 / max(1.0, good_rows * frames),
        "r": 1 / (sum(spells[True]) / len(spells[True]) * frames),
        "loss_good": round(means[False], 6),
        "loss_bad": round(means[True], 6),
    }


def _drawn(model: dict[str, float], trace: Trace) -> list[float]:
    """Percent lost in as many spans of time as the trace has rows."""
    rng, bad = random.Random(1), False
    found = []
    frames = _frames_a_row(trace)
    for _ in trace.losses:
        left, lost = frames, 0.0
        while left > 0:
            chance = model["r"] if bad else model["p"]
            spell = min(left, 1 + rng.expovariate(chance) if chance else left)
            lost += spell * (model["loss_bad"] if bad else model["loss_good"])
            bad = not bad if spell < left else bad
            left -= spell
        found.append(100 * lost / frames)
    return found


def _compared(
    column: str, unit: str, measured: Sequence[float], modelled: Sequence[float]
) -> Compared:
    one, other = sorted(measured), sorted(modelled)
    return Compared(
        column,
        unit,
        tuple(_quantile(one, share) for share in QUANTILES),
        tuple(_quantile(other, share) for share in QUANTILES),
        ks_distance(one, other),
    )


def ks_distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Of two samples, sorted: the largest difference of their distribution functions."""
    at, there, worst = 0, 0, 0.0
    while at < len(one) and there < len(other):
        value = min(one[at], other[there])
        while at < len(one) and one[at] == value:
            at += 1
        while there < len(other) and other[there] == value:
            there += 1
        worst = max(worst, abs(at / len(one) - there / len(other)))
    return worst


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
