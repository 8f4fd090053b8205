"""Control segments waiting for the transmitter: acknowledgments first, then reports, then cancels.

Each is under a key, so that queueing it twice sends it once and it can be withdrawn. The number
waiting is bounded. RFC 5326 §4 calls this the queue of internal operations traffic.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import IntEnum

from dtn.ltp.segment import SessionId


class Rank(IntEnum):
    """The order in which control segments leave."""

    ACKNOWLEDGMENT = 0
    REPORT = 1
    CANCEL = 2


ControlKey = tuple[Rank, SessionId, int]
"""What the segment is, its session, and its serial number or kind."""


_Rank = OrderedDict[ControlKey, tuple[bytes, bool]]


class ControlQueue:
    """First in, first out within each rank."""

    def __init__(self, *, limit: int) -> None:
        self._ranks: tuple[_Rank, ...] = tuple(OrderedDict() for _ in Rank)
        self._limit = limit
        self._bytes = 0

    def __len__(self) -> int:
        return sum(len(rank) for rank in self._ranks)

    @property
    def pending_bytes(self) -> int:
        """Bytes waiting."""
        return self._bytes

    def put(self, key: ControlKey, frame: bytes, *, timed: bool) -> bool:
        """Queue a segment unless it waits already; False when the queue is full."""
        rank = self._ranks[key[0]]
        if key in rank:
            return True
        if len(rank) >= self._limit:
            return False
        rank[key] = (frame, timed)
        self._bytes += len(frame)
        return True

    def pop(self) -> tuple[ControlKey, bytes, bool] | None:
        """Take the next segment out: its key, its bytes, whether an answer to it is awaited."""
        for rank in self._ranks:
            if rank:
                key, (frame, timed) = rank.popitem(last=False)
                self._bytes -= len(frame)
                return key, frame, timed
        return None

    def withdraw(self, key: ControlKey) -> None:
        """Take a segment out unsent; one that does not wait is no error."""
        entry = self._ranks[key[0]].pop(key, None)
        if entry is not None:
            self._bytes -= len(entry[0])
