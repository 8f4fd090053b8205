"""A node machine with a bundle agent for a ground, joined by a link without delay or loss."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from dtn.agent import BundleAgent, BundleReceived, Transmit
from dtn.bpv7.bundle import BundleId
from node.beacon import Beacon
from node.engine.events import InferenceResult
from node.machine import NodeMachine
from node.outputs import StoredQuestion
from node.speed import Speed
from roundtrip.codec import decode, encode
from roundtrip.contacts import ContactPlan
from roundtrip.message import Health, Question, Received, Sampling
from roundtrip.modem import Carrier, Side
from roundtrip.transport import agent_config

CUE = Carrier(1, True, True, 10**9, 10**9, 0, 1400, 0, 0, "", 10**12)


def question(question_id: int = 1, text: str = "Well?") -> Question:
    return Question(question_id, text, "", 16, Sampling(), "off", 120_000)


def speed() -> Speed:
    """1,000 tokens/s of a prompt, 100 of an answer."""
    return Speed(1e6, {1: 1e7})


class Bench:
    """Drives the node by hand; `done` holds all outputs but frames."""

    def __init__(
        self,
        queue: int = 4,
        recovered: tuple[StoredQuestion, ...] = (),
        slots: int = 1,
        plan: ContactPlan | None = None,
        beacon: Beacon | None = None,
        cued: bool = True,
    ) -> None:
        self.cue = CUE
        self.slots = slots
        self.now_ns = 1_000_000
        self.done: list[Any] = []
        self.answers: list[Received] = []
        self.accept_answers = True
        self.unaccepted: list[BundleId] = []
        self.ground = BundleAgent(
            agent_config(Side.GROUND, CUE, max_bundles=2000),
            rng=random.Random(1),
        )
        self.node = NodeMachine(
            BundleAgent(
                agent_config(Side.NODE, CUE, max_bundles=64),
                rng=random.Random(2),
            ),
            queue=queue,
            lifetime_ms=10**6,
            plan=plan,
            recovered=recovered,
            beacon=beacon,
        )
        self._from_ground(
            self.ground.carrier(
                tx_up=True, rx_up=True, tx_rate_bps=10**9, one_way_ns=0, now_ns=self.now_ns
            )
        )
        if cued:
            self.call(self.node.carrier, CUE)

    def call(self, command: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Give the node a command; the outputs that are no frames."""
        self.now_ns += 1_000_000
        before = len(self.done)
        self._from_node(command(*args, now_ns=self.now_ns, **kwargs))
        self._settle()
        return self.done[before:]

    def ask(self, asked: Question, **how: Any) -> list[Any]:
        """Send a question up; what the node puts out."""
        return self.send(encode(asked, **how))

    def send(self, payload: bytes) -> list[Any]:
        """Send a message up; what the node puts out."""
        before = len(self.done)
        self.now_ns += 1_000_000
        _, outputs = self.ground.send(payload, lifetime_ms=10**6, now_ns=self.now_ns)
        self._from_ground(outputs)
        self._settle()
        return self.done[before:]

    def accept_all(self) -> None:
        """The ground has all safe that it was sent."""
        self.accept_answers = True
        while self.unaccepted:
            bundle_id = self.unaccepted.pop()
            self._from_ground(self.ground.accept(bundle_id, now_ns=self.now_ns))

    def finish(self, question_id: int = 1, text: str = "Yes.", reason: str = "stop") -> list[Any]:
        """The engine is done with a job."""
        result = InferenceResult(text, reason, 5, 3, 0)
        return self.call(self.node.inference_done, question_id, result, self.now_ns)

    def up(self) -> list[Any]:
        """The engine comes up."""
        return self.call(
            self.node.engine_up, Health("tiny", "Q8_0", 512, 1, 0), self.slots, speed()
        )

    def _settle(self) -> None:
        for _ in range(200):
            self.now_ns += 100_000
            self._from_ground(self.ground.timeout(now_ns=self.now_ns))
            self._from_node(self.node.timeout(now_ns=self.now_ns))

    def _from_ground(self, outputs: Any) -> None:
        for output in outputs:
            if isinstance(output, Transmit):
                self._from_node(self.node.receive(output.frame, now_ns=self.now_ns))
            elif isinstance(output, BundleReceived):
                self.answers.append(decode(output.bundle.payload))
                self.unaccepted.append(output.bundle.id)
                if self.accept_answers:
                    self.accept_all()

    def _from_node(self, outputs: Any) -> None:
        for output in outputs:
            if isinstance(output, Transmit):
                self._from_ground(self.ground.receive(output.frame, now_ns=self.now_ns))
            else:
                self.done.append(output)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def make_bench() -> type[Bench]:
    return Bench


@pytest.fixture
def ask() -> Callable[..., Question]:
    return question
