"""What the node's process says and remembers, without an engine and without a link."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from node.board.view import Board
from node.body.thermal import Level
from node.engine.events import EngineDone, EngineStarted, InferenceResult
from node.engine.supervisor import EngineDown, EngineUp
from node.run_config import NodeRunConfig
from node.service import NodeService, _own_rss_peak_bytes
from node.speed import Speed
from node.store import NodeStore
from roundtrip.anchor import Anchor, Reading
from roundtrip.drive import clock
from roundtrip.drive.udp import UdpLink
from roundtrip.errors import EnvironmentFault
from roundtrip.modem import Hello
from roundtrip.node_config import NodeConfig
from roundtrip.transport import MAX_REASONS, NO_DATE
from tests.unit.node.conftest import CUE

UP = EngineUp(512, 2, 1, Speed(1.0, {1: 1.0}), 1, "")


@pytest.fixture
def config(tmp_path: Path) -> NodeRunConfig:
    return NodeRunConfig(
        NodeConfig(model="tiny"),
        "tcp://x",
        UdpLink(":0"),
        tmp_path / "node.sqlite",
        link_limit_s=None,
        security=None,
        plan=None,
        battery=lambda: None,
        signing=(b"key",),
        board=lambda doing, keep: Board(None, None, context=64),
    )


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def service(config: NodeRunConfig, said: list[str]) -> NodeService:
    return NodeService(config, said.append)


def test_a_store_that_cannot_be_opened_is_said_whatever_is_not_there_yet(
    config: NodeRunConfig, said: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    service = NodeService(replace(config, store_path=tmp_path / "file" / "s"), said.append)
    with pytest.raises(EnvironmentFault, match="file"):
        asyncio.run(service.run(lifeline=False))
    assert said == []


def test_what_is_not_taken_is_said_once_with_the_remedy(
    service: NodeService, said: list[str]
) -> None:
    for reason in ("expired by our clock", "expired by our clock", "message: [/red] x"):
        service.rejected(reason)
    first, second = said
    assert first.startswith("node: not taken: expired by our clock; set both")
    assert second == "node: not taken: message: [/red] x"


def test_a_peer_that_words_reasons_without_end_fills_neither_memory_nor_screen(
    service: NodeService, said: list[str]
) -> None:
    for number in range(1000):
        service.rejected(f"message: {number}")
    assert len(said) == len(service._rejected) == MAX_REASONS


def test_a_grounds_clock_is_said(service: NodeService, said: list[str]) -> None:
    service.clocks_differ(86_400_000 * 9)
    assert said[0].startswith("node: the ground's clock is 9 days ahead of this machine's; set")


@pytest.mark.parametrize(
    ("epoch_ms", "date_ms", "words"),
    [
        (20_000, 23_000, []),
        (20_000, 8_000, ["node: the ground's clock is 15 s ahead"]),
        (20_000, 28_001, ["node: the ground's clock is 5 s behind"]),
        (0, 20_000, []),
    ],
)
def test_a_run_whose_date_is_another_is_said(
    service: NodeService, said: list[str], monkeypatch: pytest.MonkeyPatch,
    epoch_ms: int, date_ms: int, words: list[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(clock, "reading", lambda: Reading("here", 0, date_ms))
    service._compare_clocks(replace(CUE, dtn_epoch_ms=epoch_ms, elapsed_ns=3_000_000_000))
    assert [line[: len(words[0])] for line in said] == words


def test_an_engine_that_is_up_again_is_the_one_that_a_next_run_gets(
    service: NodeService, said: list[str]
) -> None:
    service._engine_event(EngineDown("SIGKILL", final=False))
    assert (service._up, service._gone) == (None, None)
    service._engine_event(UP)
    assert (service._up, service._gone) == (UP, None)
    gone = EngineDown("no memory", final=True)
    service._engine_event(gone)
    assert (service._up, service._gone) == (None, gone)
    assert said == ["node: the engine died: SIGKILL", "node: the engine died: no memory, for good"]


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (UP, [("engine_up", {})]),
        (EngineDown("no memory", final=True), [("engine_down", {"final": True})]),
        (EngineDown("SIGKILL", final=False), []),
    ],
)
def test_a_run_that_begins_is_told_how_the_engine_is(
    service: NodeService, config: NodeRunConfig, monkeypatch: pytest.MonkeyPatch,
    event: Any, told: list[Any],
) -> None:  # fmt: skip
    commands: list[Any] = []

    class Recorder:
        def __init__(self, at: object, name: str, machine: Any, perform: object) -> None:
            self.machine = machine

        def call(self, command: Any, *_: object, **how: Any) -> None:
            commands.append((command.__name__, how))

    monkeypatch.setattr("node.service.Actor", Recorder)
    monkeypatch.setattr("node.service.RealtimeClock", lambda origin_ns: None)
    monkeypatch.setattr(service, "_health", lambda up: None)
    service._store = NodeStore(config.store_path)
    service._engine_event(event)
    service._begin(replace(CUE, run_id=3))
    service._store.close()
    assert [one for one in commands if one[0].startswith("engine")] == told


def test_the_memory_of_an_answer_is_the_engines_and_ours(
    service: NodeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    at = SimpleNamespace(now_ns=lambda: 0)
    actor = SimpleNamespace(machine=None, call=told.append, clock=at)
    monkeypatch.setattr(service, "_actor", actor)
    monkeypatch.setattr("node.service.command_of", lambda event, machine, origin_ns: event)
    monkeypatch.setattr("node.service._own_rss_peak_bytes", lambda: 1000)
    done = EngineDone(1, 5, InferenceResult("Yes.", "stop", 9, 3, 20))
    for event in (EngineStarted(1, 3), done):
        service._engine_event(event)
    assert told == [
        EngineStarted(1, 3),
        replace(done, result=replace(done.result, rss_peak_bytes=1020)),
    ]


@pytest.mark.parametrize(
    ("level", "threads", "paused", "words"),
    [
        (Level.FULL, 4, False, "cool again: full"),
        (Level.REDUCED, 2, False, "too hot: reduced"),
        (Level.PAUSED, None, True, "too hot: paused"),
    ],
)
def test_heat_leaves_the_engine_fewer_threads_or_none(
    service: NodeService, said: list[str], monkeypatch: pytest.MonkeyPatch,
    level: Level, threads: int | None, paused: bool, words: str,
) -> None:  # fmt: skip
    set_to: list[int] = []
    told: list[Any] = []
    supervisor = SimpleNamespace(set_threads=set_to.append)
    monkeypatch.setattr(service._bay, "supervisor", supervisor)
    policy = SimpleNamespace(threads=lambda most: threads or 0, level=level)
    monkeypatch.setattr(service, "_policy", policy)
    machine = SimpleNamespace(pause="pause")
    monkeypatch.setattr(
        service, "_actor", SimpleNamespace(machine=machine, call=lambda *call: told.append(call))
    )
    service._temperature_level(level)
    assert said == [f"node: the processor is {words}"]
    assert (set_to, told) == ([threads] if threads else [], [("pause", paused)])


def hello(run: NodeRunConfig, said: list[str], anchor: Anchor | None = None) -> Hello:
    """How a node greets that has its store only, which may hold a clock."""
    service = NodeService(run, said.append)
    service._store = NodeStore(run.store_path)
    if anchor is not None:
        service._store.keep_anchor(anchor)
    try:
        return service._hello()
    finally:
        service._store.close()


def test_without_a_modem_the_node_tells_the_time_as_far_as_it_knows_it(
    config: NodeRunConfig, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "reading", lambda: Reading("here", 7_000_000_000, 20_000))
    by_udp = replace(config, endpoint="udp://127.0.0.1")
    assert hello(config, said) == Hello(None, None)
    assert hello(by_udp, said) == Hello(None, 0, 20_000)
    assert hello(replace(by_udp, trusted_clock=False), said) == Hello(None, 0, 0)
    before = Anchor("here", 4_000_000_000, 17_000)
    assert hello(by_udp, said, before) == Hello(None, 3_000_000_000, 17_000)
    assert said == []
    set_since = replace(before, epoch_ms=99_000)
    assert hello(by_udp, said, set_since) == Hello(None, 3_000_000_000, 17_000)
    assert said[0].startswith("node: this machine's clock was set back")


def test_a_date_before_2000_is_said_where_it_is_believed(
    config: NodeRunConfig, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "reading", lambda: Reading("here", 7_000_000_000, 0))
    by_udp = replace(config, endpoint="udp://127.0.0.1")
    hello(replace(by_udp, trusted_clock=False), said)
    assert said == []
    hello(by_udp, said)
    assert said == [f"node: {NO_DATE}"]


def test_the_nodes_own_memory_is_in_bytes() -> None:
    resident = psutil.Process().memory_info().rss
    assert resident / 2 < _own_rss_peak_bytes() < 20 * resident
