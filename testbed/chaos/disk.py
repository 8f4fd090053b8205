"""A disk that dies with its machine, and one that lies."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from roundtrip.drive.virtual import VirtualClock
from roundtrip.units import NS_PER_MS

SLOW_SHARE = 0.05
SLOW_NS = 2_000 * NS_PER_MS
"""At most: what a flash card takes when it tidies up."""


@dataclass(slots=True, eq=False)
class _Write:
    output: object
    done: Callable[[], None] | None


@dataclass(slots=True)
class HurtDisk:
    """Keeps outputs in the order in which they became safe, one after the other as a journal does.

    Args:
        clock: of the run.
        rng: what goes wrong.
        takes_ns: how long a write takes, mostly.
        on_safe: told of each output that is safe, before the machine is.
    """

    clock: VirtualClock
    rng: random.Random
    takes_ns: int
    on_safe: Callable[[object], None]
    kept: list[Any] = field(default_factory=list)
    """What a restart finds."""
    _waiting: list[_Write] = field(default_factory=list)
    _free_ns: int = 0

    def write(self, output: object, done: Callable[[], None] | None) -> None:
        """As `Disk`."""
        write = _Write(output, done)
        self._waiting.append(write)
        slow = self.rng.random() < SLOW_SHARE
        takes_ns = self.rng.randrange(SLOW_NS) if slow else self.takes_ns
        self._free_ns = max(self._free_ns, self.clock.now_ns()) + takes_ns
        self.clock.call_at(self._free_ns, lambda: self._safe(write))

    def _safe(self, write: _Write) -> None:
        if write not in self._waiting:
            return
        self._waiting.remove(write)
        self.kept.append(write.output)
        self.on_safe(write.output)
        if write.done is not None:
            write.done()

    @property
    def idle(self) -> bool:
        """All that was written is safe."""
        return not self._waiting

    def crash(self, lies: int) -> list[object]:
        """The machine is gone. Of what it was not told to be safe some is there, in any order; of
        the rest, torn writes among it, nothing. A disk that lies has lost its last writes too.

        Args:
            lies: how many of the writes that it called safe it has not got.

        Returns:
            Those.
        """
        lost = self.kept[len(self.kept) - lies :] if lies else []
        del self.kept[len(self.kept) - len(lost) :]
        waiting = [] if lost else self._waiting
        there = [write.output for write in waiting if self.rng.random() < 0.5]
        self.rng.shuffle(there)
        self.kept += there
        for output in there:
            self.on_safe(output)
        self._waiting.clear()
        self._free_ns = 0
        return lost
