"""What follows from what: who carries out an output of the node's machine, and which command comes
back; which command an event of the engine is.

The live node and virtual time both use this table, so that neither can forget an output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, assert_never

from dtn.agent import ClocksDiffer, Transmit
from node.beacon import MeasureVitals
from node.engine.events import (
    EngineDone,
    EngineFirstToken,
    EngineRefused,
    EngineStarted,
    EngineWrote,
    JobEvent,
    ToolsCalled,
)
from node.machine import NodeMachine
from node.outputs import (
    CutInference,
    NodeOutput,
    Rejected,
    RollBack,
    StartInference,
    StoreAnswer,
    StoreQuestion,
    StoreSettled,
    UploadCame,
)
from node.scheduler import Order

Command = Callable[..., Sequence[NodeOutput]]


class NodeHands(Protocol):
    """What carries out the outputs: processes and a disk, or the event heap."""

    def send(self, frame: bytes) -> None:
        """Give a frame to the modem."""

    def store(
        self,
        output: StoreQuestion | StoreAnswer | StoreSettled,
        command: Command | None,
        *args: Any,
    ) -> None:
        """Put it on disk, then give the machine the command."""

    def infer(self, order: Order) -> None:
        """Have the engine answer."""

    def cut(self, question_id: int) -> None:
        """Have the engine end an answer now."""

    def measure(self) -> None:
        """Measure how the node does, then give the machine `beacon`."""

    def take_upload(self, came: UploadCame) -> None:
        """Have the vault take it, then give the machine `upload_taken`."""

    def roll_back(self, reason: str) -> None:
        """Have the model fly that flew before."""

    def rejected(self, reason: str) -> None:
        """Something came in that was not taken."""

    def clocks_differ(self, ground_ahead_ms: int) -> None:
        """The ground's clock is so far ahead of ours."""


def carry_out(output: NodeOutput, machine: NodeMachine, hands: NodeHands) -> None:
    """Have one output carried out."""
    match output:
        case Transmit(frame=frame):
            hands.send(frame)
        case StoreQuestion(question_id=question_id):
            hands.store(output, machine.question_stored, question_id)
        case StoreAnswer(question_id=question_id):
            hands.store(output, machine.answer_stored, question_id)
        case StoreSettled():
            hands.store(output, None)
        case StartInference(order=order):
            hands.infer(order)
        case CutInference(question_id=question_id):
            hands.cut(question_id)
        case MeasureVitals():
            hands.measure()
        case UploadCame():
            hands.take_upload(output)
        case RollBack(reason=reason):
            hands.roll_back(reason)
        case Rejected(reason=reason):
            hands.rejected(reason)
        case ClocksDiffer(peer_ahead_ms=ahead_ms):
            hands.clocks_differ(ahead_ms)
        case _:
            assert_never(output)


def command_of(event: JobEvent, machine: NodeMachine, *, origin_ns: int = 0) -> Command:
    """The command that an event of the engine is.

    Args:
        event: its times are of a clock that showed `origin_ns` at the plan's zero.
        machine: whose command it will be.
        origin_ns: 0 in virtual time.
    """
    match event:
        case EngineStarted(question_id=question_id, at_ns=at_ns):
            return partial(machine.inference_started, question_id, at_ns - origin_ns)
        case EngineFirstToken(question_id=question_id, at_ns=at_ns):
            return partial(machine.first_token, question_id, at_ns - origin_ns)
        case ToolsCalled(question_id=question_id, at_ns=at_ns):
            return partial(machine.tools_called, question_id, at_ns - origin_ns)
        case EngineWrote(question_id=question_id, text=text):
            return partial(machine.wrote, question_id, text)
        case EngineDone(question_id=question_id, at_ns=at_ns, result=result):
            return partial(machine.inference_done, question_id, result, at_ns - origin_ns)
        case EngineRefused(question_id=question_id, reason=reason, detail=detail):
            return partial(machine.inference_refused, question_id, reason, detail)
        case _:
            assert_never(event)
