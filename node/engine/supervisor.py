"""Starts the engine's process, watches it, and starts it again when it dies.

A crash during the very first self-test, by a signal of the processor's, is taken for a llama.cpp
build whose AMX code is broken: the engine is started again without the repacked buffers, and the
supervisor says so.

An engine that dies over a job is started again however often that happens: what its jobs come to
is for the node to say. Only starts that fail one after another, and deaths of an engine that had
nothing to do, count towards giving it up.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cbor2

from node.body.cgroup import Enforcer
from node.engine.events import EngineMended, JobEvent
from node.engine.wire import (
    EXIT_NOT_FINITE,
    EXIT_PROBE_FAILED,
    EXIT_SERVER_GONE,
    LENGTH_BYTES,
    MAX_BYTES,
    Load,
    infer,
    job_event,
    load,
    mended,
    pack,
)
from node.scheduler import Order
from node.speed import Speed
from roundtrip.drive.clock import monotonic_ns
from roundtrip.drive.realtime import background
from roundtrip.errors import BadModel, EnvironmentFault

CRASHES = (signal.SIGILL, signal.SIGSEGV, signal.SIGFPE, signal.SIGBUS, signal.SIGABRT)
HTTP_CHILD = (sys.executable, "-m", "node.engine.http_child")
"""The process that speaks to a server, where one does the inference."""
CANNOT = (
    "it keeps no prompt heads for us, its thinking is not ended after so many tokens, and an "
    "answer that is cut is what was streamed"
)
REMEDY = "Install it without AMX code: README.md, With pip"
MAX_FAILED_STARTS = 5
FIRST_BACKOFF_S = 0.1
START_LIMIT_S = 600.0
SILENCE_LIMIT_S = 60.0
"""An engine that says nothing for so long hangs; it is `alive` once a second, between two decodes,
and no decode takes nearly that long."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What the engine is to load."""

    load: Load
    command: tuple[str, ...] = (sys.executable, "-m", "node.engine.child")
    """The engine's process."""
    silence_limit_s: float = SILENCE_LIMIT_S


@dataclass(frozen=True, slots=True)
class EngineUp:
    """The engine is ready."""

    context: int
    sequences: int
    """Questions at once."""
    threads: int
    speed: Speed
    restarts: int
    note: str
    """What the operator should know of how it runs; empty when nothing."""
    model: str = ""
    """That a server answers with; empty where it is the one that was loaded."""


@dataclass(frozen=True, slots=True)
class EngineDown:
    """The engine died."""

    reason: str
    final: bool
    """It will not be started again."""


EngineEvent = EngineUp | EngineDown | EngineMended | JobEvent


class Supervisor:
    """Keeps one engine process running.

    Args:
        config: what to load.
        on_event: told of everything the engine does.
        enforcer: keeps the process within its limits; None for no limits.
    """

    def __init__(
        self,
        config: EngineConfig,
        on_event: Callable[[EngineEvent], None],
        enforcer: Enforcer | None = None,
    ) -> None:
        self._config = config
        self._on_event = on_event
        self._enforcer = enforcer
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._loading = False
        self._has_had_work = False
        """This process was given a job."""
        self._heard_ns = 0
        self._extra_bufts = True
        self._restarts = 0
        self._note = ""

    @property
    def pid(self) -> int | None:
        """Of the engine's process, while there is one."""
        return self._process.pid if self._process is not None else None

    @property
    def alive(self) -> bool:
        """The engine loads, or has said something not long ago."""
        limit_ns = self._config.silence_limit_s * 1e9
        return self._loading or monotonic_ns() - self._heard_ns < limit_ns

    def set_threads(self, threads: int) -> None:
        """Have the engine use so many threads, from its next question on."""
        self._config = replace(self._config, load=replace(self._config.load, threads=threads))
        self._tell({"op": "threads", "id": 0, "threads": threads})

    async def start(self) -> EngineUp:
        """Start the engine for the first time.

        Raises:
            BadModel: the model cannot be loaded.
            EnvironmentFault: the engine does not come up.
        """
        try:
            up = await self._spawn()
        except _Died as death:
            if death.signal_number not in CRASHES:
                raise EnvironmentFault(
                    "engine", death.reason, _remedy(death.signal_number)
                ) from None
            self._extra_bufts = False
            self._note = (
                f"the engine died by {death.reason} in its self-test; it runs without llama.cpp's "
                f"repacked weight buffers now (slower). {REMEDY}."
            )
            try:
                up = await self._spawn()
            except _Died as again:
                raise EnvironmentFault(
                    "engine", again.reason, f"is llama-cpp-python whole? {REMEDY}"
                ) from None
        self._watch = background(self._keep_running())
        return up

    def infer(self, order: Order) -> None:
        """Have the engine answer; it must be up."""
        self._has_had_work = True
        self._tell(infer(order))

    def cut(self, question_id: int) -> None:
        """Have the engine end an answer now, with what there is of it."""
        self._tell({"op": "cut", "id": question_id})

    def _tell(self, request: dict[str, Any]) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(pack(request))

    async def _spawn(self) -> EngineUp:
        await self._kill()
        self._loading, self._has_had_work = True, False
        prefix = self._enforcer.prefix if self._enforcer is not None else ()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *prefix,
                *self._config.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | {"GGML_NO_BACKTRACE": "1"},
            )
        except OSError as error:
            raise _Died(None, f"cannot be started: {error.strerror}") from None
        assert self._process.stdin is not None
        if self._enforcer is not None:
            self._enforcer.apply(self._process.pid)
        what = replace(self._config.load, use_extra_bufts=self._extra_bufts)
        self._process.stdin.write(pack(load(what)))
        try:
            async with asyncio.timeout(START_LIMIT_S):
                event = await self._next_event()
        except TimeoutError:
            await self._kill()
            raise _Died(None, f"silent for {START_LIMIT_S:g} s at start") from None
        self._loading = False
        self._heard_ns = monotonic_ns()
        if event["event"] == "bad_model":
            await self._kill()
            raise BadModel(self._config.load.path, event["key"], event["expected"], event["found"])
        if self._enforcer is not None:
            self._enforcer.check(self._process.pid)
        return EngineUp(
            event["context"],
            event["sequences"],
            event["threads"],
            Speed(event["prefill_ns"], event["step_ns"]),
            self._restarts,
            self._note,
            event.get("model", ""),
        )

    async def _next_event(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        stream = self._process.stdout
        try:
            head = await stream.readexactly(LENGTH_BYTES)
            size = int.from_bytes(head, "big")
            if size > MAX_BYTES:
                raise _Died(None, "wrote something that is no event")
            event: dict[str, Any] = cbor2.loads(await stream.readexactly(size))
        except cbor2.CBORDecodeError:
            raise _Died(None, "wrote something that is no event") from None
        except asyncio.IncompleteReadError:
            code = await self._process.wait()
            raise _Died(-code if code < 0 else None, _how(code)) from None
        return event

    async def _next_event_in_time(self) -> dict[str, Any]:
        limit_s = self._config.silence_limit_s
        try:
            async with asyncio.timeout(limit_s):
                return await self._next_event()
        except TimeoutError:
            await self._kill()
            raise _Died(None, f"silent for {limit_s:g} s") from None

    async def _keep_running(self) -> None:
        failed_starts = 0
        while True:
            useful = False
            try:
                while True:
                    event = await self._next_event_in_time()
                    self._heard_ns = monotonic_ns()
                    useful = True
                    if event["event"] == "mended":
                        self._on_event(mended(event))
                    elif event["event"] != "alive":
                        self._on_event(job_event(event))
            except _Died as death:
                reason = death.reason
            failed_starts = 0 if useful or self._has_had_work else failed_starts + 1
            if failed_starts >= MAX_FAILED_STARTS:
                self._on_event(EngineDown(reason, final=True))
                return
            self._on_event(EngineDown(reason, final=False))
            if failed_starts:
                await asyncio.sleep(FIRST_BACKOFF_S * 2**failed_starts)
            while True:
                try:
                    self._restarts += 1
                    self._on_event(await self._spawn())
                    break
                except (_Died, BadModel) as error:
                    failed_starts += 1
                    reason = str(error)
                if failed_starts >= MAX_FAILED_STARTS:
                    self._on_event(EngineDown(reason, final=True))
                    return
                await asyncio.sleep(FIRST_BACKOFF_S * 2**failed_starts)

    async def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()  # its death is known only once its pipe is empty

    async def close(self) -> None:
        """End the engine's process."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        await self._kill()


class _Died(Exception):
    def __init__(self, signal_number: int | None, reason: str) -> None:
        self.signal_number = signal_number
        self.reason = reason
        super().__init__(reason)


def _remedy(signal_number: int | None) -> str:
    if signal_number == signal.SIGKILL:
        return "the system may be out of memory: take a smaller model, quantization or context"
    return "see the messages above; is llama-cpp-python whole?"


def _how(code: int) -> str:
    if code == EXIT_SERVER_GONE:
        return "the server is gone"
    if code == EXIT_NOT_FINITE:
        return "what the model says is no number: weights or cache are damaged"
    if code == EXIT_PROBE_FAILED:
        return "its probe question got another answer than at its start"
    if code < 0:
        named = -code in [known.value for known in signal.Signals]
        return signal.Signals(-code).name if named else f"signal {-code}"
    return f"exit code {code}"
