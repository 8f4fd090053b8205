"""Loss processes: pure, one draw per frame whether it matters or not."""

from __future__ import annotations

import random


class Bernoulli:
    """Each frame is lost with the same probability, on its own."""

    def __init__(self, probability: float, rng: random.Random) -> None:
        self._probability = probability
        self._rng = rng

    def lost(self) -> bool:
        """Whether the next frame is lost."""
        return self._rng.random() < self._probability
