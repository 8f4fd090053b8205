"""`/v1/responses`: OpenAI's API for answers that take their time: asked in the background, looked
at later, cancelled, or followed from where a connection broke.

A response is a question; its id is `resp_` and the question's. What it asked for besides is kept
for the latest; of older ones the answer is there still.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ground.desk import ANSWERED, Desk, Event
from ground.outputs import Request
from ground.web.asked import Usual, parsed, request_like, schema_text
from ground.web.chats import (
    Asked,
    Said,
    kept_alive,
    outcome,
    prompt_of,
    times_of,
    timings_of,
    told,
)
from ground.web.openai import (
    EFFORTS,
    Message,
    check_model,
    error_of,
    failure,
    taken_in,
    wants_thoughts,
)
from roundtrip.drive.clock import unix_s
from roundtrip.errors import BadInput

KEPT = 1024
PREFIX = "resp_"
BEFORE_TEXT = 4
"""Events before the first piece of text."""


class _TextFormat(BaseModel):
    type: Literal["text", "json_object", "json_schema"] = "text"
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None


class _Text(BaseModel):
    format: _TextFormat = _TextFormat()


class _Reasoning(BaseModel):
    effort: Literal["none", "minimal", "low", "medium", "high"] | None = None


class _Wanted(BaseModel):
    """What is read of a request; what is not known is left out."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    model: str = ""
    input: Annotated[str, Field(min_length=1)] | Annotated[list[Message], Field(min_length=1)]
    instructions: str | None = None
    background: bool = False
    stream: bool = False
    max_output_tokens: Annotated[int, Field(ge=1, le=32_768)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    previous_response_id: str | None = None
    reasoning: _Reasoning | None = None
    text: _Text = _Text()
    metadata: dict[str, str] | None = None


class Responses:
    """The routes.

    Args:
        desk: asks, and tells.
        usual: what questions have unless they say otherwise.
        asked: knows a client's other tries.
    """

    def __init__(self, desk: Desk, usual: Usual, asked: Asked) -> None:
        self._desk = desk
        self._usual = usual
        self._asked = asked
        self._wanted: OrderedDict[str, tuple[_Wanted, int]] = OrderedDict()

    def routes(self) -> list[Route]:
        """Of the application."""
        one = "/v1/responses/{response}"
        return [
            Route("/v1/responses", self._create, methods=["POST"]),
            Route(one, self._retrieve, methods=["GET"]),
            Route(f"{one}/cancel", self._cancel, methods=["POST"]),
        ]

    async def _create(self, http: HttpRequest) -> Response:
        taken = await taken_in(http, self.question, self._asked)
        if isinstance(taken, Response):
            return taken
        body, key = taken
        wanted = parsed(_Wanted, body)
        self._wanted.setdefault(key, (wanted, unix_s()))
        if len(self._wanted) > KEPT:
            self._wanted.popitem(last=False)
        if wanted.stream:
            return self._stream(key, -1)
        waits = not wanted.background
        if waits and await outcome(http, self._desk, self._asked, key) is None:
            return Response(status_code=499)
        return JSONResponse(self._shown(key, self._desk.found(key) or {}))

    def question(self, body: bytes) -> Request:
        """What a body asks.

        Raises:
            BadInput: it asks nothing.
        """
        wanted = parsed(_Wanted, body)
        check_model(wanted.model, self._desk)
        return self._request(wanted)

    def answer(self, body: bytes, key: str, event: Event) -> dict[str, Any]:
        """What a body's question is answered."""
        return self._shown(key, event)

    async def _retrieve(self, http: HttpRequest) -> Response:
        key = http.path_params["response"].removeprefix(PREFIX)
        event = self._desk.found(key)
        if event is None:
            return _unknown(key)
        if http.query_params.get("stream") == "true":
            after = http.query_params.get("starting_after", "-1")
            if not after.removeprefix("-").isdecimal() or len(after) > 9:
                return error_of(BadInput("starting_after", "", "a number", after[:20]), 400)
            return self._stream(key, int(after))
        return JSONResponse(self._shown(key, event))

    async def _cancel(self, http: HttpRequest) -> Response:
        key = http.path_params["response"].removeprefix(PREFIX)
        event = self._desk.found(key)
        if event is None:
            return _unknown(key)
        shown = self._shown(key, event)
        if self._desk.cancel(key):
            shown["status"] = "cancelled"
        return JSONResponse(shown)

    def _request(self, wanted: _Wanted) -> Request:
        given = wanted.input
        messages = [Said("user", given)] if isinstance(given, str) else [
            Said(one.role, one.text) for one in given
        ]  # fmt: skip
        system, turns, text = prompt_of(messages)
        effort = None if wanted.reasoning is None else wanted.reasoning.effort
        said = wanted.text.format
        prompts = [one for one in (wanted.instructions, system) if one is not None]
        request = request_like(
            self._usual.asking,
            text,
            system="\n\n".join(prompts) if prompts else None,
            max_tokens=wanted.max_output_tokens,
            thinking=None if effort is None else EFFORTS[effort],
            thoughts=wants_thoughts(effort),
            schema=None if said.type == "text" else schema_text(said.schema_ or {"type": "object"}),
            temperature=wanted.temperature,
            top_p=wanted.top_p,
            turns=turns,
        )
        if wanted.previous_response_id is None:
            return request
        key = wanted.previous_response_id.removeprefix(PREFIX)
        try:
            before = self._desk.conversation(key)
        except BadInput as error:
            raise BadInput("previous_response_id", "", error.expected, error.found) from None
        after = None if turns else int(key, 16)
        return replace(request, turns=(*before, *turns), after=after)

    # -- what is shown -----------------------------------------------------------------------------

    def _shown(self, key: str, event: Event) -> dict[str, Any]:
        wanted, created_s = self._wanted.get(key, (None, event.get("unix_s", 0)))
        status = _status(event)
        error = failure(event)["error"] if status == "failed" else None
        incomplete = None
        if status == "incomplete":
            reason = "max_output_tokens" if event["finish_reason"] == "length" else "deadline"
            incomplete = {"reason": reason}
        answered = event.get("answer") is not None and status in ("completed", "incomplete")
        return {
            "id": PREFIX + key,
            "object": "response",
            "created_at": created_s,
            "status": status,
            "background": wanted is not None and wanted.background,
            "error": None if error is None else {k: error[k] for k in ("code", "message")},
            "incomplete_details": incomplete,
            "instructions": None if wanted is None else wanted.instructions,
            "max_output_tokens": None if wanted is None else wanted.max_output_tokens,
            "metadata": (wanted.metadata if wanted is not None else None) or {},
            "model": self._desk.model,
            "output": [*_reasoning(key, event), _item(key, event["answer"], status)]
            if answered
            else [],
            "parallel_tool_calls": False,
            "previous_response_id": None if wanted is None else wanted.previous_response_id,
            "temperature": None if wanted is None else wanted.temperature,
            "top_p": None if wanted is None else wanted.top_p,
            "tool_choice": "none",
            "tools": [],
            "usage": _usage(event) if answered else None,
            "timings": timings_of(event) if answered else None,
            "link": times_of(self._desk, event),
        }

    def _stream(self, key: str, after: int) -> Response:
        lines = self._lines(key, after)
        return StreamingResponse(lines, media_type="text/event-stream")

    async def _lines(self, key: str, after: int) -> AsyncIterator[str]:
        """The events of a response after a number; the same number is the same event, every time.

        Pieces of text have the numbers from `BEFORE_TEXT` on.
        """
        shown = self._shown(key, self._desk.found(key) or {})
        item = _item(key, "", "in_progress")
        begun = {**shown, "status": "in_progress", "output": [], "usage": None}
        place: dict[str, Any] = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        first: list[tuple[str, dict[str, Any]]] = [
            ("response.created", {"response": begun}),
            ("response.in_progress", {"response": begun}),
            ("response.output_item.added", {"output_index": 0, "item": {**item, "content": []}}),
            ("response.content_part.added", {**place, "part": _part("")}),
        ]
        for number, (kind, fields) in enumerate(first):
            if number > after:
                yield _event(kind, number, fields)
        given = 0
        with self._asked.waiting(key) as delivered:
            async for piece in kept_alive(told(self._desk, key)):
                if piece is None:
                    yield ": waiting for the link\n\n"
                    continue
                texts = self._texts(key)
                for text in texts[given:]:
                    number = BEFORE_TEXT + given
                    given += 1
                    if number > after:
                        fields = {**place, "delta": text, "logprobs": []}
                        yield _event("response.output_text.delta", number, fields)
                if isinstance(piece, dict):
                    for line in self._end(key, piece, place, BEFORE_TEXT + given, after):
                        yield line
            delivered()

    def _texts(self, key: str) -> list[str]:
        """An answer in the pieces in which it came; whole, where they are not known any more."""
        event = self._desk.found(key) or {}
        known = self._desk.texts(key)
        return known or ([event["answer"]] if event.get("answer") and "outcome" in event else [])

    def _end(
        self, key: str, event: Event, place: dict[str, Any], number: int, after: int
    ) -> Iterator[str]:
        shown, text = self._shown(key, event), event["answer"] or ""
        ended: list[tuple[str, dict[str, Any]]] = []
        if event["outcome"] in ANSWERED:
            item = _item(key, text, shown["status"])
            ended = [
                ("response.output_text.done", {**place, "text": text, "logprobs": []}),
                ("response.content_part.done", {**place, "part": _part(text)}),
                ("response.output_item.done", {"output_index": 0, "item": item}),
            ]
        status = shown["status"] if shown["status"] in ("completed", "incomplete") else "failed"
        ended.append((f"response.{status}", {"response": shown}))
        for at, (kind, fields) in enumerate(ended, number):
            if at > after:
                yield _event(kind, at, fields)


def _status(event: Event) -> str:
    if "outcome" not in event:
        return "queued" if event.get("stage") in ("intended", "submitted") else "in_progress"
    if event["outcome"] not in ANSWERED:
        return "cancelled" if event["reason"] == "cancelled" else "failed"
    whole = event["outcome"] != "partial" and event["finish_reason"] != "length"
    return "completed" if whole else "incomplete"


def _item(key: str, text: str, status: str) -> dict[str, Any]:
    return {
        "type": "message",
        "id": f"msg_{key}",
        "status": status,
        "role": "assistant",
        "content": [_part(text)],
    }


def _reasoning(key: str, event: Event) -> list[dict[str, Any]]:
    """What the model thought, as an item before the answer."""
    if not event.get("thoughts"):
        return []
    summary = [{"type": "summary_text", "text": event["thoughts"]}]
    return [{"type": "reasoning", "id": f"rs_{key}", "summary": summary}]


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(event: Event) -> dict[str, Any]:
    given, made = event["prompt_tokens"], event["output_tokens"]
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": given + made,
    }


def _event(kind: str, number: int, fields: dict[str, Any]) -> str:
    data = {"type": kind, "sequence_number": number, **fields}
    return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _unknown(key: str) -> Response:
    return error_of(BadInput("response", "", "the id of a response", key[:80]), 404)
