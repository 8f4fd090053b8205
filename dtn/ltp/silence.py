"""An outage nobody tells of: the peer answers nothing for a while, not even repeats.

As in an outage that is told (RFC 5326 §6.5) the timers then wait, whatever they are for. But here
nobody will say that it is over: so one of them after the other has its segment repeated, one at a
time, until there is an answer to anything. Knows no segments and reads no clock.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

SILENT_NS = 2_000_000_000
"""Shorter than this it may be a run of losses."""
PROBE_NS = 1_000_000_000
"""From one repeat to the next, at least."""


class Silence(Generic[Key]):
    """Whether the peer is silent, and which timers have run out since."""

    def __init__(self) -> None:
        self._answer_ns = 0
        self._overdue: dict[Key, None] = {}
        self._probe_ns = 0
        self.lasts = False

    def end(self, *, now_ns: int) -> list[Key]:
        """The peer answers, or is about to be heard; return the timers that waited for that, in the
        order they ran out."""
        self._answer_ns = now_ns
        self.lasts = False
        overdue, self._overdue = list(self._overdue), {}
        return overdue

    def ran_out(
        self, key: Key, *, first_ns: int, sent_ns: int, repeated: bool, now_ns: int
    ) -> bool:
        """A timer has run out; return whether it waits until the peer answers.

        Args:
            key: of the timer.
            first_ns: when its segment left first.
            sent_ns: when it left last.
            repeated: whether a timer of it has run out before.
            now_ns: the time.
        """
        since_ns = max(first_ns, self._answer_ns)
        if repeated and sent_ns >= self._answer_ns and now_ns - since_ns >= SILENT_NS:
            self.lasts = True
        if self.lasts:
            self._overdue[key] = None
        return self.lasts

    def answered_since(self, at_ns: int) -> bool:
        """Whether the peer has answered anything after a time."""
        return self._answer_ns > at_ns

    def forget(self, key: Key) -> None:
        """A timer is stopped; one that does not wait is no error."""
        self._overdue.pop(key, None)

    def probe(self, *, now_ns: int, wait_ns: int) -> list[Key]:
        """The one timer whose segment is to be repeated now, to find out whether the peer is back.

        Args:
            now_ns: the time.
            wait_ns: how long an answer is waited for.
        """
        if not self._overdue or now_ns < self._probe_ns:
            return []
        key = next(iter(self._overdue))
        del self._overdue[key]
        self._probe_ns = now_ns + max(wait_ns, PROBE_NS)
        return [key]

    @property
    def probe_ns(self) -> int | None:
        """When `probe` has something to give."""
        return self._probe_ns if self._overdue else None
