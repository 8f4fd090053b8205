"""Countdown timers for acknowledging segments, suspended while the peer cannot transmit.

One table for all sessions. A timer is for one segment, and runs to the time the answer to its
latest sending should be here; `deadline` is the earliest of them. One that has run out stays in the
table, at rest, until its segment leaves again or the answer comes: so the table knows how often it
ran out, and how long an answer took. Reads no clock. Standard: RFC 5326 §6.2, 6.5, 6.6.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from heapq import heappop, heappush
from typing import Generic, NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)

_AT_REST = -1
_PAST_KEPT = 256


class Answered(NamedTuple):
    """How long an answer took beyond light time, ns: as much as since the latest sending of its
    segment at least, as since the first at most."""

    least_ns: int
    most_ns: int


class _Timer:
    __slots__ = ("answer_ns", "due_ns", "first_ns", "measured", "runs", "sent_ns", "seq", "waits")

    def __init__(self, sent_ns: int, answer_ns: int, due_ns: int) -> None:
        self.first_ns = self.sent_ns = sent_ns
        self.answer_ns = answer_ns
        self.due_ns = due_ns
        self.waits = False
        """Suspended."""
        self.measured = True
        """Whether it tells how long an answer takes: no suspension is in it."""
        self.runs = 0
        """How often it ran out and that counted."""
        self.seq = _AT_REST


class TimerTable(Generic[Key]):
    """Timers by key."""

    def __init__(self) -> None:
        self._timers: dict[Key, _Timer] = {}
        self._past: OrderedDict[Key, _Timer] = OrderedDict()
        """The latest of those nobody waits for any more: a first answer still tells how long it
        took, a second one may be to whatever sending."""
        self._heap: list[tuple[int, int, Key]] = []
        self._seq = 0
        self._peer_silent = False

    def __len__(self) -> int:
        return len(self._timers)

    def __contains__(self, key: Key) -> bool:
        return key in self._timers

    def start(
        self, key: Key, *, sent_ns: int, one_way_ns: int, margin_ns: int, measured: bool = True
    ) -> None:
        """Start a timer for a segment sent at a time (RFC 5326 §6.2), for the first time or again.

        Args:
            key: what for.
            sent_ns: when its last bit leaves.
            one_way_ns: light time to the peer, and back.
            margin_ns: what else the answer may take ("additional anticipated latency").
            measured: False where the answer may be on its way already.
        """
        answer_ns = sent_ns + one_way_ns + margin_ns
        timer = _Timer(sent_ns, answer_ns, answer_ns + one_way_ns)
        timer.measured = measured and not self._peer_silent
        before = self._timers.get(key)
        if before is not None:
            timer.runs = before.runs
        before = before or self._past.pop(key, None)
        if before is not None:
            timer.first_ns = before.first_ns
            timer.measured = timer.measured and before.measured
        self._timers[key] = timer
        if self._peer_silent:
            timer.waits = True
            self._drop_stale()
        else:
            self._push(key, timer)

    def stop(self, key: Key) -> None:
        """Await an answer no longer; no timer is no error."""
        timer = self._timers.pop(key, None)
        if timer is None:
            return
        self._past[key] = timer
        if len(self._past) > _PAST_KEPT:
            self._past.popitem(last=False)
        self._drop_stale()

    def answered(self, key: Key, *, one_way_ns: int, now_ns: int) -> Answered | None:
        """The answer is here, perhaps too late; return how long it took, where that is known."""
        self.stop(key)
        timer = self._past.get(key)
        if timer is None or not timer.measured:
            return None
        timer.measured = False
        light_ns = 2 * one_way_ns
        least_ns, most_ns = now_ns - timer.sent_ns - light_ns, now_ns - timer.first_ns - light_ns
        return Answered(max(0, least_ns), max(0, most_ns))

    def rest(self, key: Key) -> None:
        """Its segment is about to leave again: until then the timer does not run."""
        timer = self._timers.get(key)
        if timer is not None:
            timer.seq = _AT_REST
            timer.waits = False
            self._drop_stale()

    def run_until(self, key: Key, *, due_ns: int) -> None:
        """Let a timer run to another time."""
        timer = self._timers[key]
        timer.due_ns = due_ns
        self._push(key, timer)

    def running(self) -> list[Key]:
        """Those that will run out."""
        return [key for key, timer in self._timers.items() if timer.seq != _AT_REST]

    def count(self, key: Key) -> int:
        """Count that a timer has run out; return how often it has."""
        timer = self._timers[key]
        timer.runs += 1
        return timer.runs

    def count_anew(self) -> None:
        """Whatever has run out so far does not count any more."""
        for timer in self._timers.values():
            timer.runs = 0

    def runs(self, key: Key) -> int:
        """How often a timer has run out; 0 for one that is not there."""
        timer = self._timers.get(key)
        return 0 if timer is None else timer.runs

    def first_ns(self, key: Key) -> int:
        """When the segment of a timer left first."""
        return self._timers[key].first_ns

    def sent_ns(self, key: Key) -> int:
        """When the segment of a timer left last."""
        return self._timers[key].sent_ns

    def suspend(self, *, now_ns: int) -> None:
        """The peer stops transmitting: suspend what it can no longer answer (RFC 5326 §6.5)."""
        self._peer_silent = True
        self._past.clear()
        for timer in self._timers.values():
            if timer.seq != _AT_REST and timer.answer_ns >= now_ns:
                timer.waits = True
                timer.measured = False
                timer.seq = _AT_REST
        self._drop_stale()

    def resume(self, *, now_ns: int) -> None:
        """The peer transmits again: put off what it could not answer (RFC 5326 §6.6)."""
        self._peer_silent = False
        for key, timer in self._timers.items():
            if timer.waits:
                timer.waits = False
                delay_ns = max(0, now_ns - timer.answer_ns)
                if delay_ns:  # as if it was sent for an answer now: matters if it is set anew
                    timer.sent_ns = now_ns - (timer.due_ns - timer.answer_ns)
                timer.due_ns += delay_ns
                timer.answer_ns += delay_ns  # the answer comes now: matters if suspended again
                self._push(key, timer)

    def expired(self, *, now_ns: int) -> list[Key]:
        """Those that are due, earliest first; they rest from now on."""
        due: list[Key] = []
        while self._heap and self._heap[0][0] <= now_ns:
            key = heappop(self._heap)[2]
            self._timers[key].seq = _AT_REST
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
