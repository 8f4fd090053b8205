"""Limits that the kernel really enforces, on processes that want more than they may have."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from models.resolve import resolve
from node.body.cgroup import PREFIX, Enforcer, read_host
from node.body.limits import Host, Limits, Means
from node.engine.events import EngineDone
from node.engine.supervisor import EngineConfig, EngineDown, EngineEvent, Supervisor
from node.engine.wire import Load
from node.scheduler import Job, Order
from roundtrip.message import GREEDY, Question

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform != "linux", reason="limits are Linux's"),
]

MB = 1_000_000
GREEDY_CHILD = """
import sys
sys.stdin.read(1)
held = []
try:
    for _ in range(60):
        held.append(bytearray(10_000_000))
except MemoryError:
    print("MemoryError")
    sys.exit(7)
print("all of it")
"""
SIBLING = "import sys; sys.stdin.read(1); print('alive')"


def load(model: str) -> Load:
    return Load(model, 128, 1, 1, "f16", False, True, "", "")


def order() -> Order:
    question = Question(1, "Well?", "", 8, GREEDY, "off", 1000)
    return Order(Job(question, 0, 10**12), 8, False, 0, False, None)


def start(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


@pytest.fixture
def enforce() -> Iterator[Callable[..., Enforcer]]:
    """Makes an enforcer, and removes its groups whatever becomes of the test."""
    made: list[Enforcer] = []

    def make(
        limits: Limits, host: Host, report: Callable[[str], None] = lambda line: None
    ) -> Enforcer:
        made.append(Enforcer(limits, host, report))
        return made[-1]

    yield make
    for enforcer in made:
        enforcer.close()


def grouped() -> Host:
    """This machine; skips the test where it offers no writable group."""
    host = read_host()
    if host.v2 is None and "memory" not in host.v1:
        pytest.skip(f"no writable memory group here: {host.why_not}")
    return replace(host, scope=())


def test_a_child_over_its_memory_is_killed_and_its_sibling_lives(enforce) -> None:
    lines: list[str] = []
    enforcer = enforce(Limits(100 * MB), grouped(), lines.append)
    sibling, child = start(SIBLING), start(GREEDY_CHILD)
    try:
        enforcer.apply(child.pid)
        out, _ = child.communicate(b"x")
        assert child.returncode == -9
        assert out == b""
        assert sibling.communicate(b"x")[0].strip() == b"alive"
    finally:
        enforcer.close()
    assert "memory 100 MB: cgroup v" in lines[0]
    made = [folder.exists() for folder in enforcer.plan.folders]
    assert made == [False] * len(made), "left behind"


def test_without_a_group_the_child_gets_a_memory_error(enforce) -> None:
    enforcer = enforce(Limits(200 * MB), Host((0,)))
    sibling, child = start(SIBLING), start(GREEDY_CHILD)
    enforcer.apply(child.pid)
    out, _ = child.communicate(b"x")
    assert (child.returncode, out.strip()) == (7, b"MemoryError")
    assert sibling.communicate(b"x")[0].strip() == b"alive"
    enforcer.close()


def test_a_quota_slows_a_busy_child_down(enforce) -> None:
    host = read_host()
    if host.v2 is None and "cpu" not in host.v1:
        pytest.skip(f"no writable cpu group here: {host.why_not}")
    if len(host.cpus) < 2:
        pytest.skip("a quota below the machine needs two processors")
    enforcer = enforce(Limits(0, 0.2), replace(host, scope=()))
    busy = """
import sys, time
sys.stdin.read(1)
end = time.monotonic() + 2
while time.monotonic() < end: pass
print(time.process_time())
"""
    child = start(busy)
    try:
        enforcer.apply(child.pid)
        out, _ = child.communicate(b"x")
    finally:
        enforcer.close()
    assert 0.1 < float(out) < 0.9, "0.4 s of 2 s, and what the start took"


def test_without_a_group_the_child_is_kept_on_its_processors(enforce) -> None:
    cpus = tuple(sorted(os.sched_getaffinity(0)))
    if len(cpus) < 2:
        pytest.skip("one processor")
    enforcer = enforce(Limits(0, 1), Host(cpus))
    child = start("import os, sys; sys.stdin.read(1); print(len(os.sched_getaffinity(0)))")
    enforcer.apply(child.pid)
    assert child.communicate(b"x")[0].strip() == b"1"
    enforcer.close()


def test_a_real_engine_answers_within_its_limits(enforce) -> None:
    host = grouped()
    enforcer = enforce(Limits(400 * MB, 1), host)
    assert enforcer.plan.memory in (Means.V2, Means.V1)

    async def scene() -> list[EngineEvent]:
        events: list[EngineEvent] = []
        config = EngineConfig(load(str(resolve("tiny"))))
        supervisor = Supervisor(config, events.append, enforcer)
        await supervisor.start()
        procs = enforcer.plan.joins[0].read_text().split()
        assert procs == [str(supervisor.pid)]
        supervisor.infer(order())
        for _ in range(1000):
            if any(isinstance(e, EngineDone) for e in events):
                break
            await asyncio.sleep(0.01)
        await supervisor.close()
        return events

    events = asyncio.run(scene())
    enforcer.close()
    assert not any(isinstance(event, EngineDown) for event in events)
    assert any(isinstance(event, EngineDone) for event in events)


def test_an_engine_killed_for_memory_is_started_again_in_the_same_group(
    tmp_path: Path, enforce
) -> None:
    enforcer = enforce(Limits(120 * MB), grouped())
    program = tmp_path / "engine.py"
    program.write_text(
        """
import sys
from node.engine.wire import pack, read
load = read(sys.stdin.buffer)
sys.stdout.buffer.write(pack({"event": "ready", "context": 1, "sequences": 1, "threads": 1,
    "rss_peak_bytes": 1, "prefill_ns": 1.0, "step_ns": {1: 1.0}}))
sys.stdout.buffer.flush()
read(sys.stdin.buffer)
held = [bytearray(10_000_000) for _ in range(60)]
"""
    )

    async def scene() -> None:
        events: list[EngineEvent] = []
        config = EngineConfig(load("m"), (sys.executable, str(program)))
        supervisor = Supervisor(config, events.append, enforcer)
        await supervisor.start()
        supervisor.infer(order())
        for _ in range(1000):
            if len(events) == 2:
                break
            await asyncio.sleep(0.01)
        assert events[0] == EngineDown("SIGKILL", final=False)
        assert enforcer.plan.joins[0].read_text().split() == [str(supervisor.pid)]
        await supervisor.close()

    asyncio.run(scene())
    enforcer.close()
    assert not list(enforcer.plan.folders[0].parent.glob(f"{PREFIX}{os.getpid()}"))
