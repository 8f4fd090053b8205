"""Errands in virtual time: an engine on the event heap that shows and calls what a question needs.

A call takes the profile's time. Programs on board are not run: a virtual run must not hang on them.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.board.errands import Action, Ask, Cut, Errands, Job, RunTools
from node.board.tools import ERROR, run_tool
from node.engine.events import JobEvent
from node.engine.stepped import SteppedEngine
from node.scheduler import Order
from node.service_time import Profile, VirtualEngine
from node.speed import Speed
from node.upset_engine import UpsetEngine
from roundtrip.machine import Deadline, earliest
from roundtrip.units import ms_to_ns

Inner = VirtualEngine | UpsetEngine | SteppedEngine


class ErrandEngine:
    """As the engine within.

    Args:
        inner: the engine.
        errands: of its node.
    """

    def __init__(self, inner: Inner, errands: Errands) -> None:
        self.inner = inner
        self._errands = errands
        self._calls: list[tuple[int, RunTools]] = []
        """With when their results are there."""

    @property
    def profile(self) -> Profile:
        """The measured one."""
        return self.inner.profile

    @property
    def mended(self) -> int | None:
        """Of damaged weights."""
        return self.inner.mended

    @property
    def store_ns(self) -> int:
        """Time to put something on disk."""
        return self.inner.store_ns

    def speed(self) -> Speed:
        """As the node would know it."""
        return self.inner.speed()

    def at_once(self) -> int:
        """How many questions it takes."""
        return self.inner.at_once()

    def infer(self, order: Order, *, now_ns: int) -> Sequence[JobEvent]:
        """Take a job."""
        return self._carry_out(self._errands.begin(order, now_ns=now_ns), now_ns)

    def cut(self, question_id: int, *, now_ns: int) -> Sequence[JobEvent]:
        """End a job now, with what there is of it."""
        return self._carry_out(self._errands.cut(question_id, now_ns=now_ns), now_ns)

    def timeout(self, *, now_ns: int) -> Sequence[JobEvent]:
        """What the engine has done until now."""
        events = self._heard(self.inner.timeout(now_ns=now_ns), now_ns)
        for due in [due for due in self._calls if due[0] <= now_ns]:
            self._calls.remove(due)
            run = due[1]
            results = [_result(job) for job in run.jobs]
            actions = self._errands.called(run.question_id, run.round, results, now_ns=now_ns)
            events += self._carry_out(actions, now_ns)
        return events

    @property
    def deadline(self) -> Deadline | None:
        """When something will be done."""
        call_ns = min((at_ns for at_ns, _ in self._calls), default=None)
        return earliest(self.inner.deadline, (call_ns, "tool") if call_ns is not None else None)

    def _heard(self, events: Sequence[JobEvent], now_ns: int) -> list[JobEvent]:
        told: list[JobEvent] = []
        for event in events:
            told += self._carry_out(self._errands.heard(event, now_ns=now_ns), now_ns)
        return told

    def _carry_out(self, actions: Sequence[Action], now_ns: int) -> list[JobEvent]:
        told: list[JobEvent] = []
        for action in actions:
            match action:
                case Ask(order=order):
                    told += self._heard(self.inner.infer(order, now_ns=now_ns), now_ns)
                case Cut(question_id=question_id):
                    told += self._heard(self.inner.cut(question_id, now_ns=now_ns), now_ns)
                case RunTools(jobs=jobs):
                    takes_ns = len(jobs) * ms_to_ns(self.inner.profile.tool_ms)
                    self._calls.append((now_ns + takes_ns, action))
                case _:
                    told.append(action)
        return told


def _result(job: Job) -> str:
    if job.error:
        return f"{ERROR}{job.error}"
    if job.argv:
        return f"{ERROR}programs are not run in virtual time"
    return run_tool(job.name, job.arguments, job.view)
