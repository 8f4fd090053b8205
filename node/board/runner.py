"""The errands of a live node: what they ask of the engine, and their tools in child processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from node.board.errands import Action, Ask, Cut, Errands, RunTools
from node.board.sandbox import run_all
from node.engine.events import JobEvent
from node.engine.supervisor import Supervisor
from node.scheduler import Order
from roundtrip.drive.realtime import background

Tell = Callable[[JobEvent, bool], None]
"""Given an event, and whether its times are the engine's (CLOCK_MONOTONIC) or the plan's."""


class ErrandRunner:
    """Carries out the errands of one node.

    Args:
        errands: what is needed besides the engine.
        now_ns: the plan's clock.
        tell: told of what the machine should know.
    """

    def __init__(self, errands: Errands, now_ns: Callable[[], int], tell: Tell) -> None:
        self._errands = errands
        self._now_ns = now_ns
        self._tell = tell
        self._supervisor: Supervisor | None = None
        self._running: dict[int, asyncio.Task[None]] = {}
        """Of each question's tools."""

    def begin(self, supervisor: Supervisor) -> None:
        """From now on there is an engine."""
        self._supervisor = supervisor

    def infer(self, order: Order) -> None:
        """The machine starts a job."""
        self._act(self._errands.begin(order, now_ns=self._now_ns()))

    def cut(self, question_id: int) -> None:
        """The machine ends a job, and its tools with it."""
        if question_id in self._running:
            self._running.pop(question_id).cancel()
        self._act(self._errands.cut(question_id, now_ns=self._now_ns()))

    def heard(self, event: JobEvent) -> None:
        """The engine says something of a job."""
        self._act(self._errands.heard(event, now_ns=self._now_ns()), by_engine=True)

    def clear(self) -> None:
        """Whatever was under way is gone."""
        self._errands.clear()
        for task in self._running.values():
            task.cancel()
        self._running.clear()

    def _act(self, actions: Sequence[Action], *, by_engine: bool = False) -> None:
        for action in actions:
            match action:
                case Ask(order=order):
                    assert self._supervisor is not None
                    self._supervisor.infer(order)
                case Cut(question_id=question_id):
                    assert self._supervisor is not None
                    self._supervisor.cut(question_id)
                case RunTools(question_id=question_id):
                    self._running[question_id] = background(self._run(action))
                case _:
                    self._tell(action, by_engine)

    async def _run(self, run: RunTools) -> None:
        results = await run_all(run.jobs, run.limit_ns, run.max_bytes)
        del self._running[run.question_id]
        now_ns = self._now_ns()
        self._act(self._errands.called(run.question_id, run.round, results, now_ns=now_ns))
