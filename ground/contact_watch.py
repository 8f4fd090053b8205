"""How long the modem has had both directions up, and when nothing can come any more."""

from __future__ import annotations

from collections import deque

from roundtrip.contacts import ContactPlan
from roundtrip.units import NS_PER_MS

KEPT = 4096
"""Times without contact, the latest; a loop spans fewer."""
PROCESSING_NS = 500 * NS_PER_MS
"""What disks and processes may take after the last frame has arrived."""


class ContactWatch:
    """Remembers the time without contact, from the modem's cues."""

    def __init__(self) -> None:
        self._without: deque[tuple[int, int]] = deque(maxlen=KEPT)
        self._lost_ns: int | None = 0
        self._since_ns = 0

    def cue(self, both_up: bool, now_ns: int) -> None:
        """What the modem says."""
        if not both_up:
            if self._lost_ns is None:
                self._lost_ns = now_ns
        elif self._lost_ns is not None:
            self._without.append((self._lost_ns, now_ns))
            self._lost_ns = None

    @property
    def is_up(self) -> bool:
        """Whether the modem has both directions up."""
        return self._lost_ns is None

    def resumed(self, now_ns: int) -> None:
        """Nothing is known of the time before."""
        self._since_ns = now_ns

    def in_contact_ns(self, start_ns: int, end_ns: int) -> int | None:
        """Time in [start_ns, end_ns) in which the modem had both directions up; None where part of
        it was before a restart."""
        if start_ns < self._since_ns:
            return None
        total = 0 if self._lost_ns is None else max(0, end_ns - max(self._lost_ns, start_ns))
        for low, high in reversed(self._without):
            if high <= start_ns:
                break
            total += max(0, min(high, end_ns) - max(low, start_ns))
        return end_ns - start_ns - total


def last_chance_ns(plan: ContactPlan) -> int:
    """When the last frame of the last contact down has arrived."""
    return (
        max(
            (
                contact.end_time + contact.owlt
                for contact in plan.contacts
                if contact.source == "node"
            ),
            default=0,
        )
        + PROCESSING_NS
    )
