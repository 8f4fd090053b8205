"""A standing station over HTTP, as the commands ask it."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from io import BufferedReader
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from roundtrip.errors import BadInput, EnvironmentFault

PORT = click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    default=8080,
    show_default=True,
    help="The station's on this machine; GROUNDLOOP_STATION (a URL) and GROUNDLOOP_TOKEN name "
    "one elsewhere.",
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


def send_file(port: int, path: str, file: Path) -> Any:
    """Put a file there; what the station answers.

    Raises:
        BadInput: it does not take it.
        EnvironmentFault: nobody is there, or it cannot.
    """
    with file.open("rb") as body:
        size = str(file.stat().st_size)
        connection, response = _opened(port, "PUT", path, body, {"content-length": size})
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
    url = os.environ.get("GROUNDLOOP_STATION") or f"http://127.0.0.1:{port}"
    given: dict[str, str] = {"content-type": "application/json", **headers}
    if token := os.environ.get("GROUNDLOOP_TOKEN"):
        given["authorization"] = f"Bearer {token}"
    data = body if isinstance(body, BufferedReader) else _json(body)
    connection = _connection(url)
    try:
        connection.request(method, path, data, given)
        return connection, connection.getresponse()
    except ssl.SSLError as error:
        remedy = "trust its certificate: SSL_CERT_FILE"
        raise EnvironmentFault(f"ask the station at {url}", str(error), remedy) from None
    except (OSError, http.client.HTTPException):
        raise EnvironmentFault(
            f"ask the station at {url}", "nobody answers there", "start one with `groundloop up`"
        ) from None


def _json(body: object) -> bytes | None:
    return None if body is None else json.dumps(body).encode()


def _connection(url: str) -> http.client.HTTPConnection:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme not in ("http", "https"):
        raise BadInput("GROUNDLOOP_STATION", "", "an address such as https://desk:8080", url[:80])
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=None)
    return http.client.HTTPConnection(host, port, timeout=None)


def _checked(status: int, data: bytes) -> Any:
    try:
        found = json.loads(data) if data else None
    except ValueError:
        found = None
    if status >= 400:
        what = found["error"] if isinstance(found, dict) and "error" in found else f"HTTP {status}"
        if status == 400:
            raise BadInput("station", "request", "one that it takes", what)
        raise EnvironmentFault("ask the station", what, "see `groundloop status`")
    return found
