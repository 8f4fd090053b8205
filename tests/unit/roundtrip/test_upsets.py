"""Bits flip as often as is told, each when it is due."""

from __future__ import annotations

import random

import pytest

from roundtrip.upsets import DAY_NS, Upsets


def test_upsets_come_as_often_as_is_told_and_anywhere() -> None:
    upsets = Upsets(0.01, 100_000, random.Random(1), 0)
    flipped = upsets.due(10 * DAY_NS)
    assert len(flipped) == pytest.approx(10_000, rel=0.05)
    assert sum(flipped) / len(flipped) == pytest.approx(50_000, rel=0.05)
    assert min(flipped) >= 0
    assert max(flipped) < 100_000


def test_each_comes_once_and_when_it_is_due() -> None:
    upsets = Upsets(1.0, 10, random.Random(1), 5)
    assert upsets.next_ns is not None
    assert upsets.next_ns > 5
    assert upsets.due(upsets.next_ns - 1) == []
    at_ns = upsets.next_ns
    assert len(upsets.due(at_ns)) == 1
    assert upsets.due(at_ns) == []
    assert upsets.next_ns > at_ns


@pytest.mark.parametrize("rate", [5e-324, 1e-300, 1e-30])
def test_however_seldom_they_are_planned(rate: float) -> None:
    upsets = Upsets(rate, 100, random.Random(1), 0)
    assert upsets.next_ns is not None
    assert upsets.next_ns > 10**9 * DAY_NS


@pytest.mark.parametrize(("rate", "bits"), [(0.0, 10), (1.0, 0)])
def test_without_a_rate_or_a_memory_there_are_none(rate: float, bits: int) -> None:
    upsets = Upsets(rate, bits, random.Random(1), 0)
    assert upsets.next_ns is None
    assert upsets.due(10**30) == []
