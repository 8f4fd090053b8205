"""A model that was uploaded flies only if it passes its self-test, and what flew before does again
whatever goes wrong."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.bulk.flight import Flight
from node.bulk.shelf import SPARE_BYTES
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
    """By what is done with what was uploaded: accept, load, test."""
    good: list[NodeConfig] = field(default_factory=lambda: [GIVEN])
    """They do not fail."""
    speed: float = 50.0
    config: NodeConfig | None = None
    model: Any = None
    loaded: list[str] = field(default_factory=list)

    def _may(self, what: str, config: NodeConfig | None) -> None:
        if config is not None and config not in self.good and what in self.fails:
            raise self.fails[what]

    def accept(self, config: NodeConfig) -> None:
        self._may("accept", config)

    async def start(self, config: NodeConfig) -> EngineUp:
        self.config = config
        self.loaded.append(Path(config.model).parent.name or "given")
        speed = self.speed if config not in self.good else 10.0
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


def test_each_kind_is_a_setting_of_the_node(play, cargo) -> None:
    kinds = {"model": CONTENT, "adapter": b"a" * 99, "prompt": b"You.", "document": b"So."}

    async def story(scene: Scene) -> None:
        for kind, content in kinds.items():
            it = cargo(content, kind=kind)
            await scene.load(it)
            await scene.give(it.told("activate"))
            await scene.give(it.told("confirm"))

    scene = play(story)
    config = scene.bay.config
    for name, content in zip(
        ("model", "adapter", "system", "document"), kinds.values(), strict=True
    ):
        assert Path(getattr(config, name)).read_bytes() == content


def test_an_adapter_that_was_given_is_not_for_a_model_that_was_uploaded(tmp_path: Path) -> None:
    given = NodeConfig(model="given.gguf", adapter="given-adapter.gguf")
    flight = Flight(given, tmp_path / "n.sqlite", NODE, [KEY], Bay(), Scene(tmp_path, Bay()), print)
    assert flight.config_of({"model": "a"}).adapter == ""
    assert flight.config_of({"prompt": "prompt-a"}).adapter == "given-adapter.gguf"
    assert flight.config_of({"adapter": "adapter-a", "model": "a"}).adapter.endswith("-a/file")


def test_the_death_of_an_engine_is_no_roll_back_where_nothing_is_on_trial(play, cargo) -> None:
    it = cargo(CONTENT)

    async def story(scene: Scene) -> None:
        assert not scene.flight.died("SIGSEGV")
        await scene.load(it)
        await scene.give(it.told("activate"))
        await scene.give(it.told("confirm"))
        assert not scene.flight.died("SIGSEGV")

    assert play(story).states[-1] == "active"


SEEDS = int(os.environ.get("GROUNDLOOP_SEEDS", "8"))
ON_TRIAL = ("killed", "unconfirmed", "told so", "the engine dies for good")


class Story:
    """Up to three uploads are confirmed, of any kind, with restarts in between; the next fails."""

    def __init__(self, path: Path, cargo: Callable[..., Any], kind: str, seed: int) -> None:
        self.scene = Scene(path, Bay())
        self.scene.path.mkdir()
        self._cargo, self._kind, self._rng = cargo, kind, random.Random(seed)

    async def _restarted(self) -> None:
        self.scene.flight.close()
        await self.scene.start()

    async def _brought(self, **changes: Any) -> Any:
        rng, scene = self._rng, self.scene
        of = rng.choice(("model", "adapter", "prompt", "document"))
        it = self._cargo(rng.randbytes(rng.randrange(1, 2000)), kind=of, **changes)
        await scene.load(it)
        scene.busy_for = rng.randrange(2)
        await scene.give(it.told("activate"))
        return it

    async def told(self) -> None:
        rng, scene, bay, kind = self._rng, self.scene, self.scene.bay, self._kind
        await scene.start()
        for _ in range(rng.randrange(4)):
            it = await self._brought()
            await scene.give(it.told("confirm"))
            bay.good = [GIVEN, bay.config]
            if rng.random() < 0.3:
                await self._restarted()
        before, flying = bay.config, scene.flight._vault.flying
        for name, value in FAILURES.get(kind, {}).items():
            setattr(bay, name, value)
        it = await self._brought(least_tok_s=20.0)
        if kind == "killed":
            await self._restarted()
        elif kind == "unconfirmed":
            scene.flight.roll_back("nobody confirmed it in time")
        elif kind == "told so":
            await scene.give(it.told("roll_back"))
        elif kind == "the engine dies for good":
            assert scene.flight.died("SIGSEGV")
        await scene.quiet()
        await scene.give(it.told("confirm"))
        for _ in range(2):
            assert (bay.config, scene.flight._vault.flying) == (before, flying)
            assert scene.flight._vault.trial is None
            await self._restarted()
        scene.flight.close()


@pytest.mark.parametrize("kind", [*FAILURES, *ON_TRIAL])
def test_whatever_flew_before_does_again(
    tmp_path: Path, cargo, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """`GROUNDLOOP_SEEDS=100 pytest` takes a minute."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda _: None)  # no power is lost here
    monkeypatch.setattr("node.bulk.flight.QUIET_S", 0)
    for seed in range(SEEDS):
        story = Story(tmp_path / str(seed), cargo, kind, seed)
        asyncio.run(story.told())
        assert "rolled_back" in story.scene.states
        assert story.scene.held[-1:] in ([], [False])


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
    assert "what was uploaded does not fly: " in scene.said[-1]


def test_the_room_for_uploads_is_what_the_disk_has_beyond_a_reserve(tmp_path, monkeypatch) -> None:
    given = NodeConfig(model="given.gguf", memory_mb=700)
    flight = Flight(given, tmp_path / "n.sqlite", NODE, [KEY], Bay(), Scene(tmp_path, Bay()), print)
    assert flight.memory_bytes == 700_000_000

    def disk(free: int) -> None:
        usage = SimpleNamespace(free=free)
        monkeypatch.setattr("node.bulk.shelf.shutil.disk_usage", lambda path: usage)

    disk(SPARE_BYTES + 5_999_999)
    assert flight.room_mb == 5
    disk(SPARE_BYTES - 1)
    assert flight.room_mb == 0

    def gone(path: Path) -> None:
        raise OSError("gone")

    monkeypatch.setattr("node.bulk.shelf.shutil.disk_usage", gone)
    assert flight.room_mb is None, "a beacon without it"
