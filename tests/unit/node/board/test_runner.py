"""The errands of a live node: tools end with their question."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from node.board import runner as module
from node.board.errands import Errands
from node.board.runner import ErrandRunner
from node.board.view import Board
from node.engine.events import EngineDone, InferenceResult, ToolsCalled
from node.scheduler import Job, Order
from roundtrip.message import GREEDY, Question
from roundtrip.onboard import ToolsConfig
from roundtrip.tools import call_text


def order() -> Order:
    question = Question(7, "?", "", 64, GREEDY, "off", 60_000, tools=("passes.next",))
    return Order(Job(question, 0, 0), 64, False, 0, False, None)


CALL = EngineDone(7, 5, InferenceResult(call_text("passes.next", {}), "stop", 9, 4, 0))
ANSWER = EngineDone(7, 8, InferenceResult("Soon.", "stop", 9, 2, 0))


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch):
    """What was asked of the engine, what the machine was told, and how the tools ended."""

    def play(act: Callable[[ErrandRunner], None], *, hangs: bool) -> SimpleNamespace:
        it = SimpleNamespace(asked=[], told=[], ended=[])

        async def run_all(*_: Any) -> list[str]:
            try:
                await asyncio.sleep(60 if hangs else 0)
            except asyncio.CancelledError:
                it.ended.append("cancelled")
                raise
            it.ended.append("done")
            return ["no pass is known"]

        async def whole() -> None:
            errands = Errands(Board(None, None, context=99), ToolsConfig())
            runner = ErrandRunner(errands, lambda: 3, lambda *event: it.told.append(event))
            engine = SimpleNamespace(infer=it.asked.append, cut=it.asked.append)
            runner.begin(engine)
            runner.infer(order())
            runner.heard(CALL)
            await asyncio.sleep(0.01)
            act(runner)
            await asyncio.sleep(0.01)

        monkeypatch.setattr(module, "run_all", run_all)
        asyncio.run(whole())
        return it

    return play


def test_what_came_back_goes_to_the_engine_and_its_answer_to_the_machine(scene) -> None:
    it = scene(lambda runner: runner.heard(ANSWER), hangs=False)
    assert it.ended == ["done"]
    assert it.asked[1].rounds == ((CALL.result.text, ("no pass is known",)),)
    (called, by_engine), (event, by_its_engine) = it.told
    assert (called, by_engine) == (ToolsCalled(7, 3), False), "a time of the plan"
    assert (event.result.text, by_its_engine) == ("Soon.", True)


def test_a_question_that_is_cut_takes_its_tool_with_it(scene) -> None:
    it = scene(lambda runner: runner.cut(7), hangs=True)
    assert it.ended == ["cancelled"]
    ((event, by_engine),) = it.told
    assert (event.result.finish_reason, event.at_ns, by_engine) == ("deadline", 3, False)


def test_an_engine_that_died_takes_all_tools_with_it(scene) -> None:
    it = scene(lambda runner: runner.clear(), hangs=True)
    assert it.ended == ["cancelled"]
    assert it.told == []
