"""The link's promptness while the engine has all cores: a relay, and an engine that never rests."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from pathlib import Path

import numpy as np
import psutil

from bench.relay_speed import measure
from bench.row import Row
from models.resolve import resolve
from node.engine.supervisor import EngineConfig, EngineEvent, Supervisor
from node.engine.wire import Load
from node.scheduler import Job, Order
from roundtrip.message import GREEDY, Question
from roundtrip.units import NS_PER_MS

MODEL = "synth:qwen3-0.6b:Q4_K_M"
FRAMES_PER_S = 200
LENGTH_S = 10.0


def rows() -> list[Row]:
    """Delivery by the relay with the engine idle, and busy on all cores."""
    found: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as name, _Engine(Path(name)) as engine:
        for state in ("idle", "busy"):
            if state == "busy":
                engine.work()
            load = measure(FRAMES_PER_S, LENGTH_S)
            assert not load.lost, f"{load.lost} frames lost"
            found[state] = np.abs(load.errors_ns) / NS_PER_MS
    idle_ms, busy_ms = (float(np.percentile(found[state], 99)) for state in ("idle", "busy"))
    middle_ms = float(np.percentile(found["busy"], 50))
    return [
        Row(
            f"relay, engine busy on all cores: error of delivery, {FRAMES_PER_S} frames/s, p99",
            busy_ms,
            "ms",
            5,
            at_least=False,
            note=f"p50 {middle_ms:.2f} ms; engine idle: p99 {idle_ms:.2f} ms",
        )
    ]


class _Engine:
    """An engine process, run from a thread, that can be kept answering."""

    def __init__(self, folder: Path) -> None:
        threads = psutil.cpu_count(logical=False) or 1
        self._load = Load(
            str(resolve(MODEL)), 1024, 1, threads, "f16", False, False, str(folder), ""
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._supervisor = Supervisor(EngineConfig(self._load), self._on_event)
        self._count = 0

    def __enter__(self) -> _Engine:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._supervisor.start(), self._loop).result()
        return self

    def work(self) -> None:
        """Answer from now on, one long question after the other."""
        self._loop.call_soon_threadsafe(self._ask)

    def _ask(self) -> None:
        self._count += 1
        question = Question(self._count, "Go on.", "", 900, GREEDY, "off", 0)
        self._supervisor.infer(Order(Job(question, 0, 0), 900, False, 0, False, None))

    def _on_event(self, event: EngineEvent) -> None:
        if isinstance(event, dict) and event["event"] == "done":
            self._ask()

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._supervisor.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
