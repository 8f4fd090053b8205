"""Single-event upsets in the engine's memory: its weights, and its cache."""

from __future__ import annotations

import random
from typing import Protocol

from roundtrip.upsets import Upsets


class Flippable(Protocol):
    """Weights."""

    @property
    def bits(self) -> int:
        """That there are."""

    def flip(self, bit: int) -> str:
        """Invert one of them."""


class Caching(Protocol):
    """What has a cache."""

    def flip_cache(self, at: float) -> None:
        """Invert a bit of the cache: 0 is its beginning, 1 its end."""


class MemoryUpsets:
    """Makes upsets as often as is told.

    Args:
        rate: upsets per bit and day.
        rng: of when and where.
        weights: of the model.
        cache: of its sequences.
        cache_bits: how large it is.
        now_ns: where it begins.
    """

    def __init__(
        self,
        rate: float,
        rng: random.Random,
        weights: Flippable,
        cache: Caching,
        *,
        cache_bits: int,
        now_ns: int,
    ) -> None:
        self._weights = weights
        self._cache = cache
        self._cache_bits = cache_bits
        self._upsets = Upsets(rate, weights.bits + cache_bits, rng, now_ns)

    def happen(self, now_ns: int) -> None:
        """Let all happen that are due."""
        for bit in self._upsets.due(now_ns):
            if bit < self._weights.bits:
                self._weights.flip(bit)
            else:
                self._cache.flip_cache((bit - self._weights.bits) / self._cache_bits)
