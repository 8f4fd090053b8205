"""A standing station over HTTP, as the commands ask it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import click

from roundtrip.errors import BadInput, EnvironmentFault

PORT = click.option(
    "--port", type=click.IntRange(1, 65_535), default=8080, show_default=True, help="The station's."
)
NO_HEADERS: Mapping[str, str] = {}


def answer_of(port: int, method: str, path: str, body: object = None) -> Any:
    """What the station at a port of this machine answers.

    Raises:
        BadInput: it takes no such question.
        EnvironmentFault: nobody is there, or it cannot.
    """
    connection, response = _opened(port, method, path, body)
    with closing(connection):
        data = response.read()
    return _checked(response.status, data)


def events_of(
    port: int,
    path: str,
    opened: Callable[[http.client.HTTPConnection], None] = lambda _: None,
    after: int | None = None,
) -> Iterator[dict[str, Any]]:
    """The server-sent events of a path; until the station ends, or the question has its outcome.

    Args:
        port, path: where.
        opened: called with the connection, for who wants to end it.
        after: those kept after this number come first.

    Raises:
        EnvironmentFault: nobody is there, or it cannot.
    """
    headers = {} if after is None else {"last-event-id": str(after)}
    connection, response = _opened(port, "GET", path, headers=headers)
    opened(connection)
    with closing(connection):
        if response.status != 200:
            _checked(response.status, response.read())
        for line in response:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


def _opened(
    port: int,
    method: str,
    path: str,
    body: object = None,
    headers: Mapping[str, str] = NO_HEADERS,
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=None)
    data = None if body is None else json.dumps(body).encode()
    try:
        connection.request(method, path, data, {"content-type": "application/json", **headers})
        return connection, connection.getresponse()
    except (OSError, http.client.HTTPException):
        raise EnvironmentFault(
            f"ask the station at 127.0.0.1:{port}",
            "nobody answers there",
            "start one with `groundloop up`",
        ) from None


def _checked(status: int, data: bytes) -> Any:
    try:
        found = json.loads(data) if data else None
    except ValueError:
        found = None
    if status >= 400:
        what = found["error"] if isinstance(found, dict) and "error" in found else f"HTTP {status}"
        if status == 400:
            raise BadInput("station", "question", "one that it takes", what)
        raise EnvironmentFault("ask the station", what, "see `groundloop status`")
    return found
