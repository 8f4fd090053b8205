"""`/v1`: the OpenAI API, as far as chats, so that its clients work over the link unchanged."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ground.desk import ANSWERED, Desk, Event
from ground.outputs import Request
from ground.web.asked import Names, Usual, parsed, read_body, request_like, schema_text
from ground.web.chats import (
    Asked,
    Said,
    kept_alive,
    outcome,
    prompt_of,
    times_of,
    timings_of,
    told,
    tries,
    until,
)
from roundtrip.drive.clock import monotonic_s, unix_s
from roundtrip.errors import BadInput, GroundloopError

FINISH = {"stop": "stop", "length": "length", "deadline": "length", "": "stop"}
CLIENTS_FAULT = ("bad_schema", "too_long")
"""Reasons of refusals."""
EFFORTS = {"none": "off", "minimal": "off", "low": "auto", "medium": "on", "high": "on"}


class TextPart(BaseModel):
    type: Literal["text", "input_text"]
    text: str


class Message(BaseModel):
    role: str
    content: str | list[TextPart] | None = None

    @property
    def text(self) -> str:
        """All of it."""
        content = self.content or ""
        return content if isinstance(content, str) else "".join(part.text for part in content)


class _StreamOptions(BaseModel):
    include_usage: bool = False


class Named(BaseModel):
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class Format(BaseModel):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: Named | None = None


class _Chat(BaseModel):
    """What is read of a request; what is not known is left out, as other servers do."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    model: str = ""
    messages: Annotated[list[Message], Field(min_length=1, max_length=1000)]
    stream: bool = False
    stream_options: _StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1, le=32_768)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=32_768)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] | None = None
    stop: str | list[str] | None = None
    n: Annotated[int, Field(ge=1, le=1)] = 1
    response_format: Format | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = None
    see: Names | None = None
    """Ours: what the model is shown on board."""
    board_tools: Names | None = None
    """Ours: what it may call there."""

    @property
    def stops(self) -> list[str]:
        """Words at which an answer ends."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


class OpenAi:
    """The routes.

    Args:
        desk: asks, and tells.
        usual: what questions have unless they say otherwise.
    """

    def __init__(self, desk: Desk, usual: Usual) -> None:
        self._desk = desk
        self._usual = usual
        self.asked = Asked(desk, monotonic_s)

    def routes(self) -> list[Route]:
        """Of the application."""
        return [
            Route("/v1/models", self._models),
            Route("/v1/models/{model:path}", self._model),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
        ]

    async def _models(self, _: HttpRequest) -> Response:
        return JSONResponse({"object": "list", "data": [self._card()]})

    async def _model(self, request: HttpRequest) -> Response:
        if request.path_params["model"] != self._desk.model:
            return error_of(BadInput("model", "", self._desk.model, "another"), 404)
        return JSONResponse(self._card())

    def _card(self) -> dict[str, Any]:
        return {"id": self._desk.model, "object": "model", "created": 0, "owned_by": "groundloop"}

    async def _chat(self, http: HttpRequest) -> Response:
        taken = await taken_in(http, self.question, self.asked)
        if isinstance(taken, Response):
            return taken
        body, key = taken
        chat = parsed(_Chat, body)
        if chat.stream:
            return StreamingResponse(self._chunks(key, chat), media_type="text/event-stream")
        event = await outcome(http, self._desk, self.asked, key)
        if event is None:
            return Response(status_code=499)
        if event["outcome"] not in ANSWERED:
            return failure_of(event)
        return JSONResponse(self._whole(key, chat, event))

    def question(self, body: bytes) -> Request:
        """What a body asks.

        Raises:
            BadInput: it asks nothing.
        """
        chat = parsed(_Chat, body)
        check_model(chat.model, self._desk)
        return self._request(chat)

    def answer(self, body: bytes, key: str, event: Event) -> dict[str, Any]:
        """What a body's question is answered."""
        return self._whole(key, parsed(_Chat, body), event)

    def _request(self, chat: _Chat) -> Request:
        system, turns, text = prompt_of([Said(one.role, one.text) for one in chat.messages])
        effort = chat.reasoning_effort
        return request_like(
            self._usual.asking,
            text,
            system=system,
            max_tokens=chat.max_completion_tokens or chat.max_tokens,
            thinking=None if effort is None else EFFORTS[effort],
            thoughts=wants_thoughts(effort),
            schema=schema_of(chat.response_format),
            seed=chat.seed,
            temperature=chat.temperature,
            top_p=chat.top_p,
            turns=turns,
            see=chat.see,
            tools=chat.board_tools,
        )

    def _whole(self, key: str, chat: _Chat, event: Event) -> dict[str, Any]:
        text, stopped = until(chat.stops, event["answer"] or "")
        finish = "stop" if stopped else FINISH[event["finish_reason"]]
        said = {"role": "assistant", "content": text, **_reasoning(event)}
        choice = {"index": 0, "message": said, "finish_reason": finish}
        return {**self._head(key, "chat.completion"), "choices": [choice], **self._end(event)}

    async def _chunks(self, key: str, chat: _Chat) -> AsyncIterator[str]:
        """The answer as it comes; a comment now and then while nothing does."""
        with self.asked.waiting(key) as delivered:
            async for chunk in self._pieces(key, chat):
                yield chunk
            delivered()

    async def _pieces(self, key: str, chat: _Chat) -> AsyncIterator[str]:
        head = self._head(key, "chat.completion.chunk")
        link = times_of(self._desk, self._desk.found(key) or {})
        yield _chunk(head, {"role": "assistant", "content": ""}, link=link)
        held, ended = "", False
        async for piece in kept_alive(told(self._desk, key)):
            if piece is None:
                yield ": waiting for the link\n\n"
            elif isinstance(piece, str):
                if ended:
                    continue
                ready, held, ended = _ready(chat.stops, held + piece)
                if ready:
                    yield _chunk(head, {"content": ready})
            elif piece["outcome"] not in ANSWERED:
                yield f"data: {json.dumps(failure(piece))}\n\n"
            else:
                if held and not ended:
                    yield _chunk(head, {"content": held})
                if reasoning := _reasoning(piece):
                    yield _chunk(head, reasoning)
                finish = "stop" if ended else FINISH[piece["finish_reason"]]
                end = self._end(piece)
                usage = end.pop("usage")
                yield _chunk(head, {}, finish, **end)
                if chat.stream_options is not None and chat.stream_options.include_usage:
                    yield f"data: {json.dumps({**head, 'choices': [], 'usage': usage})}\n\n"
        yield "data: [DONE]\n\n"

    def _end(self, event: Event) -> dict[str, Any]:
        prompt, output = event["prompt_tokens"], event["output_tokens"]
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
        }
        link = times_of(self._desk, event)
        return {"usage": usage, "timings": timings_of(event), "link": link}

    def _head(self, key: str, kind: str) -> dict[str, Any]:
        model = self._desk.model
        return {"id": f"chatcmpl-{key}", "object": kind, "created": unix_s(), "model": model}


async def taken_in(
    http: HttpRequest, question: Callable[[bytes], Request], asked: Asked
) -> tuple[bytes, str] | Response:
    """A request's body and its question's id, once it is asked; or the error that it is.

    Args:
        http: the request.
        question: reads the body; it may raise BadInput.
        asked: asks, and knows other tries.
    """
    try:
        body = await read_body(http)
        return body, asked.ask(question(body), body, **tries(http))
    except UnknownModel as error:
        return error_of(error, 404)
    except BadInput as error:
        return error_of(error, 400)
    except GroundloopError as error:
        return error_of(error, 503)


class UnknownModel(BadInput):
    """A model that the node does not run."""


def check_model(name: str, desk: Desk) -> None:
    """
    Raises:
        UnknownModel: it is another than the node's.
    """
    if name not in ("", "groundloop", desk.model):
        raise UnknownModel("model", "", desk.model, name[:80])


def error_of(error: GroundloopError, status: int) -> Response:
    """An error in OpenAI's shape."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    param = getattr(error, "key", None) or None
    return JSONResponse(
        {"error": {"message": str(error), "type": kind, "param": param, "code": None}}, status
    )


def failure_of(event: Event) -> Response:
    """A question without an answer: the client's fault, the link's, or the node's."""
    if event["reason"].partition(":")[0] in CLIENTS_FAULT:
        return JSONResponse(failure(event), 400)
    return JSONResponse(failure(event), 504 if event["outcome"] == "expired" else 503)


def failure(event: Event) -> dict[str, Any]:
    code = event["reason"].partition(":")[0]
    kind = "invalid_request_error" if code in CLIENTS_FAULT else "server_error"
    message = f"the question was {event['outcome']}: {event['reason']}"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def schema_of(wanted: Format | None) -> str | None:
    """The schema that an answer must keep to; None where there is none."""
    if wanted is None or wanted.type == "text":
        return None
    return schema_text(
        {"type": "object"} if wanted.json_schema is None else wanted.json_schema.schema_
    )


def wants_thoughts(effort: str | None) -> bool:
    """Whether who asks for so much reasoning is shown it."""
    return effort is not None and EFFORTS[effort] != "off"


def _reasoning(event: Event) -> dict[str, str]:
    return {"reasoning_content": event["thoughts"]} if event.get("thoughts") else {}


def _ready(stops: list[str], text: str) -> tuple[str, str, bool]:
    """What may be shown of a text, what waits as it may be the beginning of a stop, and whether one
    was there."""
    shown, ended = until(stops, text)
    if ended:
        return shown, "", True
    longest = max((len(stop) for stop in stops), default=1) - 1
    for size in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-size:]) for stop in stops):
            return text[:-size], text[-size:], False
    return text, "", False


def _chunk(
    head: dict[str, Any], delta: dict[str, str], finish: str | None = None, **rest: Any
) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({**head, 'choices': [choice], **rest}, ensure_ascii=False)}\n\n"
