"""What share of frames is lost, and whether a frame is worth sending twice.

A running mean of what reports and time-outs tell, with a few frames' worth of belief to begin with.
That a frame arrived which was sent twice says little of how many are lost, so it counts little:
where only pairs are seen, the share sinks, until single frames show it again. Pure.
"""

from __future__ import annotations

SUPPOSED = 0.02
"""Share, before anything is known."""
SUPPOSED_FRAMES = 8
"""What that counts for."""
MEMORY_FRAMES = 256
TWICE = 0.1
"""What the arrival of a frame that was sent twice counts for."""
LEAST = 0.003
"""Share of losses below which nothing is sent twice, however cheap: it costs joules too."""


class Losses:
    """Of one direction, as its sender sees it."""

    def __init__(self) -> None:
        self._frames = float(SUPPOSED_FRAMES)
        self._lost = SUPPOSED * SUPPOSED_FRAMES
        self._any = False
        """Whether any was seen to be lost."""
        self._asked = 0

    def told(self, frames: int, lost: int, *, twice: bool = False) -> None:
        """Of so many frames so many did not arrive.

        Args:
            twice: each was sent twice, and of those lost neither arrived.
        """
        self._any |= lost > 0
        arrived = (frames - lost) * (TWICE if twice else 1)
        kept = max(0.0, 1 - frames / MEMORY_FRAMES)
        told = min(1.0, MEMORY_FRAMES / frames)
        self._frames = self._frames * kept + (lost + arrived) * told
        self._lost = self._lost * kept + lost * told

    @property
    def share(self) -> float:
        """Of the frames, that are lost."""
        return self._lost / self._frames

    def worth_twice(self, frame_ns: int, repair_ns: int, left_ns: int | None) -> bool:
        """Whether an idle transmitter should send a block's last frames again, unasked. While none
        was seen to be lost, every other block goes once, to find out.

        Args:
            frame_ns: what the frame takes.
            repair_ns: what its loss would take.
            left_ns: of the time in which it matters; None where that is not known. A loss that
                cannot be repaired in time weighs more than any frame.
        """
        self._asked += 1
        if self.share < LEAST or (not self._any and self._asked % 2 == 0):
            return False
        hurried = left_ns is not None and left_ns < 2 * repair_ns
        return hurried or self.share * repair_ns > frame_ns
