"""The node's processes as a whole: how soon they are ready, and what they cost while idle."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from bench.row import Row
from models.fit import fit
from models.inspect import inspect
from models.resolve import resolve
from node.engine_wire import Load
from node.scheduler import Job, Order
from node.supervisor import EngineConfig, EngineEvent, Supervisor
from roundtrip.message import GREEDY, Question

LARGE = "synth:qwen3-0.6b:Q4_K_M"
CONTEXT = 1024
HEAD = "You watch over a satellite and answer briefly and exactly from the telemetry. " * 20
IDLE_S = 20.0


def rows() -> list[Row]:
    """Cold start of the engine's process, and an idle one."""
    with tempfile.TemporaryDirectory() as name:
        ready_s, heads = asyncio.run(_starts(Path(name)))
        share, beside_mb = asyncio.run(_idle(Path(name)))
    return [
        Row(
            "cold start to ready, qwen3-0.6b, page cache warm, head restored",
            ready_s,
            "s",
            1.5,
            at_least=False,
            note=f"{heads} heads kept",
        ),
        Row("engine idle: share of a core", share, "", 0.01, at_least=False),
        Row(
            "engine idle: resident memory besides the model",
            beside_mb,
            "MB",
            120,
            at_least=False,
            note="less weights, KV cache and vocabulary, by the arithmetic of `models fit`",
        ),
    ]


def _load(model: str, folder: Path) -> Load:
    return Load(str(resolve(model)), CONTEXT, 2, 0, "f16", False, True, str(folder), "")


async def _starts(folder: Path) -> tuple[float, int]:
    """The first start measures and keeps a head; the later ones are timed."""
    took: list[float] = []
    for turn in range(4):
        done = asyncio.Event()

        def on_event(event: EngineEvent, done: asyncio.Event = done) -> None:
            if isinstance(event, dict) and event["event"] == "done":
                done.set()

        supervisor = Supervisor(EngineConfig(_load(LARGE, folder)), on_event)
        begin = time.perf_counter()
        await supervisor.start()
        if turn:
            took.append(time.perf_counter() - begin)
        question = Question(turn, "Is it well?", HEAD, 2, GREEDY, "off", 0)
        supervisor.infer(Order(Job(question, 0, 0), 2, False, 0, False, None))
        await done.wait()
        await supervisor.close()
    return statistics.median(took), len(list(folder.glob("*.state")))


async def _idle(folder: Path) -> tuple[float, float]:
    supervisor = Supervisor(EngineConfig(_load("builtin", folder)), lambda event: None)
    await supervisor.start()
    assert supervisor.pid is not None
    process = psutil.Process(supervisor.pid)
    before = process.cpu_times()
    await asyncio.sleep(IDLE_S)
    after = process.cpu_times()
    busy_s = (after.user + after.system) - (before.user + before.system)
    needed = fit(inspect(resolve("builtin")), CONTEXT * 2)
    model = needed.weights_bytes + needed.kv_bytes
    beside_mb = (process.memory_info().rss - model) / 1e6
    await supervisor.close()
    return busy_s / IDLE_S, beside_mb
