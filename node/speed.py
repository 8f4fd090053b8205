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
        """Duration of a decode of one token for each of `sequences`, ns: linear between what is
        known, and beyond it as many times as long as there are more sequences."""
        known = sorted(self.step_ns)
        at = bisect_left(known, sequences)
        if at < len(known) and known[at] == sequences:
            return self.step_ns[sequences]
        if at == len(known):
            return self.step_ns[known[-1]] * sequences / known[-1]
        low, high = known[at - 1], known[at]
        share = (sequences - low) / (high - low)
        return self.step_ns[low] + share * (self.step_ns[high] - self.step_ns[low])

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
