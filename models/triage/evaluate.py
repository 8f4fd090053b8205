"""Grades answers on the held-out triage questions: exact accuracy by type, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from models.triage.questions import Question, grade
from roundtrip.intervals import share_interval


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
        """Of the share, 95 %."""
        return share_interval([1] * self.right + [0] * (self.asked - self.right), each=1)


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
