"""How fast the engine is: measured at its start, followed as it works. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Speed:
    """What prompts and tokens take."""

    prefill_ns: float
    """Per token of a prompt."""
    step_ns: Mapping[int, float]
    """One token for each of so many sequences; 1 is always there."""
    bytes_per_token: float = 4.0
    """Of text."""
    answer_tokens: float | None = None
    """Mean length of an answer; None before the first."""
    _answers: int = field(default=0)

    def step(self, sequences: int) -> float:
        """Duration of a decode of one token for each of `sequences`, ns, as `between`."""
        return between(self.step_ns, sequences)

    def follow(self, prefill_ns: float, step_ns: Mapping[int, float]) -> None:
        """What the engine measured since; 0 and sizes not measured leave what was."""
        self.prefill_ns = prefill_ns or self.prefill_ns
        self.step_ns = {**self.step_ns, **step_ns}

    def answered(self, output_tokens: int, text_bytes: int) -> None:
        """An answer ended by itself."""
        self._answers += 1
        weight = max(1 / self._answers, 0.05)
        if self.answer_tokens is None:
            self.answer_tokens = float(output_tokens)
        self.answer_tokens += weight * (output_tokens - self.answer_tokens)
        if output_tokens and text_bytes:
            ratio = text_bytes / output_tokens
            self.bytes_per_token += weight * (ratio - self.bytes_per_token)

    def expected_tokens(self, max_tokens: int) -> float:
        """How long an answer will be."""
        if self.answer_tokens is None:
            return float(max_tokens)
        return min(float(max_tokens), self.answer_tokens)


def between(figures: Mapping[int, float], at: int) -> float:
    """A figure that grows with a number: linear between those known, and beyond them in proportion
    to the number.

    Args:
        figures: by number; at least one.
        at: the number.
    """
    found = figures.get(at)
    if found is not None:
        return found
    known = sorted(figures)
    place = bisect_left(known, at)
    if place == 0:
        return figures[known[0]]
    low = known[place - 1]
    if place == len(known):
        return figures[low] * at / low
    high = known[place]
    share = (at - low) / (high - low)
    return figures[low] + share * (figures[high] - figures[low])


NEARLY = 0.97
"""Of the best rate: fewer at once, each of them sooner, are worth the rest."""
STEP_OVERHEAD_NS = 50_000
"""What a step takes besides the decode, measured on two processors; it counts for tiny models."""


def best_width(step_ns: Mapping[int, float], most: int) -> int:
    """How many sequences should be decoded together: the fewest that come near the best total rate,
    of the numbers that were measured.

    Args:
        step_ns: duration of a token for each of so many; 1 is always there.
        most: that there may be.
    """
    rates = {
        width: width / (step_ns[width] + STEP_OVERHEAD_NS)
        for width in sorted(step_ns)
        if width <= most
    }
    enough = NEARLY * max(rates.values())
    return next(width for width, rate in rates.items() if rate >= enough)
