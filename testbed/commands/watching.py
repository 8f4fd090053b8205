"""`groundloop watch`: the full-screen view of a station that runs elsewhere on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
from collections.abc import AsyncIterator
from typing import Any

import click

from ground.terminal.full import FullScreen
from roundtrip.drive.realtime import run_async, stop_signals, unless
from roundtrip.errors import BadInput, EnvironmentFault
from roundtrip.screen import Screen
from testbed.commands.station_client import PORT, answer_of, events_of

Event = dict[str, Any]


@click.command("watch")
@PORT
def watch_command(port: int) -> int:
    """Watch a standing station on the whole terminal, and ask it; it goes on without this.

    Example: groundloop watch --port 8080
    """
    screen = Screen()
    if not screen.is_full:
        raise BadInput("watch", "terminal", "one that can be drawn on, with a keyboard", "none")
    answer_of(port, "GET", "/api/status")

    async def watch() -> int:
        stopped = asyncio.Event()
        with stop_signals(stopped.set), contextlib.closing(OverHttp(port)) as source:
            view = FullScreen(source, f"127.0.0.1:{port}", screen, stopped.set)
            await unless(stopped, view.run())
        return 0

    return run_async(watch())


class OverHttp:
    """A station behind its HTTP interface.

    Args:
        port: on this machine.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: http.client.HTTPConnection | None = None

    async def status(self) -> Event:
        """How it does."""
        found: Event = await self._told("GET", "/api/status")
        return found

    async def earlier(self, number: int) -> list[Event]:
        """The latest outcomes, the newest first."""
        found: list[Event] = await self._told("GET", f"/api/questions?count={number}")
        return found

    async def events(self) -> AsyncIterator[Event]:
        """Those that are kept, then the new ones."""
        stream = events_of(self._port, "/api/events", self._opened, after=0)
        while (event := await asyncio.to_thread(self._next, stream)) is not None:
            yield event

    def _next(self, stream: Any) -> Event | None:
        try:
            return next(stream, None)
        except (OSError, http.client.HTTPException, ValueError):
            return None

    def _opened(self, connection: http.client.HTTPConnection) -> None:
        self._open = connection

    async def ask(self, text: str) -> None:
        """Ask a question."""
        await self._told("POST", "/api/questions", {"text": text})

    async def cancel(self, key: str) -> None:
        """Give one up."""
        with contextlib.suppress(EnvironmentFault):  # it has had its outcome
            await self._told("DELETE", f"/api/questions/{key}")

    async def _told(self, method: str, path: str, body: object = None) -> Any:
        return await asyncio.to_thread(answer_of, self._port, method, path, body)

    def close(self) -> None:
        """End the connection that events come by, and with it the thread that waits there."""
        if self._open is not None and self._open.sock is not None:
            with contextlib.suppress(OSError):
                self._open.sock.shutdown(socket.SHUT_RDWR)
