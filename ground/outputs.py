"""What the ground machine is told once, and what it puts out. Plain data; nothing here decides."""

from __future__ import annotations

from dataclasses import dataclass

from dtn.agent import ClocksDiffer, Transmit
from dtn.bpv7.bundle import BundleId
from ground.bulk.sender import ReadPiece, UploadTold
from ground.results.record import LoopRecord, Planned
from roundtrip.budget import Budget
from roundtrip.errors import BadInput
from roundtrip.message import MAX_TEXT_BYTES, MAX_TURNS, Health, Part, Sampling, Turn
from roundtrip.stages import Stage


@dataclass(frozen=True, slots=True)
class Asking:
    """What all questions of a workload have in common."""

    run_id: int
    """Tells this run's questions from other runs' on the same node; 40 bits."""
    system: str
    max_tokens: int
    sampling: Sampling
    thinking: str
    """One of `message.THINKING`."""
    think_tokens: int
    schema: str
    seed: int
    max_outstanding: int
    thoughts: bool = False
    """What the model thinks comes down with the answers."""
    see: tuple[str, ...] = ()
    """What the node shows the model, see `Settings`."""
    tools: tuple[str, ...] = ()
    """What the model may call."""


@dataclass(frozen=True, slots=True)
class Request:
    """A question that comes while the station stands.

    Raises:
        BadInput: a text is longer than a node takes, or none that can be encoded.
    """

    text: str
    asking: Asking | None = None
    """None: as the workload's."""
    budget: Budget | None = None
    """None: as the workload's."""
    priority: int = 1
    """0 bulk, 1 normal, 2 expedited."""
    turns: tuple[Turn, ...] = ()
    """What was said before."""
    after: int | None = None
    """The question with which they end, where it was asked here."""

    def __post_init__(self) -> None:
        said = "".join(turn.text + turn.answer for turn in self.turns)
        _check_length("text and turns" if said else "text", said + self.text)
        if len(self.turns) > MAX_TURNS:
            raise BadInput("question", "turns", f"at most {MAX_TURNS}", str(len(self.turns)))
        if self.asking is not None:
            _check_length("system", self.asking.system)
            _check_length("json_schema", self.asking.schema)
            if self.asking.schema and self.asking.tools:
                expected = "tools or json_schema: an answer that keeps to one calls nothing"
                raise BadInput("question", "tools", expected, "both")


def _check_length(name: str, text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise BadInput("question", name, "Unicode text", "a lone surrogate") from None
    if size > MAX_TEXT_BYTES:
        raise BadInput("question", name, f"at most {MAX_TEXT_BYTES} bytes", str(size))


@dataclass(frozen=True, slots=True)
class StoreQuestion:
    """Put a question on disk, then call `question_stored`."""

    question_id: int
    payload: bytes
    asked_ns: int
    budget_ns: tuple[int, int] | None = None
    """Until late, and until it expires; None: as the workload's."""


@dataclass(frozen=True, slots=True)
class StorePart:
    """Put a part of an answer on disk, then call `part_stored`."""

    part: Part
    bundle_id: BundleId


@dataclass(frozen=True, slots=True)
class StoredQuestion:
    """A question found in the ledger after a restart."""

    question_id: int
    payload: bytes
    asked_ns: int
    settled: bool
    budget_ns: tuple[int, int] | None = None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class StageReached:
    """A question has come to a stage, as far as the ground can see."""

    planned: Planned
    stage: Stage
    at_ns: int
    expected_ns: int | None = None
    """With `submitted`: when the answer should be here; None where no contact is left for it."""


@dataclass(frozen=True, slots=True)
class BudgetMissed:
    """A question's budget is over without an answer; it may still come, late."""

    planned: Planned


@dataclass(frozen=True, slots=True)
class Settled:
    """A question has its outcome: put it on disk, then call `outcome_stored`."""

    record: LoopRecord


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """The node said what it is."""

    health: Health


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something came in that was not taken."""

    reason: str


GroundOutput = (
    Transmit
    | StoreQuestion
    | StorePart
    | StageReached
    | BudgetMissed
    | Settled
    | NodeHealth
    | ReadPiece
    | UploadTold
    | Rejected
    | ClocksDiffer
)
