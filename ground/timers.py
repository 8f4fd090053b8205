"""When something is to be done with a question that is open. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

MOST_OVERDUE = 2
"""Budgets, from one time that a question is asked again to the next."""


class Due(IntEnum):
    """What is to be done."""

    LATE = 0
    AGAIN = 1
    EXPIRED = 2


class Timers:
    """By time."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Due]] = []

    def put(self, at_ns: int, question_id: int, due: Due) -> None:
        """Note one."""
        heapq.heappush(self._heap, (at_ns, question_id, due))

    def due(self, now_ns: int) -> Iterator[tuple[int, Due]]:
        """Take out those whose time has come, the first first."""
        while self._heap and self._heap[0][0] <= now_ns:
            _, question_id, due = heapq.heappop(self._heap)
            yield question_id, due

    @property
    def next_ns(self) -> int | None:
        """When the next is due."""
        return self._heap[0][0] if self._heap else None


@dataclass(slots=True)
class Overdue:
    """Of a question that has arrived, as the link says, and has no answer.

    An LTP report can be forged, and a disk can lose what it had called safe: so it is asked again
    after half its budget, and again after twice that, as long as nothing of its answer comes.
    """

    after_ns: int = 0
    heard: str = ""

    def arrived(self, at_ns: int, budget_ns: int) -> int:
        """When to ask again."""
        self.after_ns = min(2 * self.after_ns or budget_ns // 2, MOST_OVERDUE * budget_ns)
        return at_ns + self.after_ns

    def quiet(self, text: str) -> bool:
        """Whether nothing of the answer has come since the last time, where so much is there."""
        before, self.heard = self.heard, text
        return before == text
