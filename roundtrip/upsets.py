"""Which bits of a memory flip, and when: single-event upsets. Pure."""

from __future__ import annotations

import random

from roundtrip.units import NS_PER_S

DAY_NS = 86_400 * NS_PER_S
SELDOM = 1e-12
"""Upsets a day: fewer are as good as none."""


class Upsets:
    """A Poisson process over the bits of a memory.

    Args:
        rate: upsets per bit and day.
        bits: that there are.
        rng: a stream of its own.
        now_ns: where it begins.
    """

    def __init__(self, rate: float, bits: int, rng: random.Random, now_ns: int) -> None:
        self._bits = bits
        self._rng = rng
        self._mean_ns = DAY_NS / max(rate * bits, SELDOM) if rate * bits else None
        self.next_ns: int | None = None
        """When the next bit flips; None: never."""
        self._plan(now_ns)

    def _plan(self, now_ns: int) -> None:
        if self._mean_ns is not None:
            self.next_ns = now_ns + max(1, round(self._rng.expovariate(1.0) * self._mean_ns))

    def due(self, now_ns: int) -> list[int]:
        """The bits that have flipped until now, since this was last asked."""
        flipped: list[int] = []
        while self.next_ns is not None and self.next_ns <= now_ns:
            flipped.append(self._rng.randrange(self._bits))
            self._plan(self.next_ns)
        return flipped
