"""Errands on the event heap."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from node.board.errand_engine import ErrandEngine
from node.board.errands import Errands
from node.board.view import Board, KnownPass
from node.engine.events import EngineDone, InferenceResult, JobEvent, ToolsCalled
from node.scheduler import Job, Order
from node.service_time import load_profile
from roundtrip.message import GREEDY, Question
from roundtrip.onboard import CommandConfig, ToolsConfig
from roundtrip.tools import call_text
from roundtrip.units import NS_PER_MS, NS_PER_S

PROFILE = load_profile("builtin").model_copy(update={"tool_ms": 40})


class Inner:
    """Answers at once with what it is told to."""

    profile = PROFILE
    mended, store_ns = 3, 7

    def __init__(self, *answers: str) -> None:
        self.answers = deque(answers)
        self.orders: list[Order] = []
        self.deadline = None

    def infer(self, order: Order, *, now_ns: int) -> Sequence[JobEvent]:
        self.orders.append(order)
        result = InferenceResult(self.answers.popleft(), "stop", 9, 4, 0)
        return [EngineDone(order.job.question.question_id, now_ns, result)]

    def cut(self, question_id: int, *, now_ns: int) -> Sequence[JobEvent]:
        return []

    def timeout(self, *, now_ns: int) -> Sequence[JobEvent]:
        return []

    def speed(self) -> Any:
        return "speed"

    def at_once(self) -> int:
        return 5


@pytest.fixture
def make():
    def made(*answers: str) -> SimpleNamespace:
        passes = [KnownPass("Berlin", 0, 400 * NS_PER_S, None)]
        hello = CommandConfig(name="say.hello", description="Says it.", argv=("/bin/echo",))
        tools = ToolsConfig(allow=("passes.next", "say.hello"), command=(hello,))
        inner = Inner(*answers)
        engine = ErrandEngine(inner, Errands(Board(None, None, passes, context=99), tools))
        return SimpleNamespace(inner=inner, engine=engine)

    return made


def order() -> Order:
    tools = ("passes.next", "say.hello")
    question = Question(7, "?", "", 64, GREEDY, "off", 60_000, tools=tools)
    return Order(Job(question, 0, 0), 64, False, 0, False, None)


def test_a_call_takes_the_profiles_time(make) -> None:
    it = make(call_text("passes.next", {}), "Soon.")
    assert it.engine.infer(order(), now_ns=1000) == []
    assert it.engine.deadline == (1000 + 40 * NS_PER_MS, "tool")
    assert it.engine.timeout(now_ns=999 + 40 * NS_PER_MS) == []
    called, done = it.engine.timeout(now_ns=1000 + 40 * NS_PER_MS)
    assert called == ToolsCalled(7, 1000 + 40 * NS_PER_MS)
    assert done.result.text == "Soon."
    came = ("over Berlin, LOS in 6 min",)
    assert it.inner.orders[1].rounds == ((call_text("passes.next", {}), came),)
    assert it.engine.deadline is None


def test_programs_are_not_run(make) -> None:
    it = make(call_text("say.hello", {}), "No.")
    it.engine.infer(order(), now_ns=0)
    it.engine.timeout(now_ns=NS_PER_S)
    ((_, results),) = it.inner.orders[1].rounds
    assert results == ("error: programs are not run in virtual time",)


def test_a_job_may_be_cut_while_a_tool_runs(make) -> None:
    it = make(call_text("passes.next", {}))
    it.engine.infer(order(), now_ns=0)
    (done,) = it.engine.cut(7, now_ns=5)
    assert done.result.finish_reason == "deadline"
    assert it.engine.timeout(now_ns=NS_PER_S) == []


def test_all_else_is_the_engines(make) -> None:
    engine = make().engine
    assert (engine.profile, engine.mended, engine.store_ns) == (PROFILE, 3, 7)
    assert (engine.speed(), engine.at_once()) == ("speed", 5)
