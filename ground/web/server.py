"""The station's HTTP server, in the station's own event loop; `access.py` says who comes in.

Bodies are bounded. No part of a request becomes a path.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ground.desk import Desk, Event
from ground.web.access import Access, Gate, refusal
from ground.web.asked import Usual, read_body, request_of
from ground.web.batches import LAYOUT, Batches, Endpoint
from ground.web.chats import kept_alive
from ground.web.metrics import Metrics
from ground.web.ollama import Ollama
from ground.web.openai import OpenAi
from ground.web.responses import Responses
from ground.web.uplinks import Uplinks
from roundtrip.database import open_database
from roundtrip.drive.clock import monotonic_s
from roundtrip.errors import BadInput, EnvironmentFault, GroundloopError

STOP_LIMIT_S = 2
BACKLOG = 512
KEPT_CODED = 256
"""Events."""
PAGE = {
    "/": ("dashboard.html", "text/html"),
    "/dashboard.css": ("dashboard.css", "text/css"),
    "/dashboard.js": ("dashboard.js", "text/javascript"),
}
"""Path to file and type."""
PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; connect-src 'self'; style-src 'self'; "
    "script-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}


class Server:
    """The server of one station.

    Args:
        desk: asks, and tells.
        usual: what questions have unless they say otherwise.
        access: where, and for whom; port 0 for any.
        folder: of the station, for batches; None for none.

    Raises:
        EnvironmentFault: the port is taken, or certificate or key are none.
    """

    def __init__(
        self, desk: Desk, usual: Usual, access: Access, folder: Path | None = None
    ) -> None:
        self._socket = _bound(access)
        self.port: int = self._socket.getsockname()[1]
        self.url = replace(access, port=self.port).url
        self._doors = _Doors(desk, usual, access, folder)
        config = uvicorn.Config(
            self._doors.app(),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=STOP_LIMIT_S,
            ssl_certfile=access.certificate,
            ssl_keyfile=access.key,
        )
        try:
            config.load()
        except OSError as error:  # of TLS too
            self._socket.close()
            why = error.strerror or str(error)
            remedy = "give a certificate and its key in PEM"
            raise EnvironmentFault(f"use {access.certificate}", why, remedy) from None
        self._server = _Quiet(config)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Server:
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        return self

    def resume(self) -> None:
        """The station stands: go on with the batches that were open."""
        if self._doors.batches is not None:
            self._doors.batches.resume()

    async def __aexit__(self, *_: object) -> None:
        if self._doors.batches is not None:
            await self._doors.batches.close()
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._socket.close()


class _Quiet(uvicorn.Server):
    """Leaves signals to the station."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Doors:
    """What each path does."""

    def __init__(self, desk: Desk, usual: Usual, access: Access, folder: Path | None) -> None:
        self._desk = desk
        self._usual = usual
        self._access = access
        self._folder = folder
        self.batches: Batches | None = None
        self._coded: dict[int, str] = {}
        """The latest events as they are sent, for all who listen."""

    def app(self) -> Starlette:
        """The routes, behind the checks."""
        one, openai = "/api/questions/{key}", OpenAi(self._desk, self._usual)
        responses = Responses(self._desk, self._usual, openai.asked)
        self.batches = self._batches(openai, responses)
        return Starlette(
            routes=[
                *(Route(path, self._page) for path in PAGE),
                Route("/api/status", self._status),
                Route("/api/events", self._events),
                Route("/api/history", self._history),
                Route("/api/questions", self._answers, methods=["GET"]),
                Route("/api/questions", self._ask, methods=["POST"]),
                Route(one, self._found, methods=["GET"]),
                Route(one, self._cancel, methods=["DELETE"]),
                Route(f"{one}/events", self._follow),
                *openai.routes(),
                *responses.routes(),
                *([] if self.batches is None else self.batches.routes()),
                *Ollama(self._desk, self._usual).routes(),
                *Metrics(self._desk).routes(),
                *([] if self._desk.uplink is None else Uplinks(self._desk.uplink).routes()),
            ],
            middleware=[Middleware(Gate, self._access, refusal, monotonic_s)],
            exception_handlers={GroundloopError: _said, 404: _no_such, 405: _no_such},
        )

    def _batches(self, openai: OpenAi, responses: Responses) -> Batches | None:
        if self._folder is None:
            return None
        endpoints = {
            "/v1/chat/completions": Endpoint(openai.question, openai.answer),
            "/v1/responses": Endpoint(responses.question, responses.answer),
        }
        db = open_database(self._folder / "batches.sqlite", LAYOUT, self._desk.note)
        return Batches(self._desk, db, endpoints, self._usual.budget)

    async def _page(self, request: HttpRequest) -> Response:
        name, kind = PAGE[request.url.path]
        text = Path(__file__).with_name(name).read_text(encoding="utf-8")
        return Response(text, media_type=kind, headers=PAGE_HEADERS)

    async def _status(self, _: HttpRequest) -> Response:
        return JSONResponse(self._desk.status())

    async def _answers(self, request: HttpRequest) -> Response:
        before = request.query_params.get("before")
        return JSONResponse(self._desk.answers(_count(request), before))

    async def _history(self, request: HttpRequest) -> Response:
        query = request.query_params.get("query", "")
        return JSONResponse(await self._desk.search(query, _count(request)))

    async def _ask(self, request: HttpRequest) -> Response:
        asked = request_of(await read_body(request), self._usual, self._desk.conversation)
        key = self._desk.ask(asked)
        return JSONResponse({"id": key}, status_code=202)

    async def _found(self, request: HttpRequest) -> Response:
        found = self._desk.found(request.path_params["key"])
        return _unknown() if found is None else JSONResponse(found)

    async def _cancel(self, request: HttpRequest) -> Response:
        cancelled = self._desk.cancel(request.path_params["key"])
        return Response(status_code=204) if cancelled else _unknown()

    async def _events(self, request: HttpRequest) -> Response:
        return _stream(self._desk.events(_after(request)), self._coded)

    async def _follow(self, request: HttpRequest) -> Response:
        """One question's events, until it has its outcome."""
        key = request.path_params["key"]
        if self._desk.found(key) is None:
            return _unknown()
        return _stream(self._until_settled(key, _after(request)), self._coded)

    async def _until_settled(self, key: str, after: int | None) -> AsyncIterator[Event]:
        events = self._desk.events(after or 0, lambda event: event.get("id") == key)
        async for event in events:
            yield event
            if event["event"] == "settled":
                return


def _count(request: HttpRequest) -> int:
    count = request.query_params.get("count", "20")
    if not count.isdecimal() or len(count) > 4:
        raise BadInput("query", "count", "a number up to 9999", count[:20])
    return int(count)


def _after(request: HttpRequest) -> int | None:
    number = request.headers.get("last-event-id", "")
    return int(number) if number.isdecimal() and len(number) < 16 else None


def _stream(events: AsyncIterator[Event], coded: dict[int, str]) -> Response:
    return StreamingResponse(
        _lines(events, coded), media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


async def _lines(events: AsyncIterator[Event], coded: dict[int, str]) -> AsyncIterator[str]:
    """Server-sent events, with a comment now and then while nothing happens."""
    yield ": here\n\n"
    async for event in kept_alive(events):
        if event is None:
            yield ": still here\n\n"
            continue
        number = event["number"]
        line = coded.get(number)
        if line is None:
            data = json.dumps(event, ensure_ascii=False)
            line = coded[number] = f"id: {number}\nevent: {event['event']}\ndata: {data}\n\n"
            if len(coded) > KEPT_CODED:
                del coded[next(iter(coded))]
        yield line


async def _said(request: HttpRequest, error: Exception) -> Response:
    return refusal(request, 400 if isinstance(error, BadInput) else 503, str(error))


async def _no_such(request: HttpRequest, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    what = "path" if status == 404 else f"method {request.method} here"
    return refusal(request, status, f"no such {what}")


def _unknown() -> Response:
    return JSONResponse(_error("no such question is open, or was settled lately"), 404)


def _error(what: str) -> dict[str, Any]:
    return {"error": what}


def _bound(access: Access) -> socket.socket:
    try:
        kind, _, protocol, _, address = socket.getaddrinfo(
            access.host, access.port, type=socket.SOCK_STREAM
        )[0]
        # asyncio sends at once (TCP_NODELAY) where the protocol is named
        found = socket.socket(kind, socket.SOCK_STREAM, protocol)
    except OSError as error:
        raise _not_listening(access, error) from None
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(address)
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        raise _not_listening(access, error) from None
    return found


def _not_listening(access: Access, error: OSError) -> EnvironmentFault:
    remedy = "give another port with --port, or stop what has it"
    return EnvironmentFault(
        f"listen on {access.host}:{access.port}", error.strerror or "failed", remedy
    )
