"""Whether the engine's process lives: it says something, or its work moves on, or it has none.
Pure.

Work that moves on is seen from outside, by what the system counts for the process (CPU time, pages
fetched); so an engine that spins for ever on nothing is taken for alive.
"""

from __future__ import annotations

from roundtrip.units import s_to_ns

LIMIT_NS = s_to_ns(60)
"""A choice: far longer than any step of work stands still, also on a slow disk."""


class Heartbeat:
    """The time of the last sign of life.

    Args:
        now_ns: the start.
        limit_ns: without a sign for longer, the engine is taken for hung.
    """

    def __init__(self, now_ns: int, limit_ns: int = LIMIT_NS) -> None:
        self._last_ns = now_ns
        self._limit_ns = limit_ns
        self._progress: tuple[int, ...] | None = None

    def beat(self, now_ns: int) -> None:
        """The engine said something."""
        self._last_ns = now_ns

    def look(self, progress: tuple[int, ...] | None, *, busy: bool, now_ns: int) -> None:
        """What the system counts for the process, None where there is no process; and whether it
        has something to do."""
        if progress is not None and (not busy or progress != self._progress):
            self._last_ns = now_ns
        self._progress = progress

    def fresh(self, now_ns: int) -> bool:
        """Whether the engine lives."""
        return now_ns - self._last_ns <= self._limit_ns
