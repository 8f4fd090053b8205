"""The supervisor, with stand-ins for the engine's process that die in the ways engines do."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import resource
import signal
import sys
from pathlib import Path

import psutil
import pytest

from models.resolve import resolve
from node.engine.events import EngineDone, EngineMended, EngineRefused
from node.engine.supervisor import (
    MAX_FAILED_STARTS,
    EngineConfig,
    EngineDown,
    EngineEvent,
    EngineUp,
    Supervisor,
)
from node.engine.wire import Load
from node.scheduler import Job, Order
from roundtrip.errors import BadModel, EnvironmentFault
from roundtrip.message import GREEDY, Question

pytestmark = pytest.mark.live

STAND_IN = """
import os, signal, sys
from node.engine.wire import pack, read
load = read(sys.stdin.buffer)
def tell(**event):
    sys.stdout.buffer.write(pack(event)); sys.stdout.buffer.flush()
def die():
    os.kill(os.getpid(), signal.SIGSEGV)
{body}
"""
READY = (
    "tell(event='ready', context=512, sequences=2, threads=1, rss_peak_bytes=1,"
    " prefill_ns=1.0, step_ns={1: 1.0})"
)


def stand_in(folder: Path, body: str) -> tuple[str, ...]:
    path = folder / "engine.py"
    path.write_text(STAND_IN.format(body=body))
    return (sys.executable, str(path))


def order(question_id: int = 1, text: str = "Well?", schema: str = "", tokens: int = 8) -> Order:
    question = Question(question_id, text, "", tokens, GREEDY, "off", 1000, schema=schema)
    return Order(Job(question, 0, 10**12), tokens, False, 0, False, None)


def config(path: str, command: tuple[str, ...] | None = None, **changes) -> EngineConfig:
    load = Load(path, 512, 2, 1, "f16", False, True, "", "")
    if command is not None:
        changes["command"] = command
    return EngineConfig(load, **changes)


class Watch:
    """Collects events, and waits for one."""

    def __init__(self) -> None:
        self.events: list[EngineEvent] = []

    async def until(self, kind: type | EngineEvent) -> EngineEvent:
        for _ in range(1000):
            for event in self.events:
                if event == kind or (isinstance(kind, type) and isinstance(event, kind)):
                    return event
            await asyncio.sleep(0.01)
        raise AssertionError(f"no {kind} among {self.events}")


def test_a_build_that_crashes_in_the_self_test_runs_without_repacked_buffers(tmp_path) -> None:
    body = f"die() if load['use_extra_bufts'] else {READY}\nsys.stdin.buffer.read()"

    async def scene() -> None:
        settings = config("m.gguf", stand_in(tmp_path, body))
        supervisor = Supervisor(settings, lambda event: None)
        up = await supervisor.start()
        assert "SIGSEGV" in up.note
        assert "without AMX code" in up.note
        await supervisor.close()

    asyncio.run(scene())


def test_damaged_weights_are_told_and_a_wrong_probe_ends_the_engine(tmp_path) -> None:
    body = (
        f"{READY}\n"
        "tell(event='mended', tensor='blk.0.ffn_up.weight', source='m.gguf', again=2)\nsys.exit(3)"
    )

    async def scene() -> None:
        watch = Watch()
        supervisor = Supervisor(config("m.gguf", stand_in(tmp_path, body)), watch.events.append)
        await supervisor.start()
        down = await watch.until(EngineDown)
        assert isinstance(down, EngineDown)
        assert down.reason == "its probe question got another answer than at its start"
        assert watch.events[0] == EngineMended("blk.0.ffn_up.weight", "m.gguf", 2)
        await supervisor.close()

    asyncio.run(scene())


def test_an_engine_that_never_comes_up_is_an_environment_fault(tmp_path) -> None:
    for body in ("die()", "sys.exit(3)"):

        async def scene(body: str = body) -> None:
            settings = config("m.gguf", stand_in(tmp_path, body))
            with pytest.raises(EnvironmentFault):
                await Supervisor(settings, lambda event: None).start()

        asyncio.run(scene())


def test_an_engine_killed_at_its_first_start_is_not_taken_for_a_bad_build(tmp_path) -> None:
    body = "os.kill(os.getpid(), signal.SIGKILL)"

    async def scene() -> None:
        settings = config("m.gguf", stand_in(tmp_path, body))
        with pytest.raises(EnvironmentFault, match=r"SIGKILL.*out of memory"):
            await Supervisor(settings, lambda event: None).start()

    asyncio.run(scene())


def test_an_engine_that_cannot_be_started_again_is_given_up(tmp_path) -> None:
    program = tmp_path / "engine"
    program.write_text(
        f"#!{sys.executable}\n{STAND_IN.format(body=READY)}\nread(sys.stdin.buffer); die()"
    )
    program.chmod(0o755)

    async def scene() -> None:
        watch = Watch()
        supervisor = Supervisor(config("m.gguf", (str(program),)), watch.events.append)
        await supervisor.start()
        program.unlink()
        supervisor.infer(order())
        gone = EngineDown("cannot be started: No such file or directory", final=True)
        for _ in range(1000):
            if gone in watch.events:
                break
            await asyncio.sleep(0.01)
        assert watch.events[-1] == gone
        await supervisor.close()

    asyncio.run(scene())


def test_an_engine_that_dies_is_started_again_and_after_five_failures_given_up(tmp_path) -> None:
    once = tmp_path / "once"
    body = f"""
if os.path.exists({str(once)!r}): sys.exit(7)
open({str(once)!r}, 'w').close()
{READY}
read(sys.stdin.buffer); die()
"""

    async def scene() -> None:
        watch = Watch()
        settings = config("m.gguf", stand_in(tmp_path, body))
        supervisor = Supervisor(settings, watch.events.append)
        await supervisor.start()
        supervisor.infer(order())
        await watch.until(EngineDown("SIGSEGV", final=False))
        for _ in range(1000):
            if EngineDown("exit code 7", final=True) in watch.events:
                break
            await asyncio.sleep(0.01)
        assert watch.events[-1] == EngineDown("exit code 7", final=True)
        await supervisor.close()

    asyncio.run(scene())


def test_an_engine_that_comes_up_and_dies_at_once_is_given_up(tmp_path) -> None:
    async def scene() -> None:
        watch = Watch()
        settings = config("m.gguf", stand_in(tmp_path, f"{READY}; os.kill(os.getpid(), 35)"))
        supervisor = Supervisor(settings, watch.events.append)
        await supervisor.start()
        for _ in range(2000):
            if EngineDown("signal 35", final=True) in watch.events:
                break
            await asyncio.sleep(0.01)
        assert watch.events[-1] == EngineDown("signal 35", final=True)
        assert sum(isinstance(event, EngineUp) for event in watch.events) == 4
        await supervisor.close()

    asyncio.run(scene())


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("death", "silence_limit_s"), [("die()", 60.0), ("time.sleep(100)", 0.5)])
def test_no_number_of_jobs_that_kill_the_engine_makes_it_be_given_up(
    tmp_path, death, silence_limit_s
) -> None:
    body = f"import time\n{READY}\nread(sys.stdin.buffer)\n{death}"

    async def scene() -> None:
        watch = Watch()
        settings = config("m.gguf", stand_in(tmp_path, body), silence_limit_s=silence_limit_s)
        supervisor = Supervisor(settings, watch.events.append)
        up: EngineEvent = await supervisor.start()
        for number in range(1, MAX_FAILED_STARTS + 2):
            supervisor.infer(order(number))
            up = await watch.until(EngineUp)
            watch.events.clear()
            assert isinstance(up, EngineUp)
            assert up.restarts == number
        await supervisor.close()

    asyncio.run(scene())


HOSTILE = (
    {"type": "string", "maxLength": 20_000}, {"type": "array", "maxItems": 20_000},
    {"type": "string", "pattern": "^[a-z]{1,1000000}$"}, {"enum": ["\0"]},
    {"properties": {"a\0b": {"type": "integer"}}, "required": ["a\0b"]}, {"$ref": "#"},
    {"$defs": {"T": {"items": {"$ref": "#/$defs/T"}, "minItems": 1}}, "$ref": "#/$defs/T"}, [1],
    False,
)  # fmt: skip


def test_hostile_schemas_are_refused_by_the_real_engine_and_kill_nothing() -> None:
    async def scene() -> None:
        watch = Watch()
        supervisor = Supervisor(config(str(resolve("tiny"))), watch.events.append)
        await supervisor.start()
        for number, schema in enumerate(HOSTILE):
            supervisor.infer(order(number, schema=json.dumps(schema)))
            refused = await watch.until(EngineRefused)
            assert isinstance(refused, EngineRefused)
            assert (refused.question_id, refused.reason) == (number, "bad_schema")
            watch.events.clear()
        supervisor.infer(order(99, schema='{"const": "\\ud83d\\ude80\\n"}', tokens=40))
        done = await watch.until(EngineDone)
        assert isinstance(done, EngineDone)
        assert done.result.text == '"🚀\\n"'
        assert not any(isinstance(event, EngineDown) for event in watch.events)
        await supervisor.close()

    asyncio.run(scene())


def test_junk_among_the_states_does_not_stop_the_real_engine(tmp_path) -> None:
    async def scene() -> None:
        settings = config(str(resolve("tiny")))
        load = dataclasses.replace(settings.load, states=str(tmp_path), threads=0, max_threads=1)
        for _ in range(3):
            watch = Watch()
            supervisor = Supervisor(dataclasses.replace(settings, load=load), watch.events.append)
            await supervisor.start()
            supervisor.infer(order())
            await watch.until(EngineDone)
            await supervisor.close()
            (choice,) = tmp_path.glob("*.json")
            for name in ("plain-1-0", "flash-1-0"):
                (tmp_path / f"{choice.stem}-{name}.state").write_bytes(bytes(4))
                (tmp_path / f"{choice.stem}-{name}-x.state").unlink(missing_ok=True)
                (tmp_path / f"{choice.stem}-{name}-x.state").symlink_to("nowhere")
            choice.write_bytes(b"\xff[")

    asyncio.run(scene())


def test_the_real_engine_answers_and_answers_again_after_being_killed() -> None:
    async def scene() -> None:
        watch = Watch()
        supervisor = Supervisor(config(str(resolve("tiny"))), watch.events.append)
        up = await supervisor.start()
        assert (up.context, up.restarts) == (512, 0)
        supervisor.infer(order())
        first = await watch.until(EngineDone)
        watch.events.clear()
        assert supervisor.pid is not None
        os.kill(supervisor.pid, signal.SIGKILL)
        again = await watch.until(EngineUp)
        assert isinstance(again, EngineUp)
        assert again.restarts == 1
        supervisor.infer(order())
        second = await watch.until(EngineDone)
        assert isinstance(first, EngineDone)
        assert isinstance(second, EngineDone)
        assert first.result.text == second.result.text, "greedy"
        assert first.result.output_tokens == 8
        await supervisor.close()

    asyncio.run(scene())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_locked_model_is_locked_in_memory() -> None:
    path = resolve("tiny")
    if 0 <= resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] < 2 * path.stat().st_size:
        pytest.skip("this user may not lock so much")

    async def scene() -> None:
        unlocked = config(str(path)).load
        for lock in (False, True):
            settings = EngineConfig(dataclasses.replace(unlocked, lock=lock))
            supervisor = Supervisor(settings, lambda event: None)
            await supervisor.start()
            status = Path(f"/proc/{supervisor.pid}/status").read_text()
            (line,) = (line for line in status.splitlines() if line.startswith("VmLck"))
            assert (int(line.split()[1]) * 1024 > path.stat().st_size / 2) is lock
            await supervisor.close()

    asyncio.run(scene())


def test_a_prompt_longer_than_the_context_is_refused_and_the_engine_lives() -> None:
    async def scene() -> None:
        watch = Watch()
        supervisor = Supervisor(config(str(resolve("tiny"))), watch.events.append)
        await supervisor.start()
        supervisor.infer(order(1, "word " * 800))
        refused = await watch.until(EngineRefused)
        assert isinstance(refused, EngineRefused)
        assert refused.reason == "too_long"
        supervisor.infer(order(2))
        await watch.until(EngineDone)
        await supervisor.close()

    asyncio.run(scene())


def test_a_file_that_llama_cpp_refuses_is_a_bad_model(tmp_path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF" + b"\xff" * 100)

    async def scene() -> None:
        with pytest.raises(BadModel, match=r"x\.gguf"):
            await Supervisor(config(str(path)), lambda event: None).start()

    asyncio.run(scene())


def test_an_engine_that_hangs_is_killed_and_started_again(tmp_path) -> None:
    once = tmp_path / "once"
    body = f"""
import time
{READY}
if not os.path.exists({str(once)!r}):
    open({str(once)!r}, 'w').close()
    time.sleep(100)
while True:
    tell(event='alive'); time.sleep(0.05)
"""

    async def scene() -> None:
        watch = Watch()
        settings = config("m.gguf", stand_in(tmp_path, body), silence_limit_s=0.5)
        supervisor = Supervisor(settings, watch.events.append)
        await supervisor.start()
        await watch.until(EngineDown("silent for 0.5 s", final=False))
        await watch.until(EngineUp)
        await asyncio.sleep(1.0)
        assert supervisor.alive
        assert sum(isinstance(event, EngineDown) for event in watch.events) == 1
        await supervisor.close()

    asyncio.run(scene())


@pytest.mark.timeout(60)
def test_a_close_ends_an_engine_that_speaks_all_the_time(tmp_path) -> None:
    """The cancellation must not be lost to an event that comes at the same moment."""
    settings = config("m.gguf", stand_in(tmp_path, f"{READY}\nwhile True: tell(event='alive')"))

    async def scene() -> None:
        for _ in range(10):
            watch = Watch()
            supervisor = Supervisor(settings, watch.events.append)
            await supervisor.start()
            await asyncio.sleep(0.05)
            await supervisor.close()
            pid = supervisor.pid
            await asyncio.sleep(0.05)
            assert (watch.events, supervisor.pid) == ([], pid)

    asyncio.run(scene())


@pytest.mark.timeout(60)
def test_a_close_while_the_engine_is_started_again_ends(tmp_path) -> None:
    settings = config("m.gguf", stand_in(tmp_path, f"{READY}\nread(sys.stdin.buffer); die()"))

    async def scene() -> None:
        watch = Watch()
        supervisor = Supervisor(settings, watch.events.append)
        await supervisor.start()
        first = supervisor.pid
        supervisor.infer(order())
        while EngineDown("SIGSEGV", final=False) not in watch.events:
            await asyncio.sleep(0)
        await supervisor.close()
        assert supervisor.pid is not None
        assert supervisor.pid == first or not psutil.pid_exists(supervisor.pid)

    asyncio.run(scene())


def test_the_real_engine_says_that_it_is_alive_and_hangs_when_stopped() -> None:
    async def scene() -> None:
        watch = Watch()
        settings = config(str(resolve("tiny")), silence_limit_s=3.0)
        supervisor = Supervisor(settings, watch.events.append)
        await supervisor.start()
        await asyncio.sleep(4.0)
        assert watch.events == [], "idle, and alive"
        assert supervisor.pid is not None
        supervisor.infer(order())
        os.kill(supervisor.pid, signal.SIGSTOP)
        await watch.until(EngineDown("silent for 3 s", final=False))
        await watch.until(EngineUp)
        await supervisor.close()

    asyncio.run(scene())
