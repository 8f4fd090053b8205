"""Checks the weights in memory against their checksums, a slice at a time, and has them mended.

Beside work it takes a small share of the time; in idle moments a slice after the other. A tensor
that differs is read again from the model's file, at once. Pure but for the memory it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

SHARE = 0.01
"""Of the engine's time, while it works. The least that is worth a check is `SLICE_BYTES`."""
SLICE_BYTES = 1 << 18


class Memory(Protocol):
    """Tensors in memory."""

    @property
    def sizes(self) -> Sequence[int]:
        """Bytes of each."""

    def checksum(self, tensor: int, start: int, end: int, so_far: int) -> int:
        """Of bytes `start` to `end` of a tensor, going on from that of what is before."""

    def mend(self, tensor: int) -> str:
        """Put a tensor back as its file has it; says where from.

        Raises:
            BadModel: no file has it whole.
        """

    def name(self, tensor: int) -> str:
        """Of a tensor."""


@dataclass(frozen=True, slots=True)
class Mended:
    """A tensor was damaged, and is whole again."""

    name: str
    whole_ns: int
    """When it was last found whole before."""
    source: str


class Scrubber:
    """Goes round and round over a memory.

    Args:
        memory: is whole now.
        clock_ns: the time.
    """

    def __init__(self, memory: Memory, clock_ns: Callable[[], int]) -> None:
        self._memory = memory
        self._clock_ns = clock_ns
        self._sizes = memory.sizes
        whole_ns = clock_ns()
        self._right = [memory.checksum(tensor, 0, size, 0) for tensor, size in self._each()]
        self._whole_ns = [whole_ns] * len(self._right)
        self._tensor = self._at = self._sum = 0
        self._began_ns = 0
        self._owed_ns = 0.0
        self.rounds = 0
        """That were finished."""

    def _each(self) -> list[tuple[int, int]]:
        return list(enumerate(self._sizes))

    @property
    def whole_ns(self) -> int:
        """All of the memory was found whole at this moment or later."""
        return self._whole_ns[self._tensor]

    def beside(self, worked_ns: int) -> list[Mended]:
        """Check for the share that so much work leaves to it."""
        self._owed_ns += worked_ns * SHARE
        mended: list[Mended] = []
        while self._owed_ns > 0:
            begin_ns = self._clock_ns()
            mended += self._slice()
            self._owed_ns -= max(1, self._clock_ns() - begin_ns)
        return mended

    def until(self, whole_ns: int, limit_ns: int) -> list[Mended]:
        """Check until all was whole at `whole_ns` or later, but no longer than `limit_ns`."""
        end_ns = self._clock_ns() + limit_ns
        mended: list[Mended] = []
        while self.whole_ns < whole_ns and self._clock_ns() < end_ns:
            mended += self._slice()
        return mended

    def _slice(self) -> list[Mended]:
        tensor, size = self._tensor, self._sizes[self._tensor]
        if not self._at:
            self._began_ns = self._clock_ns()
        end = min(self._at + SLICE_BYTES, size)
        self._sum = self._memory.checksum(tensor, self._at, end, self._sum)
        self._at = end
        if end < size:
            return []
        mended: list[Mended] = []
        if self._sum != self._right[tensor]:
            source = self._memory.mend(tensor)
            name = self._memory.name(tensor)
            mended.append(Mended(name, self._whole_ns[tensor], source))
            self._began_ns = self._clock_ns()
        self._whole_ns[tensor] = self._began_ns
        self._at = self._sum = 0
        self._tensor = (tensor + 1) % len(self._sizes)
        self.rounds += not self._tensor
        return mended
