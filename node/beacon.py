"""When the node says how it does: every so often while it can send, and before loss of signal.
Pure.

A beacon that waits for the next pass would be of no use, so none is made without a carrier; after a
gap the first is made at once. While nothing is asked they become rarer: each comes twice as long
after the one before, up to an hour.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from roundtrip.contacts import FOREVER_NS
from roundtrip.machine import Deadline
from roundtrip.scenario import Scenario
from roundtrip.units import s_to_ns

BEFORE_LOS_NS = s_to_ns(10)
"""A choice: time for a beacon and its repair on the slowest shipped link."""
IDLE_NS = s_to_ns(3600)
"""A choice: at least so often while nothing is asked."""
LIFETIME_NS = s_to_ns(30)
"""A choice: an older beacon is not worth sending."""
PRIORITY = 2
"""On the downlink, behind all answers (lower leaves first)."""


@dataclass(frozen=True, slots=True)
class MeasureVitals:
    """Measure how the node does, and call `NodeMachine.beacon`."""


class Beacon:
    """The timing.

    Args:
        period_ns: from one to the next while questions come; 0: none at all.
        los_ns: when contacts end, as far as it is known, in order.
    """

    def __init__(self, period_ns: int = 0, los_ns: Sequence[int] = ()) -> None:
        self._period_ns = period_ns
        self._before_los_ns = [at_ns - BEFORE_LOS_NS for at_ns in los_ns]
        self._last_ns: int | None = None
        self._wait_ns = period_ns
        """From the last one to the next."""
        self._up = False

    def carrier(self, up: bool, now_ns: int) -> None:
        """Whether the node can send."""
        if up and self._last_ns is None:
            self._last_ns = now_ns
        self._up = up

    def asked(self) -> None:
        """A question has come."""
        self._wait_ns = self._period_ns

    @property
    def deadline(self) -> Deadline | None:
        """When the next is due."""
        if not self._up or not self._period_ns or self._last_ns is None:
            return None
        at_ns = self._last_ns + self._wait_ns
        index = bisect_right(self._before_los_ns, self._last_ns)
        if index < len(self._before_los_ns):
            at_ns = min(at_ns, self._before_los_ns[index])
        return at_ns, "beacon"

    def take(self, now_ns: int) -> list[MeasureVitals]:
        """One, if it is due."""
        deadline = self.deadline
        if deadline is None or now_ns < deadline[0]:
            return []
        self._last_ns = now_ns
        self._wait_ns = max(self._period_ns, min(2 * self._wait_ns, IDLE_NS))
        return [MeasureVitals()]


def los_of(scenario: Scenario) -> tuple[int, ...]:
    """When the node loses the ground, by the scenario's plan; nothing where the link is always
    open."""
    return tuple(end for _, end in scenario.plan().downlink.spans if end < FOREVER_NS)
