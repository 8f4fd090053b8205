"""A question on board, from its arrival until the ground has the reply."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from dtn.bpv7.bundle import BundleId
from roundtrip.message import CLOCK_US, TICK_US, Answer, Question, Refusal
from roundtrip.units import NS_PER_US


class State(enum.Enum):
    """Where it is."""

    STORING = "storing"
    WAITING = "waiting"
    RUNNING = "running"
    REPLYING = "replying"
    """The reply is on its way to the disk or to the ground."""
    SETTLED = "settled"
    """The ground has the reply, or it has expired."""


@dataclass(slots=True)
class Entry:
    """What is known of it. Times are ns on the plan's clock."""

    question: Question
    delivered_ns: int
    deadline_ns: int
    state: State
    bundle_id: BundleId | None = None
    """The bundle that brought it, until it is accepted."""
    started_ns: int = 0
    first_token_ns: int = 0
    called_ns: int | None = None
    """When the last tool answered."""
    reply: Answer | Refusal | None = None

    def began(self, at_ns: int) -> None:
        """The engine has begun on it, for the first time or once more."""
        self.started_ns = self.first_token_ns = at_ns
        self.called_ns = None

    @property
    def reading_ns(self) -> int:
        """Since when the engine has read what it answers from."""
        return self.started_ns if self.called_ns is None else self.called_ns

    def since_us(self, at_ns: int) -> int:
        """From its delivery to a time, as it is told to the ground."""
        return max(0, at_ns - self.delivered_ns) // (NS_PER_US * TICK_US) * TICK_US

    @property
    def delivered_us(self) -> int:
        """Its delivery on the plan's clock, as it is told to the ground."""
        return self.delivered_ns // NS_PER_US % CLOCK_US
