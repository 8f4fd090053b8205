"""Virtual time: an event heap, ordered by (at_ns, seq), so that a run is the same every time."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class VirtualAlarm:
    """A call on the heap."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Leave it on the heap as an empty entry."""
        self.callback = None


class VirtualClock:
    """Time that jumps from event to event."""

    def __init__(self) -> None:
        self._now_ns = 0
        self._seq = 0
        self._heap: list[tuple[int, int, VirtualAlarm]] = []
        self.events = 0
        """Handled so far."""

    def now_ns(self) -> int:
        """The time of the event being handled."""
        return self._now_ns

    def call_at(self, at_ns: int, callback: Callable[[], None]) -> VirtualAlarm:
        """Put a call on the heap; events of the same time run in the order they were put there."""
        alarm = VirtualAlarm(callback)
        self._seq += 1
        heapq.heappush(self._heap, (max(at_ns, self._now_ns), self._seq, alarm))
        return alarm

    def run(self, until: Callable[[], bool], *, limit_ns: int) -> bool:
        """Handle events until `until()` holds, none is left, or the next lies after `limit_ns`.

        Returns:
            Whether `until()` holds at the end.
        """
        while not until():
            if not self._heap or self._heap[0][0] > limit_ns:
                return False
            at_ns, _, alarm = heapq.heappop(self._heap)
            if alarm.callback is not None:
                self._now_ns = at_ns
                self.events += 1
                alarm.callback()
        return True
