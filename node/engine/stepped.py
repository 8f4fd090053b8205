"""The real engine in virtual time: each step is computed, and takes on the plan's clock as long as
it took.

Requests that come while a step is under way are heard after it, as the engine's own process hears
them. Only what the engine does costs time; whatever is waited for costs none. Pure but for that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.engine.events import (
    EngineDone,
    EngineFirstToken,
    EngineRefused,
    EngineStarted,
    EngineWrote,
    InferenceResult,
    JobEvent,
)
from node.engine.guarded import Answering
from node.engine.requests import Done, Event, FirstToken, Refused, Started, Wrote
from node.engine.wire import infer, request_of
from node.scheduler import Order
from node.service_time import Profile
from node.speed import Speed
from roundtrip.machine import Deadline
from roundtrip.units import ms_to_ns


@dataclass(frozen=True, slots=True)
class Scale:
    """By how much slower another machine is."""

    prefill: float = 1.0
    decode: float = 1.0


AS_HERE = Scale()


class SteppedEngine:
    """A batcher on the event heap.

    Args:
        batcher: the real one, idle.
        profile: the time of a write to disk, and what else is not computed.
        clock_ns: measures.
        scale: what a measured duration is multiplied by.
    """

    def __init__(
        self,
        batcher: Answering,
        profile: Profile,
        clock_ns: Callable[[], int],
        scale: Scale = AS_HERE,
    ) -> None:
        self.profile = profile
        self.mended: int | None = None
        """Of damaged weights: nobody looks."""
        self._batcher = batcher
        self._clock_ns = clock_ns
        self._scale = scale
        self._end_ns: int | None = None
        """Of the step under way."""
        self._came: list[JobEvent] = []
        """Of it, told at its end."""
        self._unheard: deque[Order | int] = deque()
        """Requests since it began: jobs, and jobs to be cut."""

    @property
    def store_ns(self) -> int:
        """Time to put something on disk."""
        return ms_to_ns(self.profile.store_ms)

    def speed(self) -> Speed:
        """As it was measured when it was loaded, and since."""
        batcher = self._batcher
        return Speed(batcher.prefill_ns * self._scale.prefill, self._steps())

    def at_once(self) -> int:
        """How many questions it takes."""
        return self._batcher.width

    def _steps(self) -> dict[int, float]:
        return {width: ns * self._scale.decode for width, ns in self._batcher.step_ns.items()}

    def infer(self, order: Order, *, now_ns: int) -> Sequence[JobEvent]:
        """Take a job."""
        return self._hear(order, now_ns)

    def cut(self, question_id: int, *, now_ns: int) -> Sequence[JobEvent]:
        """End a job, with what there is of it, after the step under way."""
        return self._hear(question_id, now_ns)

    def _hear(self, request: Order | int, now_ns: int) -> list[JobEvent]:
        outputs = list(self.timeout(now_ns=now_ns))
        self._unheard.append(request)
        return outputs if self._end_ns is not None else outputs + self._go_on(now_ns)

    def timeout(self, *, now_ns: int) -> Sequence[JobEvent]:
        """What the engine has done until now."""
        outputs: list[JobEvent] = []
        while self._end_ns is not None and self._end_ns <= now_ns:
            end_ns = self._end_ns
            outputs += self._came
            self._end_ns, self._came = None, []
            outputs += self._go_on(end_ns)
        return outputs

    @property
    def deadline(self) -> Deadline | None:
        """The end of the step under way."""
        return None if self._end_ns is None else (self._end_ns, "step")

    def _go_on(self, now_ns: int) -> list[JobEvent]:
        """Hear what came, then compute the next step."""
        outputs: list[JobEvent] = []
        while self._unheard:
            request = self._unheard.popleft()
            if isinstance(request, Order):
                self._batcher.add(request_of(infer(request)))
            else:
                outputs += [self._event(e, now_ns) for e in self._batcher.cut(request)]
        if not self._batcher.busy:
            return outputs
        begin_ns = self._clock_ns()
        joined = self._batcher.admit()
        came = self._batcher.step()
        took_ns = self._clock_ns() - begin_ns
        reads = any(isinstance(event, Started) for event in joined)
        factor = self._scale.prefill if reads else self._scale.decode
        self._end_ns = now_ns + max(1, round(took_ns * factor))
        self._came = [self._event(event, self._end_ns) for event in came]
        return outputs + [self._event(event, now_ns) for event in joined]

    def _event(self, event: Event, at_ns: int) -> JobEvent:
        match event:
            case Started():
                return EngineStarted(event.id, at_ns)
            case FirstToken():
                return EngineFirstToken(event.id, at_ns)
            case Wrote():
                return EngineWrote(event.id, event.text)
            case Refused():
                return EngineRefused(event.id, event.reason, event.detail)
            case Done():
                speed = self.speed()
                result = InferenceResult(
                    event.text,
                    event.finish_reason,
                    event.prompt_tokens,
                    event.output_tokens,
                    round(self.profile.rss_peak_mb * 1e6),
                    speed.prefill_ns,
                    speed.step_ns,
                    self._batcher.width,
                    event.thoughts,
                )
                return EngineDone(event.id, at_ns, result)
