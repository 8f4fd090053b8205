"""What the interfaces of other programs have in common: messages to a question, events to text.

The node takes a system prompt and one text. Earlier turns of a conversation go up in that text.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from ground.desk import Desk, Event
from ground.outputs import Request
from roundtrip.errors import BadInput

KEPT_BODIES = 1024
"""Requests by which a client's own retry is recognised."""
ANSWERED = ("on_time", "late", "partial")


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: str
    text: str


def prompt_of(turns: Sequence[Turn]) -> tuple[str | None, str]:
    """System prompt, None where there is none, and text of a conversation.

    Raises:
        BadInput: it does not end with the user's turn.
    """
    system = [turn.text for turn in turns if turn.role in ("system", "developer")]
    said = [turn for turn in turns if turn.role in ("user", "assistant")]
    if len(system) + len(said) < len(turns):
        odd = next(t.role for t in turns if t.role not in ("user", "assistant", "system"))
        raise BadInput("messages", "role", "system, developer, user or assistant", odd[:40])
    if not said or said[-1].role != "user":
        raise BadInput("messages", "", "a user's message at the end", "none")
    *before, last = said
    text = last.text
    if before:
        told = "\n".join(f"{turn.role.capitalize()}: {turn.text}" for turn in before)
        text = f"{told}\nUser: {last.text}"
    return "\n\n".join(system) if system else None, text


class Asked:
    """Questions by the body of the request that asked them, so that a client that tries again while
    its request is under way does not ask twice."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._keys: OrderedDict[bytes, str] = OrderedDict()

    def ask(self, request: Request, body: bytes, *, again: bool) -> str:
        """Ask, or find the question that the same body asked before.

        Args:
            request: what is asked.
            body: as it came.
            again: the client says that it tries again.
        """
        digest = hashlib.sha256(body).digest()
        if again and (known := self._keys.get(digest)) and self._desk.found(known) is not None:
            return known
        key = self._keys[digest] = self._desk.ask(request)
        if len(self._keys) > KEPT_BODIES:
            self._keys.popitem(last=False)
        return key


async def told(desk: Desk, key: str) -> AsyncIterator[str | Event]:
    """An answer's text as it comes, and its outcome at the end."""
    printed = ""
    async for event in desk.events(0, lambda event: event.get("id") == key):
        if event["event"] == "text":
            printed += event["text"]
            yield event["text"]
        elif event["event"] == "settled":
            answer = event["answer"] or ""
            if answer.startswith(printed) and len(answer) > len(printed):
                yield answer[len(printed) :]
            yield event
            return


def until(stops: Sequence[str], text: str) -> tuple[str, bool]:
    """A text up to the first of some words, and whether one was there."""
    found = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    return (text[: min(found)], True) if found else (text, False)


def times_of(event: Event) -> dict[str, Any]:
    """What the link took of a loop, s."""
    phases = event["phases_s"]
    waits = ("ground_queue", "uplink_wait", "downlink_wait")
    return {
        "waited_s": sum(phases.get(name, 0.0) for name in waits),
        "uplink_s": phases.get("uplink"),
        "downlink_s": phases.get("downlink"),
        "loop_s": event["loop_s"],
    }


def timings_of(event: Event) -> dict[str, Any]:
    """What the engine took, by llama-server's names."""
    prompt_ms, predicted_ms = (
        event["phases_s"].get(name, 0.0) * 1000 for name in ("prefill", "decode")
    )
    return {
        "prompt_n": event["prompt_tokens"],
        "prompt_ms": prompt_ms,
        "predicted_n": event["output_tokens"],
        "predicted_ms": predicted_ms,
    }
