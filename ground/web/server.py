"""The station's HTTP server: on loopback, in the station's own event loop.

A browser page of another origin cannot ask: `Host` and `Origin` are checked, and no answer carries
CORS headers. Bodies are bounded. No part of a request becomes a path.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ground.desk import Desk, Event
from ground.web.asked import Usual, read_body, request_of
from ground.web.ollama import Ollama
from ground.web.openai import OpenAi, kept_alive
from roundtrip.errors import BadInput, EnvironmentFault, GroundloopError

LOCAL = ("127.0.0.1", "localhost", "::1")
STOP_LIMIT_S = 2
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
        port: 0 for any.

    Raises:
        EnvironmentFault: the port is taken.
    """

    def __init__(self, desk: Desk, usual: Usual, port: int) -> None:
        self._socket = _bound(port)
        self.port: int = self._socket.getsockname()[1]
        self._server = _Quiet(
            uvicorn.Config(
                _Doors(desk, usual).app(),
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=STOP_LIMIT_S,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Server:
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        return self

    async def __aexit__(self, *_: object) -> None:
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

    def __init__(self, desk: Desk, usual: Usual) -> None:
        self._desk = desk
        self._usual = usual

    def app(self) -> Starlette:
        """The routes, behind the checks."""
        one = "/api/questions/{key}"
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
                *OpenAi(self._desk, self._usual).routes(),
                *Ollama(self._desk, self._usual).routes(),
            ],
            middleware=[Middleware(_Local)],
            exception_handlers={GroundloopError: _said},
        )

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
        asked = request_of(await read_body(request), self._usual)
        key = self._desk.ask(asked)
        return JSONResponse({"id": key}, status_code=202)

    async def _found(self, request: HttpRequest) -> Response:
        found = self._desk.found(request.path_params["key"])
        return _unknown() if found is None else JSONResponse(found)

    async def _cancel(self, request: HttpRequest) -> Response:
        cancelled = self._desk.cancel(request.path_params["key"])
        return Response(status_code=204) if cancelled else _unknown()

    async def _events(self, request: HttpRequest) -> Response:
        return _stream(self._desk.events(_after(request)))

    async def _follow(self, request: HttpRequest) -> Response:
        """One question's events, until it has its outcome."""
        key = request.path_params["key"]
        if self._desk.found(key) is None:
            return _unknown()
        return _stream(self._until_settled(key, _after(request)))

    async def _until_settled(self, key: str, after: int | None) -> AsyncIterator[Event]:
        events = self._desk.events(after or 0, lambda event: event.get("id") == key)
        async for event in events:
            yield event
            if event["event"] == "settled":
                return


class _Local:
    """Lets in only what was meant for this host, and no page of another."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            host, origin = headers.get(b"host", ""), headers.get(b"origin")
            foreign = origin is not None and urlsplit(origin).netloc != host
            if _host_of(host) not in LOCAL or foreign:
                refused = JSONResponse(_error("this station is for this machine"), 403)
                await refused(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _host_of(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _count(request: HttpRequest) -> int:
    count = request.query_params.get("count", "20")
    if not count.isdecimal() or len(count) > 4:
        raise BadInput("query", "count", "a number up to 9999", count[:20])
    return int(count)


def _after(request: HttpRequest) -> int | None:
    number = request.headers.get("last-event-id", "")
    return int(number) if number.isdecimal() and len(number) < 16 else None


def _stream(events: AsyncIterator[Event]) -> Response:
    return StreamingResponse(
        _lines(events), media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


async def _lines(events: AsyncIterator[Event]) -> AsyncIterator[str]:
    """Server-sent events, with a comment now and then while nothing happens."""
    yield ": here\n\n"
    async for event in kept_alive(events):
        if event is None:
            yield ": still here\n\n"
            continue
        data = json.dumps(event, ensure_ascii=False)
        yield f"id: {event['number']}\nevent: {event['event']}\ndata: {data}\n\n"


async def _said(_: HttpRequest, error: Exception) -> Response:
    status = 400 if isinstance(error, BadInput) else 503
    return JSONResponse(_error(str(error)), status_code=status)


def _unknown() -> Response:
    return JSONResponse(_error("no such question is open, or was settled lately"), 404)


def _error(what: str) -> dict[str, Any]:
    return {"error": what}


def _bound(port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(("127.0.0.1", port))
        found.listen(128)
    except OSError as error:
        found.close()
        why = error.strerror or "failed"
        remedy = "give another port with --port, or stop what has it"
        raise EnvironmentFault(f"listen on 127.0.0.1:{port}", why, remedy) from None
    return found
