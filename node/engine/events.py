"""What an engine says of its jobs, live or in virtual time. Plain data."""

from __future__ import annotations

from dataclasses import dataclass

from node.outputs import InferenceResult


@dataclass(frozen=True, slots=True)
class EngineStarted:
    """The engine has begun with a job."""

    question_id: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class EngineFirstToken:
    """The first token of an answer is there."""

    question_id: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class EngineWrote:
    """There is so much of an answer."""

    question_id: int
    text: str


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


JobEvent = EngineStarted | EngineFirstToken | EngineWrote | EngineDone | EngineRefused
