"""The node's two processes: how soon the engine is ready, and what both cost while idle."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench.row import Row
from models.gguf.fit import fit
from models.gguf.inspect import inspect
from models.resolve import resolve
from node.engine.accept import MAX_SEQUENCES
from node.engine.supervisor import EngineConfig, EngineEvent, Supervisor
from node.engine.wire import Load
from node.scheduler import Job, Order
from roundtrip.message import GREEDY, Question
from roundtrip.node_config import NodeConfig

LARGE = "synth:qwen3-0.6b:Q4_K_M"
CONTEXT = 1024
HEAD = "You watch over a satellite and answer briefly and exactly from the telemetry. " * 20
IDLE_S = 20.0
ANY_PORT = "tcp://127.0.0.1:*"


def rows() -> list[Row]:
    """Cold start of the engine's process, and an idle node."""
    with tempfile.TemporaryDirectory() as name:
        ready_s, heads = asyncio.run(_starts(Path(name)))
        share, beside_mb = _idle(Path(name))
    return [
        Row(
            "cold start to ready, qwen3-0.6b, page cache warm, head restored",
            ready_s,
            "s",
            1.5,
            at_least=False,
            note=f"{heads} heads kept",
        ),
        Row("node idle, both processes: share of a core", share, "", 0.01, at_least=False),
        Row(
            "node idle, both processes: resident memory besides the model",
            beside_mb,
            "MB",
            120,
            at_least=False,
            note="less weights and KV cache, by the arithmetic of `models fit`",
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


def _idle(folder: Path) -> tuple[float, float]:
    """Share of a core and MB, with a relay and nobody who asks."""
    relay = _started("link_sim", "demo", "--ground", ANY_PORT, "--node", ANY_PORT)
    endpoint = json.loads(_line(relay, "{"))["node"]
    store = str(folder / "node.sqlite")
    node = _started("node", "--link", endpoint, "--store", store, "--plain")
    _line(node, "engine ready")
    found = [psutil.Process(node.pid), *psutil.Process(node.pid).children(recursive=True)]
    time.sleep(2.0)
    before_s = _busy_s(found)
    time.sleep(IDLE_S)
    share = (_busy_s(found) - before_s) / IDLE_S
    config = NodeConfig()
    needed = fit(inspect(resolve("builtin")), config.context * MAX_SEQUENCES)
    resident = sum(process.memory_info().rss for process in found)
    for process in (node, relay):
        process.terminate()
        process.communicate()
    return share, (resident - needed.weights_bytes - needed.kv_bytes) / 1e6


def _started(role: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", role, *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )


def _line(process: subprocess.Popen[str], holds: str) -> str:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if holds in line:
            return line
    raise RuntimeError("".join(said))


def _busy_s(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(one.user + one.system for one in times)
