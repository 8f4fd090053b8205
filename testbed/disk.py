"""Where a virtual run's machines keep what must survive them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from roundtrip.drive.virtual import VirtualClock


class Disk(Protocol):
    """Takes what a machine puts out to be kept."""

    def write(self, output: object, done: Callable[[], None] | None) -> None:
        """Keep an output, and call back when it is safe."""


class SoundDisk:
    """A disk that never fails, and that nobody reads.

    Args:
        clock: of the run.
        takes_ns: how long a write takes.
    """

    def __init__(self, clock: VirtualClock, takes_ns: int) -> None:
        self._clock = clock
        self._takes_ns = takes_ns

    def write(self, output: object, done: Callable[[], None] | None) -> None:
        """As `Disk`."""
        if done is not None:
            self._clock.call_at(self._clock.now_ns() + self._takes_ns, done)
