"""What is asked of the engine, and what it says of it. Plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from roundtrip.message import Sampling


@dataclass(frozen=True, slots=True)
class Request:
    """One question for the engine."""

    id: int
    text: str
    system: str
    max_tokens: int
    """Of thinking and answer together."""
    sampling: Sampling
    thinking: bool
    think_tokens: int = 1 << 20
    """After so many the thinking is ended for the model."""
    alone: bool = False
    """No other sequence may run beside it: it may be what crashed the engine."""
    schema: str = ""
    """JSON Schema that the answer keeps to; empty for none."""
    turns: tuple[tuple[str, str], ...] = ()
    """What was said before: questions and their answers."""
    tools: str = ""
    """What the system prompt says of tools, after all else; empty for none."""
    rounds: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """What was called for this question, as the model wrote it, and what came back."""


@dataclass(frozen=True, slots=True)
class Started:
    """The engine has begun with a question."""

    id: int


@dataclass(frozen=True, slots=True)
class FirstToken:
    """The prompt is read, and the first token of the answer there."""

    id: int


@dataclass(frozen=True, slots=True)
class Wrote:
    """There is so much of an answer."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """What the model wrote."""

    id: int
    text: str
    finish_reason: str
    """`stop`: the model ended; `length`: it was cut at its limit; `deadline`: `cut` ended it."""
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int
    """Of the prompt, taken from a kept head."""
    thoughts: str = ""
    """What the model thought before."""
    exposed: bool = False
    """The weights may have been damaged, and there was no time to know, or to answer again."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The engine cannot do this one."""

    id: int
    reason: str
    detail: str


class NotFinite(Exception):
    """What the model says is no number: weights or cache are damaged.

    Args:
        events: what else came of the step.
    """

    def __init__(self, events: Sequence[Event] = ()) -> None:
        super().__init__("logits that are no numbers")
        self.events = list(events)


Event = Started | FirstToken | Wrote | Done | Refused
