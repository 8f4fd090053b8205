"""What follows from what: who carries out an output of the ground's machine, and which command
comes back.

The live station and virtual time both use this table, so that neither can forget an output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, assert_never

from dtn.agent import ClocksDiffer, Transmit
from ground.bulk.sender import PRIORITY as BULK
from ground.bulk.sender import ReadPiece, UploadTold
from ground.machine import GroundMachine
from ground.outputs import (
    BudgetMissed,
    GroundOutput,
    NodeHealth,
    Rejected,
    Settled,
    StageReached,
    StorePart,
    StoreQuestion,
)
from ground.results.record import LoopRecord
from roundtrip.bulk.wire import Have
from roundtrip.message import Health

Command = Callable[..., Sequence[GroundOutput]]


class GroundHands(Protocol):
    """What carries out the outputs: a modem and a disk, or the event heap."""

    def send(self, frame: bytes, *, bulk: bool) -> None:
        """Give a frame to the modem; `bulk`: of an upload."""

    def store(
        self,
        output: StoreQuestion | StorePart | Settled | NodeHealth,
        command: Command | None,
        *args: Any,
    ) -> None:
        """Put it on disk, then give the machine the command."""

    def settled(self, record: LoopRecord) -> None:
        """A question has its outcome."""

    def health(self, health: Health) -> None:
        """The node said how it does."""

    def rejected(self, reason: str) -> None:
        """Something came in that was not taken."""

    def read_piece(self, upload: bytes, number: int) -> None:
        """Read a piece of what goes up, then give the machine `piece_read` of its uploads."""

    def upload_does(self, have: Have) -> None:
        """The node says how an upload does."""

    def clocks_differ(self, node_ahead_ms: int) -> None:
        """The node's clock is so far ahead of ours."""


def carry_out(output: GroundOutput, machine: GroundMachine, hands: GroundHands) -> None:
    """Have one output carried out."""
    match output:
        case Transmit(frame=frame, priority=priority):
            hands.send(frame, bulk=priority >= BULK)
        case StoreQuestion(question_id=question_id):
            hands.store(output, machine.question_stored, question_id)
        case StorePart(bundle_id=bundle_id):
            hands.store(output, machine.part_stored, bundle_id)
        case Settled(record=record):
            hands.settled(record)
            hands.store(output, machine.outcome_stored, record.question_id)
        case NodeHealth(health=health):
            hands.health(health)
            hands.store(output, None)
        case Rejected(reason=reason):
            hands.rejected(reason)
        case ClocksDiffer(peer_ahead_ms=ahead_ms):
            hands.clocks_differ(ahead_ms)
        case ReadPiece(upload=upload, number=number):
            hands.read_piece(upload, number)
        case UploadTold(have=have):
            hands.upload_does(have)
        case StageReached() | BudgetMissed():
            pass  # for those who watch
        case _:
            assert_never(output)
