"""Links that were measured: rate, delay and loss over time, from a file.

Two formats, in both of which lines that begin with # are left out. CSV: a line with the columns'
names, `t_s` and any of `rate_bps`, `one_way_delay_ms` or `rtt_ms` (of which half is one way), and
`loss`; each row holds until the next one, the last as long as the one before it. And
packet-delivery traces: each line is a time in ms at which a packet of 1,500 bytes can have left
(Netravali et al., "Mahimahi", USENIX ATC 2015; mm-link(1)).

What both ends know of such a link is what the scenario says; the trace itself is the link's alone.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path

from roundtrip.contacts import FOREVER_NS
from roundtrip.errors import BadConfig
from roundtrip.files import read_text
from roundtrip.units import NS_PER_MS, NS_PER_S, ms_to_ns, s_to_ns

MAX_BYTES = 64 << 20
MAX_ROWS = 1_000_000
PACKET_BYTES = 1_500
"""Of a delivery opportunity."""
MAX_RATE_BPS = 10**12
MAX_DELAY_MS = 3_600_000.0
TOLD_NS = NS_PER_S
"""A modem says what its rate was in the time before, as it does not know what it will be."""
LEAST_TOLD = 0.01
"""Of the mean rate: what it says at least."""
LEAST_STEP_S = 1e-6
"""From row to row."""
FINE = 10
"""Steps in which a rate goes from one row to the next, where it goes in a straight line."""
COLUMNS = ("rate_bps", "one_way_delay_ms", "rtt_ms", "loss")
_MOST = {"rate_bps": MAX_RATE_BPS, "one_way_delay_ms": MAX_DELAY_MS, "rtt_ms": MAX_DELAY_MS}


@dataclass(frozen=True, slots=True)
class Trace:
    """What a file says; a list is empty where it says nothing."""

    starts_ns: tuple[int, ...]
    """Of the rows; the first is 0."""
    length_ns: int
    rates_bps: tuple[float, ...] = ()
    delays_ns: tuple[int, ...] = ()
    """One way."""
    losses: tuple[float, ...] = ()


@lru_cache(maxsize=16)
def read_trace(path: str) -> Trace:
    """A file's.

    Raises:
        BadConfig: it is neither format, or its numbers are no link's.
    """
    text = read_text(Path(path), "a trace", limit_bytes=MAX_BYTES)
    lines = [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.startswith("#")
    ]
    if not lines or len(lines) > MAX_ROWS:
        raise BadConfig(path, "", f"1 to {MAX_ROWS:,} lines", f"{len(lines)}")
    return _opportunities(lines, path) if lines[0][1].isdecimal() else _table(lines, path)


def _opportunities(lines: Sequence[tuple[int, str]], path: str) -> Trace:
    """The bytes of each lie in the millisecond before it."""
    counts: dict[int, int] = {}
    last = 0
    for number, word in lines:
        if not word.isdecimal() or len(word) > 9 or int(word) < last:
            expected = "a time in ms, not before the one above"
            raise BadConfig(path, f"line {number}", expected, repr(word[:40]))
        last = int(word)
        counts[max(1, last)] = counts.get(max(1, last), 0) + 1
    starts, rates = [0], [0.0]
    for at_ms, count in counts.items():
        start_ns = (at_ms - 1) * NS_PER_MS
        rate = count * PACKET_BYTES * 8 * 1000.0
        if starts[-1] == start_ns:
            rates[-1] = rate
        else:
            starts.append(start_ns)
            rates.append(rate)
        starts.append(start_ns + NS_PER_MS)
        rates.append(0.0)
    return Trace(tuple(starts[:-1]), max(1, last) * NS_PER_MS, tuple(rates[:-1]))


def _table(lines: Sequence[tuple[int, str]], path: str) -> Trace:
    rows = ((number, line.split(",")) for number, line in lines)
    head, words = next(rows)
    names = [name.strip() for name in words]
    known = [name for name in names if name in COLUMNS]
    if (
        "t_s" not in names
        or not known
        or len(known) + 1 != len(names)
        or len(set(names)) < len(names)
    ):
        expected = f"`t_s` and any of {', '.join(COLUMNS)}, or times in ms, one a line"
        raise BadConfig(path, f"line {head}", expected, repr(",".join(names))[:80])
    if {"one_way_delay_ms", "rtt_ms"} <= set(names):
        raise BadConfig(path, f"line {head}", "one_way_delay_ms or rtt_ms", "both")
    found: dict[str, list[float]] = {name: [] for name in names}
    for number, row in rows:
        if len(row) != len(names):
            raise BadConfig(path, f"line {number}", f"{len(names)} values", f"{len(row)}")
        for name, word in zip(names, row, strict=True):
            found[name].append(_value(name, word, found[name], f"line {number}", path))
    times = found["t_s"]
    if len(times) < 2:
        raise BadConfig(path, "", "two rows at least", str(len(times)))
    length_s = times[-1] - times[0] + times[-1] - times[-2]
    rates, one_way = found.get("rate_bps", []), found.get("one_way_delay_ms", [])
    if rates and not any(rates):
        raise BadConfig(path, "rate_bps", "one that is more than 0", "none")
    delays = one_way or [rtt / 2 for rtt in found.get("rtt_ms", [])]
    return Trace(
        tuple(s_to_ns(at - times[0]) for at in times),
        s_to_ns(length_s),
        tuple(rates),
        tuple(map(ms_to_ns, delays)),
        tuple(found.get("loss", ())),
    )


def _value(name: str, word: str, before: Sequence[float], where: str, path: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if name == "t_s":
        early = before and value < before[-1] + LEAST_STEP_S
        if not math.isfinite(value) or early or abs(value) > 1e9:
            expected = f"seconds, {LEAST_STEP_S:g} or more after those above"
            raise BadConfig(path, f"{where}: t_s", expected, repr(word[:40]))
        return value
    most = _MOST.get(name, 1.0)
    if name == "rate_bps" and 0 < value < 1:
        raise BadConfig(path, f"{where}: {name}", "0, or 1 and more", repr(word[:40]))
    if not 0 <= value <= most:
        raise BadConfig(path, f"{where}: {name}", f"0 to {most:g}", repr(word[:40]))
    return value


class TraceRate:
    """The rate of a trace, as `contacts.Rate` for the link and its modem.

    Args:
        trace: has rates.
        repeat: it begins anew at its end; else nothing leaves after it.
        linear: between rows it goes in a straight line; else in steps.
    """

    def __init__(self, trace: Trace, *, repeat: bool, linear: bool) -> None:
        starts, rates = list(trace.starts_ns), list(trace.rates_bps)
        if linear:
            starts, rates = _straight(starts, rates, trace.length_ns, repeat=repeat)
        self._starts, self._rates = starts, rates
        self._length_ns, self._repeat = trace.length_ns, repeat
        ends = [*starts[1:], trace.length_ns]
        bits = (
            rate * (end - start) / NS_PER_S
            for start, end, rate in zip(starts, ends, rates, strict=True)
        )
        self._bits = [0.0, *accumulate(bits)]
        """That can have left before each start, and before the end."""
        self.mean_bps = self._bits[-1] / (trace.length_ns / NS_PER_S)
        self.most_bps = max(1, math.ceil(max(rates)))

    def at(self, at_ns: int) -> int:
        """What a modem says: the mean of the time before, bits per second."""
        end_ns = max(NS_PER_S // 10, at_ns // TOLD_NS * TOLD_NS)
        start_ns = max(0, end_ns - TOLD_NS)
        told = (self._before(end_ns) - self._before(start_ns)) / ((end_ns - start_ns) / NS_PER_S)
        return max(1, round(max(told, LEAST_TOLD * self.mean_bps)))

    def next_change(self, at_ns: int) -> int | None:
        """When it may say something else."""
        if not self._repeat and at_ns >= self._length_ns:
            return None
        return (at_ns // TOLD_NS + 1) * TOLD_NS

    def end_ns(self, start_ns: int, size_bytes: int) -> int:
        """When the last bit of a frame is out, whose first is at a time."""
        return max(start_ns, math.ceil(self._when(self._before(start_ns) + 8 * size_bytes)))

    def _before(self, at_ns: int) -> float:
        """Bits that can have left by a time."""
        rounds, into = divmod(at_ns, self._length_ns)
        if not self._repeat and rounds:
            return self._bits[-1]
        index = bisect_right(self._starts, into) - 1
        part = self._rates[index] * (into - self._starts[index]) / NS_PER_S
        return rounds * self._bits[-1] + self._bits[index] + part

    def _when(self, bits: float) -> float:
        """When so many bits can have left."""
        rounds, left = divmod(bits, self._bits[-1])
        if not self._repeat and bits > self._bits[-1] * (1 + 1e-12):
            return FOREVER_NS
        if rounds and left <= 1e-6:  # with the end of the round before, not with some bits of this
            rounds, left = rounds - 1, self._bits[-1]
        index = max(0, _first_with(self._bits, left) - 1)
        into = float(self._starts[index])
        if self._rates[index]:
            into += (left - self._bits[index]) / self._rates[index] * NS_PER_S
        return rounds * self._length_ns + into


def _first_with(bits: Sequence[float], left: float) -> int:
    """The first place before which so many bits can have left."""
    low, high = 0, len(bits) - 1
    while low < high:
        middle = (low + high) // 2
        if bits[middle] >= left - 1e-6:
            high = middle
        else:
            low = middle + 1
    return low


def _straight(
    starts: Sequence[int], values: Sequence[float], length_ns: int, *, repeat: bool
) -> tuple[list[int], list[float]]:
    """Rows with FINE between each two, on the line between them."""
    after = values[0] if repeat else values[-1]
    fine_starts, fine = list[int](), list[float]()
    for (start, end), (value, following) in zip(
        pairwise([*starts, length_ns]), pairwise([*values, after]), strict=True
    ):
        for step in range(FINE):
            fine_starts.append(start + (end - start) * step // FINE)
            fine.append(value + (following - value) * (step + 0.5) / FINE)
    return fine_starts, fine


class TraceDelay:
    """The delay of a trace, as `contacts.LightTime`. Frames keep their order on such a link."""

    in_order = True

    def __init__(self, trace: Trace, *, repeat: bool, linear: bool) -> None:
        self._of = of_time(trace, trace.delays_ns, repeat=repeat, linear=linear)
        self.least_ns = min(trace.delays_ns)
        """The shortest that it ever is."""

    def at(self, at_ns: int) -> int:
        """ns."""
        return round(self._of(at_ns))

    def sent_ns(self, heard_ns: int) -> int:
        """When what is heard at a time was sent, about."""
        sent_ns = heard_ns - self.at(heard_ns)
        return heard_ns - self.at(sent_ns)


def of_time(
    trace: Trace, values: Sequence[float], *, repeat: bool, linear: bool
) -> Callable[[int], float]:
    """A column by time; after the end of one that does not repeat, its last value."""
    starts, length_ns = trace.starts_ns, trace.length_ns
    following = [*values[1:], values[0] if repeat else values[-1]]

    def of(at_ns: int) -> float:
        into = at_ns % length_ns if repeat else min(max(0, at_ns), length_ns - 1)
        index = bisect_right(starts, into) - 1
        if not linear:
            return values[index]
        end = starts[index + 1] if index + 1 < len(starts) else length_ns
        share = (into - starts[index]) / (end - starts[index])
        return values[index] + (following[index] - values[index]) * share

    return of
