"""One engine at a time: loaded, tried, and changed for another."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from node.engine import bay as bays
from node.engine.bay import Bay, tokens_s
from node.engine.events import EngineDone, EngineRefused, InferenceResult
from node.engine.supervisor import EngineDown, EngineUp
from node.speed import Speed
from roundtrip.bulk.manifest import Canary
from roundtrip.errors import BadModel, EnvironmentFault
from roundtrip.node_config import NodeConfig

UP = EngineUp(512, 1, 1, Speed(1.0, {1: 1e9 / 40}), 0, "")


@dataclass
class Engines:
    """Stands for the supervisor: what was started, and what answers."""

    loaded: list[str] = field(default_factory=list)
    closed: int = 0
    answers: dict[str, Any] = field(default_factory=dict)
    on_event: Any = None
    enforcer: Any = None

    def __call__(self, config: Any, on_event: Any, enforcer: Any) -> Engines:
        self.loaded.append(config.load.path.rsplit("/")[-1])
        self.enforcer = enforcer
        self.on_event = on_event
        return self

    async def start(self) -> EngineUp:
        return UP

    async def close(self) -> None:
        self.closed += 1

    alive = True

    def infer(self, order: Any) -> None:
        question = order.job.question
        event = self.answers[question.text]
        if isinstance(event, str):
            result = InferenceResult(event, "stop", 1, 1, 0)
            event = EngineDone(question.question_id, 0, result)
        self.on_event(event)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    found = Engines()
    monkeypatch.setattr(bays, "Supervisor", found)
    return found


def play(story: Any) -> tuple[list[Any], list[str]]:
    heard: list[Any] = []
    said: list[str] = []

    async def whole() -> None:
        bay = Bay(heard.append, said.append)
        bay.accept(NodeConfig(model="tiny"))
        assert await bay.start(NodeConfig(model="tiny")) is UP
        await story(bay)

    asyncio.run(whole())
    return heard, said


def test_what_is_loaded_is_said_and_events_are_handed_on(engines: Engines) -> None:
    async def story(bay: Bay) -> None:
        engines.on_event("an event")
        assert bay.config == NodeConfig(model="tiny")
        await bay.stop()
        assert (bay.config, bay.supervisor, bay.alive) == (None, None, True)

    heard, said = play(story)
    assert heard == ["an event"]
    assert said == [f"loading {engines.loaded[0]} (Q8_0)"]
    assert engines.closed == 1


@pytest.mark.parametrize(("memory_mb", "limited"), [(0, False), (500, True)])
def test_what_has_limits_has_who_enforces_them(
    engines: Engines, memory_mb: int, limited: bool
) -> None:
    async def story(bay: Bay) -> None:
        await bay.change(NodeConfig(model="tiny", memory_mb=memory_mb))
        assert (engines.enforcer is not None) is limited
        assert engines.enforcer is bay.enforcer

    play(story)


def test_the_one_before_goes_first(engines: Engines) -> None:
    async def story(bay: Bay) -> None:
        assert await bay.change(NodeConfig(model="builtin")) is UP
        assert bay.model is not None
        assert bay.model.title == "groundloop telemetry triage"

    play(story)
    assert len(engines.loaded) == 2
    assert engines.closed == 1


def test_what_is_not_accepted_leaves_what_there_was(engines: Engines) -> None:
    async def story(bay: Bay) -> None:
        with pytest.raises(BadModel):
            await bay.change(NodeConfig(model="/none.gguf"))
        assert bay.model is not None
        assert bay.model.quantization == "Q8_0"

    play(story)
    assert engines.closed == 0


CANARIES = (Canary("one?", "1"), Canary("two?", "2"))


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("3", "canary 2: '3'; expected '2'"),
        (EngineRefused(1, "too_long", ""), "canary 2: 'too_long'; expected '2'"),
        (EngineDown("SIGSEGV", True), "canary 2: 'the engine died'; expected '2'"),
    ],
)
def test_a_canary_has_one_right_answer(engines: Engines, second: Any, said: str) -> None:
    engines.answers = {"one?": "1", "two?": second}

    async def story(bay: Bay) -> None:
        with pytest.raises(EnvironmentFault) as raised:
            await bay.test(CANARIES, "")
        assert str(raised.value) == said
        engines.on_event("after it")

    assert play(story)[0] == ["after it"], "and of the test itself nobody is told"


def test_canaries_that_are_right_say_nothing(engines: Engines) -> None:
    engines.answers = {"one?": "1", "two?": "2"}

    async def story(bay: Bay) -> None:
        await bay.test(CANARIES, "")

    assert play(story)[0] == []


def test_a_canary_that_nobody_answers_fails(engines: Engines, monkeypatch) -> None:
    engines.answers = {"one?": EngineDone(9, 0, InferenceResult("1", "stop", 1, 1, 0))}
    monkeypatch.setattr(bays, "CANARY_LIMIT_S", 0.05)

    async def story(bay: Bay) -> None:
        with pytest.raises(EnvironmentFault, match=r"canary 1: 'nothing in 0\.05 s'"):
            await bay.test(CANARIES, "")

    play(story)


def test_a_speed_is_that_of_one_answer() -> None:
    assert tokens_s(UP) == pytest.approx(40)
