"""Ollama's API: `/api/chat`, `/api/generate` and what belongs to them, as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ground.desk import ANSWERED, Desk, Event
from ground.outputs import Request
from ground.web.asked import Usual, parsed, read_body, request_like, schema_text
from ground.web.chats import Asked, Said, outcome, prompt_of, told, tries
from roundtrip.drive.clock import monotonic_s, unix_s
from roundtrip.errors import BadInput, GroundloopError

VERSION = "0.6.0"
"""Of Ollama's API that this follows."""
FINISH = {"stop": "stop", "length": "length", "deadline": "length", "": "stop"}


class _Message(BaseModel):
    role: str
    content: str = ""


class _Options(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    num_predict: Annotated[int, Field(ge=1, le=32_768)] | None = None
    temperature: Annotated[float, Field(ge=0, le=10)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1 << 20)] | None = None
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] | None = None


class _Asked(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    model: str = ""
    messages: Annotated[list[_Message], Field(max_length=1000)] = []
    prompt: str = ""
    system: str | None = None
    stream: bool = True
    think: bool | None = None
    format: str | dict[str, Any] | None = None
    options: _Options = _Options()


class Ollama:
    """The routes.

    Args:
        desk: asks, and tells.
        usual: what questions have unless they say otherwise.
    """

    def __init__(self, desk: Desk, usual: Usual) -> None:
        self._desk = desk
        self._usual = usual
        self._tried = Asked(desk, monotonic_s)

    def routes(self) -> list[Route]:
        """Of the application."""
        return [
            Route("/api/version", self._version),
            Route("/api/tags", self._tags),
            Route("/api/show", self._show, methods=["POST"]),
            Route("/api/chat", self._chat, methods=["POST"]),
            Route("/api/generate", self._generate, methods=["POST"]),
        ]

    async def _version(self, _: HttpRequest) -> Response:
        return JSONResponse({"version": VERSION})

    async def _tags(self, _: HttpRequest) -> Response:
        model = self._desk.model
        card = {"name": model, "model": model, "size": 0, "digest": "", "details": self._details()}
        return JSONResponse({"models": [{**card, "modified_at": _now()}]})

    async def _show(self, _: HttpRequest) -> Response:
        info = {"general.architecture": "qwen3"}
        shown = {"details": self._details(), "model_info": info, "capabilities": ["completion"]}
        return JSONResponse(shown)

    def _details(self) -> dict[str, Any]:
        health = self._desk.health
        level = "" if health is None else health.quantization
        return {"format": "gguf", "family": "qwen3", "quantization_level": level}

    async def _chat(self, http: HttpRequest) -> Response:
        return await self._answer(http, chat=True)

    async def _generate(self, http: HttpRequest) -> Response:
        return await self._answer(http, chat=False)

    async def _answer(self, http: HttpRequest, *, chat: bool) -> Response:
        try:
            body = await read_body(http)
            asked = parsed(_Asked, body)
            if asked.model.removesuffix(":latest") not in ("", "groundloop", self._desk.model):
                return JSONResponse({"error": f"model '{asked.model[:80]}' not found"}, 404)
            key = self._tried.ask(self._request(asked, chat=chat), body, **tries(http))
        except BadInput as error:
            return JSONResponse({"error": str(error)}, 400)
        except GroundloopError as error:
            return JSONResponse({"error": str(error)}, 503)
        if asked.stream:
            lines = self._lines(key, chat=chat)
            return StreamingResponse(lines, media_type="application/x-ndjson")
        event = await outcome(http, self._desk, self._tried, key)
        if event is None:
            return Response(status_code=499)
        if event["outcome"] not in ANSWERED:
            return JSONResponse({"error": _why(event)}, 503)
        said = self._said(event["answer"] or "", event.get("thoughts", ""), chat=chat)
        return JSONResponse({**said, **_end(event)})

    def _request(self, asked: _Asked, *, chat: bool) -> Request:
        said = [Said(one.role, one.content) for one in asked.messages]
        system, turns, text = prompt_of(said) if chat else (asked.system, (), asked.prompt)
        if not text:
            raise BadInput("request", "prompt", "a text", "none")
        options, schema = asked.options, None
        if asked.format is not None:
            schema = schema_text(
                asked.format if isinstance(asked.format, dict) else {"type": "object"}
            )
        return request_like(
            self._usual.asking,
            text,
            system=system,
            max_tokens=options.num_predict or None,
            thinking=None if asked.think is None else "on" if asked.think else "off",
            thoughts=bool(asked.think),
            schema=schema,
            seed=options.seed,
            temperature=options.temperature,
            top_p=options.top_p,
            top_k=options.top_k,
            turns=turns,
        )

    async def _lines(self, key: str, *, chat: bool) -> AsyncIterator[str]:
        with self._tried.waiting(key) as delivered:
            async for piece in told(self._desk, key):
                if isinstance(piece, str):
                    yield _line({**self._said(piece, chat=chat), "done": False})
                elif piece["outcome"] not in ANSWERED:
                    yield _line({"error": _why(piece)})
                else:
                    said = self._said("", piece.get("thoughts", ""), chat=chat)
                    yield _line({**said, **_end(piece)})
            delivered()

    def _said(self, text: str, thoughts: str = "", *, chat: bool) -> dict[str, Any]:
        thought = {"thinking": thoughts} if thoughts else {}
        said: dict[str, Any] = {"response": text, **thought}
        if chat:
            said = {"message": {"role": "assistant", "content": text, **thought}}
        return {"model": self._desk.model, "created_at": _now(), **said}


def _why(event: Event) -> str:
    return f"the question was {event['outcome']}: {event['reason']}"


def _end(event: Event) -> dict[str, Any]:
    phases, loop_s = event["phases_s"], event["loop_s"] or 0.0
    return {
        "done": True,
        "done_reason": FINISH[event["finish_reason"]],
        "total_duration": round(loop_s * 1e9),
        "load_duration": 0,
        "prompt_eval_count": event["prompt_tokens"],
        "prompt_eval_duration": round(phases.get("prefill", 0.0) * 1e9),
        "eval_count": event["output_tokens"],
        "eval_duration": round(phases.get("decode", 0.0) * 1e9),
    }


def _line(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False) + "\n"


def _now() -> str:
    return datetime.fromtimestamp(unix_s(), UTC).isoformat().replace("+00:00", "Z")
