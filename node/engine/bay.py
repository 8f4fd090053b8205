"""The engine that answers: loaded, looked after by a supervisor, and changed for another in flight.

Only one model is in memory at a time: the one before goes first, for there may not be room for
both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from node.body.cgroup import Enforcer, read_host
from node.body.limits import Limits
from node.engine.accept import AcceptedModel, accept_model, load_of
from node.engine.events import EngineDone, EngineRefused
from node.engine.supervisor import (
    CANNOT,
    HTTP_CHILD,
    EngineConfig,
    EngineEvent,
    EngineUp,
    Supervisor,
)
from node.scheduler import Job, Order
from roundtrip.bulk.manifest import Canary
from roundtrip.errors import EnvironmentFault
from roundtrip.message import GREEDY, Question
from roundtrip.node_config import NodeConfig
from roundtrip.units import NS_PER_S

CANARY_TOKENS = 256
CANARY_LIMIT_S = 120.0


class Bay:
    """One engine at a time.

    Args:
        on_event: told of everything that the engine does, but in a self-test.
        say: told what an operator should know.
    """

    def __init__(self, on_event: Callable[[EngineEvent], None], say: Callable[[str], None]) -> None:
        self._on_event = on_event
        self._say = say
        self.model: AcceptedModel | None = None
        self.supervisor: Supervisor | None = None
        self.enforcer: Enforcer | None = None
        self.config: NodeConfig | None = None
        """Of what is loaded."""
        self._tested: asyncio.Queue[EngineEvent] | None = None
        """Where events go in a self-test."""

    def accept(self, config: NodeConfig) -> None:
        """Check a model before anything is started for it.

        Raises:
            BadModel, BadConfig: as `accept_model`.
        """
        self.model = accept_model(config)

    async def start(self, config: NodeConfig) -> EngineUp:
        """Load what was accepted last.

        Raises:
            BadModel: the model cannot be loaded.
            EnvironmentFault: the engine does not come up.
        """
        model = self.model
        assert model is not None
        if model.limits != Limits():
            self.enforcer = Enforcer(model.limits, read_host(), self._say)
        engine = EngineConfig(load_of(config, model))
        if engine.load.url:
            engine = replace(engine, command=HTTP_CHILD)
            self._say(f"the engine is the server at {engine.load.url}: {CANNOT}")
        else:
            self._say(f"loading {Path(model.path).name} ({model.quantization})")
        self.supervisor = Supervisor(engine, self._heard, self.enforcer)
        up = await self.supervisor.start()
        self.config = config
        return up

    @property
    def alive(self) -> bool:
        """The engine loads, or has said something not long ago."""
        return self.supervisor is None or self.supervisor.alive

    async def stop(self) -> None:
        """Unload it."""
        self.config = None
        if self.supervisor is not None:
            await self.supervisor.close()
        if self.enforcer is not None:
            self.enforcer.close()
        self.supervisor, self.enforcer = None, None

    async def change(self, config: NodeConfig) -> EngineUp:
        """Load another model instead.

        Raises:
            BadModel, BadConfig: it cannot be; what there was answers on, unless it did not load.
            EnvironmentFault: the engine does not come up.
        """
        self.model, before = await asyncio.to_thread(accept_model, config), self.model
        try:
            await self.stop()
            return await self.start(config)
        except BaseException:
            self.model = before
            raise

    async def test(self, canaries: Sequence[Canary], system: str) -> None:
        """Have the engine answer questions of which the answers are known.

        Raises:
            EnvironmentFault: one is another.
        """
        assert self.supervisor is not None
        self._tested = asyncio.Queue()
        try:
            for number, canary in enumerate(canaries):
                question = Question(
                    number, canary.text, system, CANARY_TOKENS, GREEDY, "off",
                    round(CANARY_LIMIT_S * 1000),
                )  # fmt: skip
                job = Job(question, 0, 1 << 62)
                self.supervisor.infer(Order(job, CANARY_TOKENS, False, 0, True, None))
                answer = await self._answer(number)
                if answer != canary.expected:
                    raise EnvironmentFault(
                        f"canary {number + 1}", f"{answer[:60]!r}", f"expected {canary.expected!r}"
                    )
        finally:
            self._tested = None

    async def _answer(self, number: int) -> str:
        assert self._tested is not None
        try:
            async with asyncio.timeout(CANARY_LIMIT_S):
                while True:
                    event = await self._tested.get()
                    if isinstance(event, EngineDone) and event.question_id == number:
                        return event.result.text
                    if isinstance(event, EngineRefused):
                        return event.reason
                    if not hasattr(event, "question_id"):
                        return "the engine died"
        except TimeoutError:
            return f"nothing in {CANARY_LIMIT_S:g} s"

    def _heard(self, event: EngineEvent) -> None:
        if self._tested is not None:
            self._tested.put_nowait(event)
        else:
            self._on_event(event)


def tokens_s(up: EngineUp) -> float:
    """How fast a loaded model writes one answer, tokens/s."""
    return NS_PER_S / max(1.0, up.speed.step(1))
