"""Which bytes of a block are there: sorted, disjoint, never touching intervals.

Costs by the number of gaps, never by the offsets: a claim at 2**60 is one more interval.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Ranges:
    """A set of byte positions as half-open intervals."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __len__(self) -> int:
        """The number of intervals."""
        return len(self._starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._ends, strict=True))

    @property
    def top(self) -> int:
        """The end of the last interval; 0 when there is none."""
        return self._ends[-1] if self._ends else 0

    @property
    def total(self) -> int:
        """How many bytes are in."""
        return sum(self._ends) - sum(self._starts)

    def add(self, start: int, end: int) -> list[tuple[int, int]]:
        """Put an interval in; return the parts of it that were not in before, ascending."""
        if start >= end:
            return []
        starts, ends = self._starts, self._ends
        if not ends or start > ends[-1]:
            starts.append(start)
            ends.append(end)
            return [(start, end)]
        if start == ends[-1]:  # the next segment in order: by far the most frequent case
            ends[-1] = end
            return [(start, end)]
        fresh = self.missing(start, end)
        if fresh:
            first = bisect_left(ends, start)
            last = bisect_right(starts, end)
            if first < last:
                start = min(start, starts[first])
                end = max(end, ends[last - 1])
            starts[first:last] = [start]
            ends[first:last] = [end]
        return fresh

    def missing(self, lower: int, upper: int) -> list[tuple[int, int]]:
        """The gaps within [lower, upper), ascending."""
        gaps: list[tuple[int, int]] = []
        starts, ends = self._starts, self._ends
        at = bisect_right(ends, lower)
        while lower < upper:
            if at == len(starts) or starts[at] >= upper:
                gaps.append((lower, upper))
                break
            if starts[at] > lower:
                gaps.append((lower, starts[at]))
            lower = ends[at]
            at += 1
        return gaps

    def within(self, lower: int, upper: int) -> list[tuple[int, int]]:
        """The intervals cut to [lower, upper), ascending."""
        starts, ends = self._starts, self._ends
        found: list[tuple[int, int]] = []
        for at in range(bisect_right(ends, lower), len(starts)):
            if starts[at] >= upper:
                break
            found.append((max(lower, starts[at]), min(upper, ends[at])))
        return found

    def covers(self, lower: int, upper: int) -> bool:
        """Whether every byte of [lower, upper) is in."""
        if lower >= upper:
            return True
        at = bisect_right(self._starts, lower) - 1
        return at >= 0 and self._ends[at] >= upper
