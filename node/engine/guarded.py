"""Gives answers only once the weights were found whole after them.

Where a tensor was damaged, whatever was begun before is begun anew: the question is on board, and
costs no loop. An answer whose time is over, or that was spoilt again and again, is given as it is,
and marked; where what the model says are no numbers there is nothing to give. Pure, as `Batcher`
and `Scrubber` are.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from node.engine.requests import Done, Event, NotFinite, Refused, Request
from node.engine.scrub import Mended, Scrubber

MAX_TRIES = 3
"""Of one question, after which an answer is given that may be wrong."""
MAX_BROKEN = 12
"""Tries of one question, after which none is given where the model's words are no numbers."""
SLICE_NS = 5_000_000
"""How long requests wait for a check in an idle moment, and an answer whose time is over."""
ROUND_NS = 2_000_000_000
"""How long everything waits for a check of all, where there was damage."""
PROBE = tuple(range(300, 332))
"""Tokens that any Qwen3's vocabulary has; what it says to them does not matter, only that it is
always the same."""
PROBE_TOKENS = 4
LOGITS_AGREE = 1e-3
"""Of the largest one."""


class Answering(Protocol):
    """What answers: a `Batcher`."""

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""

    def add(self, request: Request) -> None:
        """Let a request wait for a slot."""

    @property
    def running(self) -> Sequence[int]:
        """The requests in the context."""

    def cut(self, request_id: int) -> list[Event]:
        """End a request now, with what it has written."""

    def admit(self) -> list[Event]:
        """Let waiting requests join."""

    def step(self) -> list[Event]:
        """Decode once; what came of it."""

    def set_threads(self, threads: int) -> None:
        """Threads of the engine from the next step on."""

    @property
    def prefill_ns(self) -> float:
        """Per token of a prompt."""

    @property
    def step_ns(self) -> Mapping[int, float]:
        """Duration of a decode of one token for each of so many sequences."""

    @property
    def width(self) -> int:
        """How many questions at once are fastest in all."""

    def withdraw(self, keep: Container[int]) -> list[Request]:
        """Take all questions out of the context but some, and forget what was read."""

    def probe(self, tokens: Sequence[int], count: int) -> tuple[list[int], Any]:
        """What the model says to a prompt, and the last logits."""


class ProbeFailed(Exception):
    """The weights are as they were loaded, and yet the model says something else than then."""


@dataclass(slots=True)
class _Held:
    done: Done | Refused
    at_ns: int


class Guarded:
    """A batcher whose answers can be believed.

    Args:
        batcher: answers; it is idle, and its weights are whole.
        scrubber: checks them.
        clock_ns: the time.
        probe_ns: how often an idle engine is checked.
        on_mended: told of each tensor that was damaged, and of how many questions were begun anew.
    """

    def __init__(
        self,
        batcher: Answering,
        scrubber: Scrubber,
        *,
        clock_ns: Callable[[], int],
        probe_ns: int,
        on_mended: Callable[[Mended, int], None],
    ) -> None:
        self._batcher = batcher
        self._scrubber = scrubber
        self._clock_ns = clock_ns
        self._probe_ns = probe_ns
        self._on_mended = on_mended
        self._requests: dict[int, Request] = {}
        self._tries: dict[int, int] = {}
        self._spoilt: set[int] = set()
        """Questions that are not begun anew any more, and whose answers may be wrong."""
        self._earlier: dict[int, Done | Refused] = {}
        """What came of questions that were begun anew, for want of something better."""
        self._held: list[_Held] = []
        self._right = batcher.probe(PROBE, PROBE_TOKENS)
        self._stale = False
        """`_right` is of another number of threads, which may round otherwise."""
        self._due_ns = clock_ns() + probe_ns

    @property
    def busy(self) -> bool:
        """Whether there is anything to do for a request."""
        return self._batcher.busy or bool(self._held)

    def add(self, request: Request) -> None:
        """Let a request wait for a slot."""
        self._requests[request.id] = request
        self._tries[request.id] = 1
        self._batcher.add(request)

    def cut(self, request_id: int) -> list[Event]:
        """End a request now, with what it has written."""
        events = [] if self._held_of(request_id) else self._sorted(self._batcher.cut(request_id))
        held = self._held_of(request_id)
        if held is None:
            return events
        events += self._check(held.at_ns)
        if request_id in self._requests:  # there was no time to check it, or to begin it anew
            self._batcher.cut(request_id)
            self._held = [other for other in self._held if other.done.id != request_id]
            self._spoilt.add(request_id)
            held.done = self._earlier.get(request_id, held.done)
            events.append(self._given(held))
        return events

    def _held_of(self, request_id: int) -> _Held | None:
        return next((held for held in self._held if held.done.id == request_id), None)

    def _check(self, whole_ns: int) -> list[Event]:
        return self._after(self._scrubber.until(whole_ns, SLICE_NS))

    def admit(self) -> list[Event]:
        """Let waiting requests join."""
        return self._sorted(self._batcher.admit())

    def step(self) -> list[Event]:
        """Decode once, or check for a moment; what came of it."""
        if not self._batcher.busy:
            if not self._held:
                return []
            return self._check(max(held.at_ns for held in self._held))
        begin_ns = self._clock_ns()
        try:
            events = self._batcher.step()
        except NotFinite as found:
            return self._sorted(found.events) + self._not_finite()
        mended = self._scrubber.beside(self._clock_ns() - begin_ns)
        if events:
            events = self._sorted(events)
        return events + self._after(mended) if mended or self._held else events

    def _not_finite(self) -> list[Event]:
        """Weights are damaged, or what was read: nothing that is in the context can be believed."""
        ended: list[Event] = []
        for asked in list(self._batcher.running):
            if self._tries[asked] >= MAX_BROKEN:
                self._batcher.cut(asked)
                nothing = Refused(asked, "no_answer", "what the model says are no numbers")
                best = self._earlier.get(asked, nothing)
                self._spoilt.add(asked)
                ended.append(self._given(_Held(best, self._clock_ns())))
        for request in self._batcher.withdraw(()):
            self._tries[request.id] += 1
            self._batcher.add(request)
        return ended + self._after(self._scrubber.until(self._clock_ns(), ROUND_NS))

    @property
    def resting(self) -> bool:
        """Nothing is to be checked now."""
        return not self.busy and self._clock_ns() < self._due_ns

    def rest(self) -> None:
        """There is no request: check everything, a moment at a time, then ask the probe question.

        Raises:
            ProbeFailed: it got another answer.
        """
        self._check(self._due_ns)
        if self._scrubber.whole_ns >= self._due_ns:
            self._ask()
            self._due_ns = self._clock_ns() + self._probe_ns

    def set_threads(self, threads: int) -> None:
        """Threads of the engine from the next step on."""
        self._batcher.set_threads(threads)
        self._stale = True

    @property
    def prefill_ns(self) -> float:
        """As the batcher's, and so are the next two."""
        return self._batcher.prefill_ns

    @property
    def step_ns(self) -> Mapping[int, float]:
        """Duration of a decode of one token for each of so many sequences."""
        return self._batcher.step_ns

    @property
    def width(self) -> int:
        """How many questions at once are fastest in all."""
        return self._batcher.width

    def _ask(self) -> None:
        said, logits = self._batcher.probe(PROBE, PROBE_TOKENS)
        right, were = self._right
        if self._stale:
            self._right, self._stale = (said, logits), False
        elif said != right or not abs(logits - were).max() <= LOGITS_AGREE * abs(were).max():
            raise ProbeFailed

    def _sorted(self, events: Sequence[Event]) -> list[Event]:
        """What can be told at once; answers are held."""
        at_once: list[Event] = []
        for event in events:
            if isinstance(event, Done | Refused) and event.id in self._requests:
                self._held.append(_Held(event, self._clock_ns()))
            else:
                at_once.append(event)
        return at_once

    def _after(self, mended: Sequence[Mended]) -> list[Event]:
        """What follows from a check. Damage seldom comes alone: all is checked then."""
        if mended:
            mended = [*mended, *self._scrubber.until(self._clock_ns(), ROUND_NS)]
        for one in mended:
            self._on_mended(one, self._begin_anew(one))
        whole_ns = self._scrubber.whole_ns
        ready = [held for held in self._held if held.at_ns <= whole_ns]
        self._held = [held for held in self._held if held.at_ns > whole_ns]
        return [self._given(held) for held in ready]

    def _begin_anew(self, mended: Mended) -> int:
        """Of how many questions there is nothing that can be believed."""
        last = {asked for asked, tries in self._tries.items() if tries >= MAX_TRIES}
        doubtful = [held for held in self._held if held.at_ns > mended.whole_ns]
        self._spoilt |= last & {*self._batcher.running, *(held.done.id for held in doubtful)}
        again = self._batcher.withdraw(last)
        for held in doubtful:
            if held.done.id not in last:
                self._held.remove(held)
                self._earlier.setdefault(held.done.id, held.done)
                again.append(self._requests[held.done.id])
        for request in again:
            self._tries[request.id] += 1
            self._batcher.add(request)
        return len(again)

    def _given(self, held: _Held) -> Event:
        asked = held.done.id
        del self._requests[asked], self._tries[asked]
        self._earlier.pop(asked, None)
        exposed = asked in self._spoilt
        self._spoilt.discard(asked)
        return held.done if isinstance(held.done, Refused) else replace(held.done, exposed=exposed)
