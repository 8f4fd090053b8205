"""Countdown timers for acknowledging segments, suspended while the peer cannot transmit.

One table for all sessions. A timer is for one segment sent, and runs to the time its answer should
be here; `deadline` is the earliest of them. Reads no clock. Standard: RFC 5326 §6.2, 6.5, 6.6.
"""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heappop, heappush
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class _Timer:
    __slots__ = ("answer_ns", "due_ns", "seq", "suspended")

    def __init__(self, due_ns: int, answer_ns: int, suspended: bool) -> None:
        self.due_ns = due_ns
        self.answer_ns = answer_ns
        self.suspended = suspended
        self.seq = -1


class TimerTable(Generic[Key]):
    """Timers by key. Starting a key again replaces its timer."""

    def __init__(self) -> None:
        self._timers: dict[Key, _Timer] = {}
        self._heap: list[tuple[int, int, Key]] = []
        self._seq = 0
        self._peer_silent = False

    def __len__(self) -> int:
        return len(self._timers)

    def __contains__(self, key: Key) -> bool:
        return key in self._timers

    def start(self, key: Key, *, sent_ns: int, one_way_ns: int, margin_ns: int) -> None:
        """Start a timer for a segment sent at a time (RFC 5326 §6.2).

        Args:
            sent_ns: when its last bit leaves.
            one_way_ns: light time to the peer, and back.
            margin_ns: what else the answer may take ("additional anticipated latency").
        """
        answer_ns = sent_ns + one_way_ns + margin_ns
        timer = _Timer(answer_ns + one_way_ns, answer_ns, self._peer_silent)
        self._timers[key] = timer
        if not timer.suspended:
            self._push(key, timer)

    def stop(self, key: Key) -> None:
        """Forget a timer; no timer is no error."""
        if self._timers.pop(key, None) is not None:
            self._drop_stale()

    def suspend(self, *, now_ns: int) -> None:
        """The peer stops transmitting: suspend what it can no longer answer (RFC 5326 §6.5)."""
        self._peer_silent = True
        for timer in self._timers.values():
            if timer.answer_ns >= now_ns:
                timer.suspended = True
                timer.seq = -1
        self._drop_stale()

    def resume(self, *, now_ns: int) -> None:
        """The peer transmits again: put off what it could not answer (RFC 5326 §6.6)."""
        self._peer_silent = False
        for key, timer in self._timers.items():
            if timer.suspended:
                timer.suspended = False
                delay_ns = max(0, now_ns - timer.answer_ns)
                timer.due_ns += delay_ns
                timer.answer_ns += delay_ns  # the answer comes now: matters if suspended again
                self._push(key, timer)

    def expired(self, *, now_ns: int) -> list[Key]:
        """Take out the timers that are due, earliest first."""
        due: list[Key] = []
        while self._heap and self._heap[0][0] <= now_ns:
            key = heappop(self._heap)[2]
            del self._timers[key]
            due.append(key)
            self._drop_stale()
        return due

    @property
    def deadline(self) -> tuple[int, Key] | None:
        """When the next timer is due, and which."""
        if not self._heap:
            return None
        due_ns, _, key = self._heap[0]
        return due_ns, key

    def _push(self, key: Key, timer: _Timer) -> None:
        self._seq += 1
        timer.seq = self._seq
        heappush(self._heap, (timer.due_ns, self._seq, key))
        self._drop_stale()

    def _drop_stale(self) -> None:
        """Keep the head of the heap a timer that runs."""
        heap = self._heap
        while heap:
            _, seq, key = heap[0]
            timer = self._timers.get(key)
            if timer is not None and timer.seq == seq:
                return
            heappop(heap)
