"""What the interfaces of other programs have in common: messages to a question, events to text.

Of a conversation that went through here the earlier turns do not go up again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Any

from starlette.requests import Request as HttpRequest

from ground.desk import ANSWERED, Desk, Event
from ground.outputs import Request
from roundtrip.errors import BadInput
from roundtrip.message import Turn

KEEP_ALIVE_S = 10.0
KEPT_BODIES = 1024
"""Requests by which a client's own retry is recognised."""
REMEMBERED_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a conversation."""

    role: str
    text: str


def prompt_of(messages: Sequence[Said]) -> tuple[str | None, tuple[Turn, ...], str]:
    """System prompt, None where there is none, earlier turns, and text of a conversation.

    What one side says in several messages is one text, with empty lines between.

    Raises:
        BadInput: it does not end with the user's turn.
    """
    system = [one.text for one in messages if one.role in ("system", "developer")]
    said = [one for one in messages if one.role in ("user", "assistant")]
    if len(system) + len(said) < len(messages):
        odd = next(m.role for m in messages if m.role not in ("user", "assistant", "system"))
        raise BadInput("messages", "role", "system, developer, user or assistant", odd[:40])
    if not said or said[-1].role != "user":
        raise BadInput("messages", "", "a user's message at the end", "none")
    sides = [
        (role, "\n\n".join(one.text for one in ones))
        for role, ones in groupby(said, attrgetter("role"))
    ]
    if sides[0][0] == "assistant":
        sides.insert(0, ("user", ""))
    *before, (_, text) = sides
    texts = [one for _, one in before]
    turns = tuple(Turn(*pair) for pair in zip(texts[::2], texts[1::2], strict=True))
    return "\n\n".join(system) if system else None, turns, text


@dataclass(slots=True)
class _Known:
    """A request that asked a question."""

    key: str
    at_s: float
    waiting: int = 0
    """Connections that wait for its answer."""
    delivered: bool = False


class Asked:
    """Questions by the request that asked them, so that a client that tries again does not ask
    twice.

    A request is another try where the client says so, where it has the `Idempotency-Key` of an
    earlier one, or where the same body came before and whoever sent it has gone without an answer.

    Args:
        desk: asks.
        now_s: a clock, s.
    """

    def __init__(self, desk: Desk, now_s: Callable[[], float]) -> None:
        self._desk = desk
        self._now_s = now_s
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._conversations: OrderedDict[bytes, str] = OrderedDict()
        """Questions by what was said up to them."""

    def ask(self, request: Request, body: bytes, *, again: bool = False, name: str = "") -> str:
        """Ask, or find the question that was asked before; its id.

        Args:
            request: what is asked.
            body: as it came.
            again: the client says that it tries again.
            name: the client's own for this request; empty for none.
        """
        digest = hashlib.sha256(name.encode() + b"\0" + body).digest()
        known = self._known.get(digest)
        if known is not None and self._same(known, again or bool(name)):
            return known.key
        key = self._desk.ask(self._continuing(request))
        self._conversations[_said_before(request.turns, request.text)] = key
        if len(self._conversations) > KEPT_BODIES:
            self._conversations.popitem(last=False)
        self._known[digest] = _Known(key, self._now_s())
        self._known.move_to_end(digest)
        if len(self._known) > KEPT_BODIES:
            self._known.popitem(last=False)
        return key

    def _continuing(self, request: Request) -> Request:
        """A request, with the question that it goes on from where that was asked here."""
        if not request.turns or request.after is not None:
            return request
        *before, last = request.turns
        key = self._conversations.get(_said_before(before, last.text))
        event = None if key is None else self._desk.found(key)
        if key is None or event is None or event.get("outcome") not in ANSWERED:
            return request
        return replace(request, after=int(key, 16)) if event["answer"] == last.answer else request

    def _same(self, known: _Known, told: bool) -> bool:
        if self._now_s() - known.at_s > REMEMBERED_S or self._desk.found(known.key) is None:
            return False
        return told or (not known.waiting and not known.delivered)

    @contextmanager
    def waiting(self, key: str) -> Iterator[Callable[[], None]]:
        """While a client waits for an answer; what it is given is called when the client has it."""
        mine = next((one for one in reversed(self._known.values()) if one.key == key), None)
        if mine is None:
            yield lambda: None
            return

        def delivered() -> None:
            mine.delivered = True

        mine.waiting += 1
        try:
            yield delivered
        finally:
            mine.waiting -= 1


def _said_before(turns: Sequence[Turn], text: str) -> bytes:
    said = [*(part for turn in turns for part in (turn.text, turn.answer)), text]
    return hashlib.sha256(json.dumps(said).encode()).digest()


async def told(desk: Desk, key: str) -> AsyncIterator[str | Event]:
    """An answer's text as it comes, and its outcome at the end."""
    printed = ""
    known = desk.found(key)
    if known is not None and "outcome" in known:
        if known["answer"]:
            yield known["answer"]
        yield known
        return
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


def tries(http: HttpRequest) -> dict[str, Any]:
    """What a request says of being another try."""
    retried = http.headers.get("x-stainless-retry-count", "0") not in ("", "0")
    return {"again": retried, "name": http.headers.get("idempotency-key", "")[:200]}


async def outcome(http: HttpRequest, desk: Desk, asked: Asked, key: str) -> Event | None:
    """A question's outcome, when it has it; None where the client has gone first."""
    with asked.waiting(key) as delivered:
        gone = asyncio.ensure_future(_gone(http))
        ended = asyncio.ensure_future(_last(told(desk, key)))
        try:
            await asyncio.wait([gone, ended], return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                return None
            delivered()
            return ended.result()
        finally:
            gone.cancel()
            ended.cancel()


async def _gone(http: HttpRequest) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


async def _last(pieces: AsyncIterator[str | Event]) -> Event:
    event: Event = {}
    async for piece in pieces:
        if isinstance(piece, dict):
            event = piece
    return event


async def kept_alive(source: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """What comes, and None now and then while nothing does."""
    pending: asyncio.Future[Any] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(source))
            done, _ = await asyncio.wait([pending], timeout=KEEP_ALIVE_S)
            if not done:
                yield None
                continue
            try:
                piece = pending.result()
            except StopAsyncIteration:
                return
            finally:
                pending = None
            yield piece
    finally:
        if pending is not None:
            pending.cancel()


def until(stops: Sequence[str], text: str) -> tuple[str, bool]:
    """A text up to the first of some words, and whether one was there."""
    found = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    return (text[: min(found)], True) if found else (text, False)


def times_of(desk: Desk, event: Event) -> dict[str, Any]:
    """What the link took of a loop, s; of one that is open, when its answer is expected."""
    phases = event.get("phases_s")
    expected_s = event.get("expected_at_s")
    expected_at = desk.dated(expected_s)
    if phases is None:
        contact = desk.contact_at(expected_s)
        return {"contact": contact, "expected_at_s": expected_s, "expected_answer_at": expected_at}
    waits = ("ground_queue", "uplink_wait", "downlink_wait")
    return {
        "contact": desk.contact_at(event["settled_s"]),
        "expected_at_s": expected_s,
        "expected_answer_at": expected_at,
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
