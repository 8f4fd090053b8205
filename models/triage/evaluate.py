"""Grades answers on the held-out triage questions: exact accuracy by type, with Wilson
intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from models.triage.questions import Question, grade

Z_95 = 1.959963984540054
"""Two-sided 95 % of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How many answers of a type were right."""

    type: str
    right: int
    asked: int

    @property
    def share(self) -> float:
        """Right among asked."""
        return self.right / self.asked

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson score interval, 95 %."""
        n, p = self.asked, self.share
        centre = (p + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
        half = Z_95 / (1 + Z_95**2 / n) * math.sqrt(p * (1 - p) / n + Z_95**2 / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)


def evaluate(
    questions: Iterable[Question],
    answer: Callable[[Question], str],
    on_wrong: Callable[[Question, str], None] | None = None,
) -> list[Accuracy]:
    """Ask every question and grade the answers.

    Returns:
        One line a type, in order of appearance, and the whole as type "all" at the end.
    """
    right: dict[str, int] = {}
    asked: dict[str, int] = {}
    for question in questions:
        said = answer(question)
        good = grade(question.expected, said)
        asked[question.type] = asked.get(question.type, 0) + 1
        right[question.type] = right.get(question.type, 0) + good
        if not good and on_wrong is not None:
            on_wrong(question, said)
    lines = [Accuracy(name, right[name], asked[name]) for name in asked]
    return [*lines, Accuracy("all", sum(right.values()), sum(asked.values()))]
