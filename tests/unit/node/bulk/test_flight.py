"""A model that was uploaded flies only if it passes its self-test, and what flew before does again
whatever goes wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.bulk.flight import Flight
from node.engine.supervisor import EngineUp
from node.speed import Speed
from roundtrip.bulk.manifest import Canary
from roundtrip.bulk.wire import Have
from roundtrip.errors import BadConfig, BadModel, EnvironmentFault
from roundtrip.node_config import NodeConfig
from tests.unit.node.bulk.conftest import KEY, NODE

GIVEN = NodeConfig(model="given.gguf")
CONTENT = random.Random(1).randbytes(1000)


@dataclass
class Bay:
    """Loads what it is told, or fails as it is told."""

    fails: dict[str, BaseException] = field(default_factory=dict)
    """By what is done with a model that was uploaded: accept, load, test."""
    speed: float = 50.0
    config: NodeConfig | None = None
    model: Any = None
    loaded: list[str] = field(default_factory=list)

    def _may(self, what: str, config: NodeConfig | None) -> None:
        if config is not None and config != GIVEN and what in self.fails:
            raise self.fails[what]

    def accept(self, config: NodeConfig) -> None:
        self._may("accept", config)

    async def start(self, config: NodeConfig) -> EngineUp:
        self.config = config
        self.loaded.append(Path(config.model).parent.name or "given")
        speed = self.speed if config != GIVEN else 10.0
        return EngineUp(512, 1, 1, Speed(1.0, {1: 1e9 / speed}), 0, "")

    async def change(self, config: NodeConfig) -> EngineUp:
        self._may("accept", config)
        self.config = None
        self._may("load", config)
        return await self.start(config)

    async def test(self, canaries: tuple[Canary, ...], system: str) -> None:
        self._may("test", self.config)


class Scene:
    """A node's flight, that can be started anew."""

    def __init__(self, path: Path, bay: Bay) -> None:
        self.path, self.bay = path, bay
        self.said: list[str] = []
        self.told: list[Have] = []
        self.held: list[bool] = []
        self.busy_for = 0
        self.changes = 0

    async def start(self) -> None:
        self.flight = Flight(
            GIVEN, self.path / "node.sqlite", NODE, [KEY], self.bay, self, self.said.append
        )
        await self.bay.start(self.flight.accept())
        self.flight.begin(lambda error: self.said.append(repr(error)))
        await self.quiet()

    async def quiet(self) -> None:
        """Until nothing is under way."""
        done = asyncio.Event()
        self.flight._worker.submit(lambda: None, done.set)
        await done.wait()
        if self.flight._changing is not None:
            await self.flight._changing

    async def give(self, message: Any) -> None:
        self.flight.take(SimpleNamespace(message=message, bundle_id=None))
        await self.quiet()

    async def load(self, cargo: Any) -> None:
        for message in (cargo.offer, cargo.piece(0), cargo.piece(1)):
            await self.give(message)

    def taken(self, came: Any, reply: Have | None) -> None:
        if reply is not None:
            self.told.append(reply)

    def does(self, have: Have) -> None:
        self.told.append(have)

    def hold(self, held: bool) -> None:
        self.held.append(held)

    @property
    def busy(self) -> bool:
        self.busy_for -= 1
        return self.busy_for >= 0

    def changed(self, up: EngineUp) -> None:
        self.changes += 1

    @property
    def states(self) -> list[str]:
        return [have.state for have in self.told]


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Scene]:
    """Have a story told, with an event loop."""

    def told(story: Callable[[Scene], Any], **bay: Any) -> Scene:
        scene = Scene(tmp_path, Bay(**bay))

        async def whole() -> None:
            await scene.start()
            await story(scene)
            scene.flight.close()

        asyncio.run(whole())
        return scene

    return told


def test_what_passes_flies_and_is_confirmed(play, cargo) -> None:
    it = cargo(CONTENT, least_tok_s=20.0)

    async def story(scene: Scene) -> None:
        await scene.load(it)
        scene.busy_for = 2
        await scene.give(it.told("activate"))
        await scene.give(it.told("confirm"))
        scene.flight.close()
        await scene.start()

    scene = play(story)
    assert scene.states == ["taking", "taking", "whole", "trying", "trial", "active"]
    assert scene.told[-2].detail == "50 tokens/s"
    assert scene.bay.loaded == ["given", "a", "a"], "also when the node is started anew"
    assert (scene.held, scene.changes) == ([True, False], 1)
    assert any("was confirmed" in line for line in scene.said)


FAILURES: dict[str, dict[str, Any]] = {
    "another architecture": {"fails": {"accept": BadModel("model.gguf", "", "qwen3", "llama")}},
    "no room in memory": {"fails": {"accept": BadModel("model.gguf", "memory", "less", "more")}},
    "a draft that does not fit": {"fails": {"accept": BadConfig("node", "draft", "one", "none")}},
    "tensors that llama.cpp refuses": {"fails": {"load": BadModel("model.gguf", "", "x", "y")}},
    "a crash while it loads": {"fails": {"load": EnvironmentFault("engine", "SIGSEGV", "?")}},
    "an engine that never comes up": {"fails": {"load": EnvironmentFault("engine", "mute", "?")}},
    "a canary with another answer": {
        "fails": {"test": EnvironmentFault("canary 1", "No.", "Yes.")}
    },
    "a canary without an answer": {"fails": {"test": EnvironmentFault("canary 1", "mute", "Yes.")}},
    "too slow": {"speed": 19.0},
}


@pytest.mark.parametrize("kind", FAILURES)
def test_what_fails_its_self_test_is_rolled_back(play, cargo, kind: str) -> None:
    it = cargo(CONTENT, least_tok_s=20.0)

    async def story(scene: Scene) -> None:
        await scene.load(it)
        await scene.give(it.told("activate"))
        assert scene.bay.config == GIVEN
        scene.flight.close()
        await scene.start()

    scene = play(story, **FAILURES[kind])
    assert scene.states == ["taking", "taking", "whole", "trying", "rolled_back"]
    assert scene.told[-1].detail
    assert scene.bay.config == GIVEN
    assert scene.held[-1] is False
    refused_before_it_was_loaded = "accept" in FAILURES[kind].get("fails", {})
    assert scene.changes == (0 if refused_before_it_was_loaded else 1)


@pytest.mark.parametrize("kind", ["killed", "unconfirmed", "told so"])
def test_what_flies_on_trial_is_rolled_back(play, cargo, kind: str) -> None:
    it = cargo(CONTENT)

    async def story(scene: Scene) -> None:
        await scene.load(it)
        await scene.give(it.told("activate"))
        assert scene.bay.config != GIVEN
        if kind == "killed":
            scene.flight.close()
            await scene.start()
        elif kind == "unconfirmed":
            scene.flight.roll_back("nobody confirmed it in time")
            await scene.quiet()
        else:
            await scene.give(it.told("roll_back"))
        await scene.give(it.told("confirm"))

    scene = play(story)
    assert scene.states[4:] == ["trial", "rolled_back", "whole"]
    assert scene.bay.config == GIVEN


def test_a_node_whose_engine_is_a_server_takes_no_upload(tmp_path: Path, cargo) -> None:
    config = NodeConfig(engine="http://127.0.0.1:1")
    store = tmp_path / "node.sqlite"
    flight = Flight(config, store, NODE, [KEY], Bay(), Scene(tmp_path, Bay()), print)
    reply = flight._vault.take(cargo(CONTENT).offer).reply
    assert (reply.state, reply.detail) == ("refused", "a server answers here, with its own models")


def test_a_slot_whose_model_does_not_load_any_more_leaves_what_was_given(play, cargo) -> None:
    it = cargo(CONTENT)

    async def story(scene: Scene) -> None:
        await scene.load(it)
        await scene.give(it.told("activate"))
        await scene.give(it.told("confirm"))
        scene.bay.fails["accept"] = BadModel("model.gguf", "", "a model", "half of one")
        scene.flight.close()
        await scene.start()

    scene = play(story)
    assert scene.bay.config == GIVEN
    assert "what was uploaded to slot a does not fly" in scene.said[-1]
