"""What the node machine is told and what it puts out. Plain data; nothing here decides."""

from __future__ import annotations

from dataclasses import dataclass

from dtn.agent import ClocksDiffer, Transmit
from dtn.bpv7.bundle import BundleId
from node.beacon import MeasureVitals
from node.scheduler import Order
from roundtrip.bulk.wire import Up
from roundtrip.message import Answer, Question, Refusal


@dataclass(frozen=True, slots=True)
class StoredQuestion:
    """A question found in the store after a restart."""

    question: Question
    delivered_ns: int
    deadline_ns: int
    reply: Answer | Refusal | None
    """None where there is none yet."""
    settled: bool
    """The ground has the reply, or it has expired."""


@dataclass(frozen=True, slots=True)
class StartInference:
    """Run the engine on this job; say so with `inference_started` and `first_token`, end with
    `inference_done`."""

    order: Order


@dataclass(frozen=True, slots=True)
class CutInference:
    """Have the engine end this answer now: `inference_done` follows with what there is of it."""

    question_id: int


@dataclass(frozen=True, slots=True)
class StoreQuestion:
    """Put a question on disk, then call `question_stored`."""

    question_id: int
    payload: bytes
    """With its settings, and nothing packed: readable whatever is known later."""
    delivered_ns: int
    deadline_ns: int
    bundle_id: BundleId
    """The bundle that brought it, to be recognised after a restart."""


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """Put an answer or refusal on disk, then call `answer_stored`."""

    question_id: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class StoreSettled:
    """Note on disk that the reply need not be sent again; nothing waits for it."""

    question_id: int


@dataclass(frozen=True, slots=True)
class UploadCame:
    """Something of an upload: have the vault take it, then call `upload_taken`."""

    message: Up
    bundle_id: BundleId


@dataclass(frozen=True, slots=True)
class RollBack:
    """What is on trial was not confirmed in time: let fly what flew before."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something came in that was not taken."""

    reason: str


NodeOutput = (
    Transmit
    | StartInference
    | CutInference
    | StoreQuestion
    | StoreAnswer
    | StoreSettled
    | UploadCame
    | RollBack
    | Rejected
    | MeasureVitals
    | ClocksDiffer
)
