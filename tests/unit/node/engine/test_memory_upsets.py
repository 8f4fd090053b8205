"""Upsets hit weights and cache as each has bits."""

from __future__ import annotations

import random

import pytest

from node.engine.llama import Engine
from node.engine.memory_upsets import MemoryUpsets
from roundtrip.upsets import DAY_NS
from tests.unit.node.engine.tiny import asked, batcher, step


class Hit:
    bits = 3000

    def __init__(self) -> None:
        self.flipped: list[int] = []
        self.cache: list[float] = []

    def flip(self, bit: int) -> str:
        self.flipped.append(bit)
        return "a tensor"

    def flip_cache(self, at: float) -> None:
        self.cache.append(at)


def upsets(hit: Hit, seed: int = 1) -> MemoryUpsets:
    return MemoryUpsets(1.0, random.Random(seed), hit, hit, cache_bits=1000, now_ns=0)


def test_both_are_hit_by_their_size() -> None:
    hit = Hit()
    upsets(hit).happen(DAY_NS)
    assert len(hit.flipped) == pytest.approx(3000, rel=0.1)
    assert len(hit.cache) == pytest.approx(1000, rel=0.2)
    assert 0 <= min(hit.flipped) < 10 < 2990 < max(hit.flipped) < 3000
    assert 0 <= min(hit.cache) < 0.01 < 0.99 < max(hit.cache) < 1


def test_the_same_happens_however_often_it_is_asked() -> None:
    first, second = Hit(), Hit()
    upsets(first).happen(DAY_NS)
    often = upsets(second)
    for at_ns in range(0, DAY_NS + 1, DAY_NS // 100):
        often.happen(at_ns)
    assert first.flipped == second.flipped


def test_a_bit_of_the_cache_is_one_of_what_a_sequence_holds(engine: Engine) -> None:
    busy = batcher(engine)
    busy.add(asked())
    step(busy)
    step(busy)
    (slot,) = busy._slots
    length = slot.position
    before = engine.state(slot.sequence)

    def flip(sequence: int, token: float) -> None:
        busy.flip_cache((sequence + token / engine.context) / engine.settings.sequences)

    flip(slot.sequence, length - 0.9)
    after = engine.state(slot.sequence)
    assert sum((a ^ b).bit_count() for a, b in zip(before, after, strict=True)) == 1
    flip(slot.sequence, length + 0.1)
    flip((slot.sequence + 1) % engine.settings.sequences, 0.5)
    assert engine.state(slot.sequence) == after, "memory that is not in use"
