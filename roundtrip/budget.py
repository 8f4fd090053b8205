"""The budget of a loop, and the outcome each question ends with."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Outcome(enum.Enum):
    """How a question ended. Each question ends exactly once."""

    ON_TIME = "on_time"
    LATE = "late"
    PARTIAL = "partial"
    """On time, cut short by the deadline and marked so."""
    REFUSED = "refused"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Budget:
    """What a loop may take."""

    loop_ns: int
    """From intended to answered; beyond it an answer is late."""
    expire_ns: int
    """From intended on: when the ground stops waiting. Never less than `loop_ns`."""
    objective: float
    """Share of the questions asked that must end on time, 0 to 1."""

    def judge(self, loop_ns: int, *, partial: bool) -> Outcome:
        """The outcome of an answer that took `loop_ns`."""
        if loop_ns > self.loop_ns:
            return Outcome.LATE
        return Outcome.PARTIAL if partial else Outcome.ON_TIME
