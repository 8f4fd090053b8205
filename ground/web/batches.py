"""`/v1/files` and `/v1/batches`: OpenAI's API for many questions at once, for the passes to come.

A batch's requests are asked as bulk; each ends with one line of the batch's output or error file.
Files and batches are rows of a database in the station's folder and go on after a restart: what is
asked twice then is asked by its question's id, once. No name of a file is ever a path.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import UploadFile
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ground.desk import ANSWERED, Desk, Event
from ground.outputs import Request
from ground.web.asked import parsed, read_body
from ground.web.chats import told
from ground.web.openai import error_of, failure
from roundtrip.budget import Budget
from roundtrip.database import Layout, whole
from roundtrip.drive.clock import unix_s
from roundtrip.errors import BadInput, GroundloopError
from roundtrip.units import s_to_ns

MAX_FILE_BYTES = 8 << 20
MAX_LINES = 10_000
KEPT_FILES = 100
"""The oldest go, with their batches."""
AT_ONCE = 64
"""Questions of all batches that are open at once."""
WINDOW_S = 86_400
LAYOUT = Layout(
    "a station's batches",
    int.from_bytes(b"GLba", "big"),
    1,
    """
CREATE TABLE files (
    number INTEGER PRIMARY KEY,
    created_s INTEGER NOT NULL,
    name TEXT NOT NULL,
    purpose TEXT NOT NULL,
    content TEXT NOT NULL
);
CREATE TABLE batches (
    number INTEGER PRIMARY KEY,
    created_s INTEGER NOT NULL,
    input INTEGER NOT NULL,
    endpoint TEXT NOT NULL,
    metadata TEXT NOT NULL,
    status TEXT NOT NULL,
    ended_s INTEGER,
    output INTEGER,
    errors INTEGER
);
CREATE TABLE lines (
    batch INTEGER NOT NULL,
    line INTEGER NOT NULL,
    custom_id TEXT NOT NULL,
    body TEXT NOT NULL,
    question TEXT,
    result TEXT,
    failed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (batch, line)
) WITHOUT ROWID;
""",
    {
        "files.created_s": (whole("created_s"), "s since 1970"),
        "batches.created_s": (whole("created_s"), "s since 1970"),
        "lines.body": ("json_valid(body)", "JSON"),
        "lines.result": ("result IS NULL OR json_valid(result)", "JSON, or nothing"),
    },
)
OPEN = ("in_progress", "cancelling")


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    custom_id: Annotated[str, Field(min_length=1, max_length=512)]
    method: Literal["POST"] = "POST"
    url: str
    body: dict[str, Any]


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    input_file_id: str
    endpoint: Literal["/v1/chat/completions", "/v1/responses"]
    completion_window: Literal["24h"] = "24h"
    metadata: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a line's request may go to."""

    request: Callable[[bytes], Request]
    """The question in a body."""
    answer: Callable[[bytes, str, Event], dict[str, Any]]
    """What it would have answered, by body, question's id and outcome."""


class Batches:
    """The routes, and the work behind them.

    Args:
        desk: asks, and tells.
        db: of `LAYOUT`.
        endpoints: by path.
        budget: of a loop.
    """

    def __init__(
        self,
        desk: Desk,
        db: sqlite3.Connection,
        endpoints: dict[str, Endpoint],
        budget: Budget,
    ) -> None:
        self._desk = desk
        self._budget = budget
        self._db = db
        db.execute("PRAGMA synchronous=NORMAL")  # the loop's thread does not wait for the disk
        self._endpoints = endpoints
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    def routes(self) -> list[Route]:
        """Of the application."""
        return [
            Route("/v1/files", self._take_file, methods=["POST"]),
            Route("/v1/files", self._files, methods=["GET"]),
            Route("/v1/files/{file}", self._file, methods=["GET"]),
            Route("/v1/files/{file}/content", self._content, methods=["GET"]),
            Route("/v1/batches", self._create, methods=["POST"]),
            Route("/v1/batches", self._batches, methods=["GET"]),
            Route("/v1/batches/{batch}", self._batch, methods=["GET"]),
            Route("/v1/batches/{batch}/cancel", self._cancel, methods=["POST"]),
        ]

    def resume(self) -> None:
        """Go on with what was open when the station was stopped."""
        for (number,) in self._db.execute("SELECT number FROM batches WHERE status = ?", OPEN[:1]):
            self._go_on(number)

    async def close(self) -> None:
        """Leave off; what is open stays so."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._db.close()

    # -- files -------------------------------------------------------------------------------------

    async def _take_file(self, http: HttpRequest) -> Response:
        if int(http.headers.get("content-length") or MAX_FILE_BYTES + 1) > MAX_FILE_BYTES:
            return error_of(BadInput("file", "", f"at most {MAX_FILE_BYTES} bytes", "more"), 413)
        async with http.form(max_files=1, max_fields=8) as form:
            file, purpose = form.get("file"), form.get("purpose")
            if not isinstance(file, UploadFile) or purpose != "batch":
                return error_of(
                    BadInput("file", "purpose", "a file for `batch`", str(purpose)), 400
                )
            content = await file.read(MAX_FILE_BYTES + 1)
            name = (file.filename or "")[:200]
        try:
            text = content.decode()
        except UnicodeDecodeError:
            return error_of(BadInput("file", "", "JSON lines in UTF-8", "other bytes"), 400)
        return JSONResponse(self._shown_file(self._add_file(name, "batch", text)))

    def _add_file(self, name: str, purpose: str, content: str) -> int:
        values = unix_s(), name, purpose, content
        added = self._db.execute(
            "INSERT INTO files (created_s, name, purpose, content) VALUES (?, ?, ?, ?)", values
        )
        self._db.execute(
            "DELETE FROM files WHERE number <= (SELECT max(number) FROM files) - ? "
            "AND number NOT IN (SELECT input FROM batches WHERE status = ?)",
            (KEPT_FILES, OPEN[0]),
        )
        assert added.lastrowid is not None
        return added.lastrowid

    async def _files(self, _: HttpRequest) -> Response:
        rows = self._db.execute("SELECT number FROM files ORDER BY number DESC")
        found = [self._shown_file(number) for (number,) in rows]
        return JSONResponse({"object": "list", "data": found, "has_more": False})

    async def _file(self, http: HttpRequest) -> Response:
        number = _number(http.path_params["file"], "file-")
        known = self._db.execute("SELECT 1 FROM files WHERE number = ?", (number,)).fetchone()
        return JSONResponse(self._shown_file(number)) if known else _unknown("file")

    async def _content(self, http: HttpRequest) -> Response:
        number = _number(http.path_params["file"], "file-")
        row = self._db.execute("SELECT content FROM files WHERE number = ?", (number,)).fetchone()
        return Response(row[0], media_type="application/jsonl") if row else _unknown("file")

    def _shown_file(self, number: int) -> dict[str, Any]:
        created_s, name, purpose, size = self._db.execute(
            "SELECT created_s, name, purpose, length(CAST(content AS BLOB)) FROM files "
            "WHERE number = ?",
            (number,),
        ).fetchone()
        return {
            "id": f"file-{number}",
            "object": "file",
            "bytes": size,
            "created_at": created_s,
            "filename": name,
            "purpose": purpose,
            "status": "processed",
        }

    # -- batches -----------------------------------------------------------------------------------

    async def _create(self, http: HttpRequest) -> Response:
        try:
            wanted = parsed(_Wanted, await read_body(http))
            number = self._begin(wanted)
        except BadInput as error:
            return error_of(error, 400)
        self._go_on(number)
        return JSONResponse(self._shown(number))

    def _begin(self, wanted: _Wanted) -> int:
        number = _number(wanted.input_file_id, "file-")
        row = self._db.execute("SELECT content FROM files WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise BadInput("batch", "input_file_id", "the id of a file", wanted.input_file_id[:80])
        lines = [line for line in row[0].split("\n") if line.strip()]
        if not 0 < len(lines) <= MAX_LINES:
            raise BadInput("batch", "input_file_id", f"1 to {MAX_LINES} lines", str(len(lines)))
        read: dict[str, str] = {}
        for at, text in enumerate(lines, 1):
            read |= self._line(at, text, wanted.endpoint, read)
        self._db.execute("BEGIN")
        added = self._db.execute(
            "INSERT INTO batches (created_s, input, endpoint, metadata, status) "
            "VALUES (?, ?, ?, ?, ?)",
            (unix_s(), number, wanted.endpoint, json.dumps(wanted.metadata or {}), OPEN[0]),
        )
        self._db.executemany(
            "INSERT INTO lines (batch, line, custom_id, body) VALUES (?, ?, ?, ?)",
            [(added.lastrowid, at, name, body) for at, (name, body) in enumerate(read.items(), 1)],
        )
        self._db.execute("COMMIT")
        assert added.lastrowid is not None
        return added.lastrowid

    def _line(self, at: int, text: str, endpoint: str, before: dict[str, str]) -> dict[str, str]:
        """Its own id, and its body.

        Raises:
            BadInput: it is none; it names the line.
        """
        try:
            line = parsed(_Line, text.encode())
            if line.url != endpoint:
                raise BadInput("batch", "url", endpoint, line.url[:80])
            if line.custom_id in before:
                raise BadInput("batch", "custom_id", "one of its own", line.custom_id[:80])
            body = json.dumps(line.body)
            self._endpoints[endpoint].request(body.encode())
        except BadInput as error:
            raise BadInput(f"line {at}", error.key, error.expected, error.found) from None
        return {line.custom_id: body}

    async def _batches(self, _: HttpRequest) -> Response:
        rows = self._db.execute("SELECT number FROM batches ORDER BY number DESC LIMIT 100")
        found = [self._shown(number) for (number,) in rows]
        return JSONResponse({"object": "list", "data": found, "has_more": False})

    async def _batch(self, http: HttpRequest) -> Response:
        number = _number(http.path_params["batch"], "batch_")
        return JSONResponse(self._shown(number)) if self._status(number) else _unknown("batch")

    async def _cancel(self, http: HttpRequest) -> Response:
        number = _number(http.path_params["batch"], "batch_")
        status = self._status(number)
        if status is None:
            return _unknown("batch")
        if status == OPEN[0]:
            self._db.execute("UPDATE batches SET status = 'cancelling' WHERE number = ?", (number,))
            asked = self._db.execute(
                "SELECT question FROM lines WHERE batch = ? AND result IS NULL "
                "AND question IS NOT NULL",
                (number,),
            )
            for (key,) in asked.fetchall():
                self._desk.cancel(key)
        return JSONResponse(self._shown(number))

    def _status(self, number: int) -> str | None:
        row = self._db.execute("SELECT status FROM batches WHERE number = ?", (number,)).fetchone()
        return None if row is None else row[0]

    def _shown(self, number: int) -> dict[str, Any]:
        created_s, given, endpoint, metadata, status, ended_s, output, errors = self._db.execute(
            "SELECT created_s, input, endpoint, metadata, status, ended_s, output, errors "
            "FROM batches WHERE number = ?",
            (number,),
        ).fetchone()
        total, completed, failed = self._db.execute(
            "SELECT count(*), count(result) - total(failed), total(failed) FROM lines "
            "WHERE batch = ?",
            (number,),
        ).fetchone()
        ended = {f"{name}_at": ended_s if status == name else None for name in ENDED}
        return {
            "id": f"batch_{number}",
            "object": "batch",
            "endpoint": endpoint,
            "errors": None,
            "input_file_id": f"file-{given}",
            "completion_window": "24h",
            "status": status,
            "output_file_id": None if output is None else f"file-{output}",
            "error_file_id": None if errors is None else f"file-{errors}",
            "created_at": created_s,
            "in_progress_at": created_s,
            "expires_at": created_s + WINDOW_S,
            **ended,
            "request_counts": {"total": total, "completed": int(completed), "failed": int(failed)},
            "metadata": json.loads(metadata),
        }

    # -- the work ----------------------------------------------------------------------------------

    def _go_on(self, number: int) -> None:
        task = self._tasks[number] = asyncio.ensure_future(self._work(number))
        task.add_done_callback(lambda _: self._tasks.pop(number, None))

    async def _work(self, number: int) -> None:
        endpoint, created_s = self._db.execute(
            "SELECT endpoint, created_s FROM batches WHERE number = ?", (number,)
        ).fetchone()
        rows = self._db.execute(
            "SELECT line, body, question FROM lines WHERE batch = ? AND result IS NULL", (number,)
        ).fetchall()
        end_s = created_s + WINDOW_S
        await asyncio.gather(
            *(self._ask(number, line, self._endpoints[endpoint], body, key, end_s)
              for line, body, key in rows)
        )  # fmt: skip
        self._finish(number, expired=unix_s() >= end_s)

    async def _ask(
        self, batch: int, line: int, endpoint: Endpoint, body: str, key: str | None, end_s: int
    ) -> None:
        """Have one line answered."""
        async with self._room:
            if self._status(batch) != OPEN[0]:
                return
            try:
                if key is None or self._desk.found(key) is None:
                    key = self._desk.ask(self._bulk(endpoint.request(body.encode())))
                    self._db.execute(
                        "UPDATE lines SET question = ? WHERE batch = ? AND line = ?",
                        (key, batch, line),
                    )
                async with asyncio.timeout(max(0, end_s - unix_s())):
                    event = await self._outcome(key)
            except GroundloopError as error:
                self._settle(batch, line, 503, {"error": {"message": str(error)}})
                return
            except TimeoutError:
                if key is not None:
                    self._desk.cancel(key)
                self._settle(batch, line, 504, {"error": {"message": "the batch has expired"}})
                return
        if event["outcome"] in ANSWERED:
            self._settle(batch, line, 200, endpoint.answer(body.encode(), key, event))
        else:
            self._settle(batch, line, 503, failure(event))

    def _bulk(self, request: Request) -> Request:
        """It goes after all others, and waits as long as its batch."""
        window_ns = s_to_ns(WINDOW_S)
        budget = replace(self._budget, expire_ns=max(window_ns, self._budget.loop_ns))
        return replace(request, priority=0, budget=budget)

    async def _outcome(self, key: str) -> Event:
        event: Event = {}
        async for piece in told(self._desk, key):
            if isinstance(piece, dict):
                event = piece
        return event

    def _settle(self, batch: int, line: int, status: int, body: dict[str, Any]) -> None:
        result = json.dumps({"status_code": status, "request_id": f"line_{line}", "body": body})
        self._db.execute(
            "UPDATE lines SET result = ?, failed = ? WHERE batch = ? AND line = ?",
            (result, status != 200, batch, line),
        )

    def _finish(self, number: int, *, expired: bool) -> None:
        """Write its files, and say that it has ended."""
        cancelled = self._status(number) == "cancelling"
        status = "cancelled" if cancelled else "expired" if expired else "completed"
        files: list[int | None] = []
        for failed in (False, True):
            rows = self._db.execute(
                "SELECT custom_id, result FROM lines WHERE batch = ? AND failed = ? "
                "AND result IS NOT NULL ORDER BY line",
                (number, failed),
            )
            lines = [_result(number, name, result) for name, result in rows]
            name = f"batch_{number}_{'error' if failed else 'output'}.jsonl"
            content = "".join(f"{line}\n" for line in lines)
            files.append(self._add_file(name, "batch_output", content) if lines else None)
        self._db.execute(
            "UPDATE batches SET status = ?, ended_s = ?, output = ?, errors = ? WHERE number = ?",
            (status, unix_s(), *files, number),
        )
        self._db.execute("DELETE FROM lines WHERE batch <= ?", (number - KEPT_FILES,))
        self._db.execute("DELETE FROM batches WHERE number <= ?", (number - KEPT_FILES,))


ENDED = ("completed", "cancelled", "expired", "failed")


def _result(batch: int, name: str, result: str) -> str:
    response = json.loads(result)
    error = response["body"].get("error")
    line = {"id": f"batch_req_{batch}_{response['request_id']}", "custom_id": name}
    return json.dumps({**line, "response": response, "error": error}, ensure_ascii=False)


def _number(key: str, prefix: str) -> int:
    digits = key.removeprefix(prefix)
    return int(digits) if digits.isdecimal() and len(digits) < 16 else -1


def _unknown(what: str) -> Response:
    return error_of(BadInput(what, "id", f"the id of a {what}", "another"), 404)
