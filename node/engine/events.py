"""What an engine says of its jobs, live or in virtual time. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EngineStarted:
    """The engine has begun with a job."""

    question_id: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class EngineFirstToken:
    """The first token of an answer, or of what the model writes before, is there."""

    question_id: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class ToolsCalled:
    """The tools that the model called have answered, and it reads what they said."""

    question_id: int
    at_ns: int
    """On the plan's clock."""


@dataclass(frozen=True, slots=True)
class EngineWrote:
    """There is so much of an answer."""

    question_id: int
    text: str


@dataclass(frozen=True, slots=True)
class Shown:
    """Something that a model was shown."""

    what: int
    """Its place in what was asked for."""
    at_ns: int
    """Its time on the plan's clock."""
    digest: bytes
    """The first bytes of its SHA-256."""
    size: int
    """Bytes that it would have taken on the link, packed."""


@dataclass(frozen=True, slots=True)
class InferenceResult:
    """What the engine made of a job."""

    text: str
    finish_reason: str
    prompt_tokens: int
    output_tokens: int
    rss_peak_bytes: int
    prefill_ns: float = 0.0
    """What a token of a prompt takes now; 0: as before."""
    step_ns: Mapping[int, float] = field(default_factory=dict)
    """What a token of each of so many sequences takes now."""
    sequences: int = 0
    """Questions that the engine takes at once from now on; 0: as before."""
    thoughts: str = ""
    """What the model thought before."""
    exposed: bool = False
    """The weights may have been damaged meanwhile."""
    seen: tuple[Shown, ...] = ()
    """What the model was shown, and what it called."""


@dataclass(frozen=True, slots=True)
class EngineDone:
    """An answer is there."""

    question_id: int
    at_ns: int
    result: InferenceResult


@dataclass(frozen=True, slots=True)
class EngineRefused:
    """The engine cannot do this job, and is free again."""

    question_id: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class EngineMended:
    """A tensor of the weights was damaged, and is whole again."""

    tensor: str
    source: str
    """The file that it was read from."""
    again: int
    """Questions that were begun anew for it."""


JobEvent = EngineStarted | EngineFirstToken | ToolsCalled | EngineWrote | EngineDone | EngineRefused
