"""How a plan's clock is found again after a restart, whatever the wall clock did meanwhile. Pure.

CLOCK_MONOTONIC goes on over restarts of a process, but not of the machine: then only the wall clock
is left, and what is known to have happened already.
"""

from __future__ import annotations

from dataclasses import dataclass

from roundtrip.units import NS_PER_MS
from roundtrip.words import long_duration

WALL_STEP_MS = 5_000
"""A choice: by how much a clock must be off for an operator to be told."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The clocks of a machine at one moment."""

    host: str
    """Boot id; empty where there is none."""
    monotonic_ns: int
    dtn_ms: int
    """The wall clock as DTN time, ms since 2000; negative before that."""

    def epoch_ms(self, elapsed_ns: int) -> int:
        """The date of a plan's zero, `elapsed_ns` ago; 0, "not known", for one before 2000."""
        return max(0, self.dtn_ms - elapsed_ns // NS_PER_MS)


@dataclass(frozen=True, slots=True)
class Anchor:
    """What is kept on disk of a plan's clock."""

    host: str
    """The boot that `origin_ns` is of."""
    origin_ns: int
    """CLOCK_MONOTONIC at the plan's zero."""
    epoch_ms: int
    """The wall clock's DTN time at the plan's zero; 0: not known."""

    def resumed(self, now: Reading, *, last_ns: int, by_date: bool) -> Resumed:
        """The plan's clock now.

        Args:
            now: the clocks.
            last_ns: the latest moment that is known to be past, on the plan's clock.
            by_date: the wall clock may tell how long the machine was away; otherwise that time is
                left out, so that nothing is over too early.
        """
        by_wall_ns = (now.dtn_ms - self.epoch_ms) * NS_PER_MS
        if self.host and self.host == now.host and now.monotonic_ns - self.origin_ns >= last_ns:
            elapsed_ns = now.monotonic_ns - self.origin_ns
            step_ms = (by_wall_ns - elapsed_ns) // NS_PER_MS
            if not self.epoch_ms or abs(step_ms) < WALL_STEP_MS:
                return Resumed(elapsed_ns, "")
            way, size = "forward" if step_ms > 0 else "back", long_duration(abs(step_ms))
            note = f"this machine's clock was set {way} by {size}; the run's own clock goes on"
            return Resumed(elapsed_ns, note)
        if by_date and self.epoch_ms and by_wall_ns >= last_ns:
            away = long_duration((by_wall_ns - last_ns) // NS_PER_MS)
            note = f"this machine was restarted; by its clock the run was last seen {away} ago"
            return Resumed(by_wall_ns, note)
        note = "this machine was restarted and does not tell for how long it was away; "
        return Resumed(last_ns, note + "the run goes on where it was last seen")


@dataclass(frozen=True, slots=True)
class Resumed:
    """A plan's clock that was found again."""

    elapsed_ns: int
    note: str
    """What the operator should know; empty for nothing."""
