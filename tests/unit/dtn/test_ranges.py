"""Byte ranges against a plain set of positions."""

from __future__ import annotations

import random
from itertools import pairwise

from dtn.ranges import Ranges


def test_against_a_set() -> None:
    rng = random.Random(5)
    for _ in range(200):
        ranges, there = Ranges(), set[int]()
        for _ in range(rng.randrange(1, 12)):
            start = rng.randrange(40)
            end = start + rng.randrange(12)
            fresh = ranges.add(start, end)
            new = set(range(start, end)) - there
            assert {at for low, high in fresh for at in range(low, high)} == new
            there |= new
            pairs = list(ranges)
            assert all(low < high for low, high in pairs)
            assert all(a[1] < b[0] for a, b in pairwise(pairs))
            assert {at for low, high in pairs for at in range(low, high)} == there
            assert (ranges.total, len(ranges)) == (len(there), len(pairs))
        low, high = sorted((rng.randrange(52), rng.randrange(52)))
        scope = set(range(low, high))
        assert {i for a, b in ranges.missing(low, high) for i in range(a, b)} == scope - there
        assert {i for a, b in ranges.within(low, high) for i in range(a, b)} == scope & there
        assert ranges.covers(low, high) == (scope <= there)
        assert ranges.top == max(there, default=-1) + 1


def test_far_away_costs_one_interval() -> None:
    ranges = Ranges()
    ranges.add(2**60, 2**60 + 1)
    ranges.add(0, 1)
    assert list(ranges) == [(0, 1), (2**60, 2**60 + 1)]
    assert ranges.missing(0, 2**60 + 1) == [(1, 2**60)]
