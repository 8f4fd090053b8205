"""An OpenAI-compatible server as the engine: this process speaks to the node as llama.cpp's does,
and to the server over HTTP, streaming.

Deadlines, priorities, parts, energy, store and transport stay the node's. What such a server cannot
do is said at the start: it keeps no state of prompt heads for us, its thinking cannot be ended
after so many tokens, and an answer that is cut ends with what had been streamed. A server that is
gone is an engine that died.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from node.engine.child import Inbox, as_engine
from node.engine.schema import fault, read_schema
from node.engine.wire import ALIVE_NS, EXIT_SERVER_GONE, Load, pack, sampling_of
from roundtrip.drive.clock import monotonic_ns
from roundtrip.errors import EXIT_BAD_INPUT
from roundtrip.tools import response_text

CONNECT_S = 5.0
"""For a server to take a connection, and to say which models it has."""
SILENT_S = 60.0
"""A server that sends nothing for so long, in the middle of an answer or before it, is gone."""
PROBE = "Count from one to twenty in words."
PROBE_TOKENS = 24
"""Of an answer by which the server's speed is measured before the first question."""
MOST_BYTES = 1 << 20
"""Of an answer, and of an error."""
THINK = ("<think>", "</think>")
TOO_LONG = ("context", "too long", "exceed")
"""What servers say of a prompt that has no room."""


class ServerGone(Exception):
    """No server answers, or it left in the middle."""


class Refused(Exception):
    """The server will not do this one."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail[:200]
        super().__init__(detail)


@dataclass(slots=True)
class Said:
    """What has come of an answer."""

    text: str = ""
    thoughts: str = ""
    finish_reason: str = ""
    """Empty while it is not over."""
    prompt_tokens: int = 0
    output_tokens: int = 0
    pieces: int = 0
    first_ns: int = 0


class Server:
    """The HTTP side.

    Args:
        url: of the server, without `/v1`.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port
        self._path = parts.path.rstrip("/").removesuffix("/v1")

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=timeout_s)

    def models(self) -> list[str]:
        """The models that it has.

        Raises:
            ServerGone: it does not say.
        """
        try:
            with contextlib.closing(self._connection(CONNECT_S)) as connection:
                connection.request("GET", f"{self._path}/v1/models")
                response = connection.getresponse()
                body = response.read(MOST_BYTES)
            if response.status != http.HTTPStatus.OK:
                raise ServerGone(f"HTTP status {response.status}")
            return [str(one["id"]) for one in json.loads(body)["data"]]
        except (OSError, http.client.HTTPException) as error:
            raise ServerGone(str(error) or type(error).__name__) from None
        except (ValueError, KeyError, TypeError):
            raise ServerGone("something that is no list of models") from None

    def ask(self, body: dict[str, Any], opened: Callable[[socket.socket], None]) -> Iterator[Said]:
        """An answer as it grows; the last one is whole.

        Args:
            body: the request.
            opened: given the socket, to be shut down where the answer is not wanted any more.

        Raises:
            Refused: the server refuses it.
            ServerGone: it is gone, says nothing for too long, or ends in the middle.
        """
        connection = self._connection(SILENT_S)
        said = Said()
        try:
            connection.connect()
            opened(connection.sock)
            connection.request(
                "POST",
                f"{self._path}/v1/chat/completions",
                json.dumps(body),
                {"Content-Type": "application/json", "Accept": "text/event-stream"},
            )
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                raise _refusal(response.status, response.read(MOST_BYTES))
            for line in response:
                if line.startswith(b"data:") and _take(line[5:].strip(), said):
                    break
                yield said
        except (OSError, http.client.HTTPException) as error:
            raise ServerGone(str(error) or type(error).__name__) from None
        finally:
            connection.close()
        if not said.finish_reason:
            raise ServerGone("its answer ended in the middle")
        yield said


def _refusal(status: int, body: bytes) -> Refused | ServerGone:
    text = body.decode(errors="replace")
    with contextlib.suppress(ValueError, KeyError, TypeError):
        error = json.loads(text)["error"]
        text = str(error["message"] if isinstance(error, dict) else error)
    detail = f"HTTP status {status}: {text.strip() or 'no reason'}"
    if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return Refused("engine_failed", detail)
    too_long = any(word in text.lower() for word in TOO_LONG)
    return Refused("too_long" if too_long else "no_answer", detail)


def _take(data: bytes, said: Said) -> bool:
    """One event of the stream; whether it was the last."""
    if data == b"[DONE]":
        return True
    try:
        chunk = json.loads(data)
        usage = chunk.get("usage") or {}
        said.prompt_tokens = _count(usage.get("prompt_tokens"), said.prompt_tokens)
        said.output_tokens = _count(usage.get("completion_tokens"), said.output_tokens)
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            text, thought = delta.get("content"), delta.get("reasoning_content")
            if text or thought:
                said.pieces += 1
                said.first_ns = said.first_ns or monotonic_ns()
            said.text += text or ""
            said.thoughts += thought or ""
            said.finish_reason = choice.get("finish_reason") or said.finish_reason
        if chunk.get("error"):
            raise Refused("engine_failed", str(chunk["error"]))
    except (ValueError, TypeError, AttributeError):
        raise ServerGone("it sent something that is no event") from None
    if len(said.text) + len(said.thoughts) > MOST_BYTES:
        raise Refused("no_answer", f"an answer of more than {MOST_BYTES} bytes")
    return False


def _count(value: object, known: int) -> int:
    return value if type(value) is int and 0 <= value < 1 << 32 else known


def body_of(request: dict[str, Any], model: str, document: str, given: str = "") -> dict[str, Any]:
    """A job as an OpenAI-compatible server takes it; `given`: the system prompt of one that brings
    none."""
    sampling = sampling_of(request)
    parts = (request["system"] or given, document, request["tools"])
    system = "\n\n".join(part for part in parts if part)
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for asked, answered in request["turns"]:
        messages += [{"role": "user", "content": asked}] if asked else []
        messages.append({"role": "assistant", "content": answered})
    messages.append({"role": "user", "content": _content(request)})
    for called, results in request["rounds"]:
        messages.append({"role": "assistant", "content": called})
        shown = "\n".join(response_text(result) for result in results)
        messages.append({"role": "user", "content": shown})
    body: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": request["max_tokens"],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed & 0x7FFFFFFF,
        "chat_template_kwargs": {"enable_thinking": request["thinking"]},
    }
    if sampling.top_k:
        body["top_k"] = sampling.top_k
    if sampling.min_p:
        body["min_p"] = sampling.min_p
    if request["schema"]:
        schema = json.loads(request["schema"])
        named = {"name": "answer", "schema": schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return body


def _content(request: dict[str, Any]) -> str | list[dict[str, Any]]:
    if not request["images"]:
        return str(request["text"])
    images = [{"type": "image_url", "image_url": {"url": url}} for url in request["images"]]
    return [*images, {"type": "text", "text": request["text"]}]


def split_thoughts(text: str) -> tuple[str, str]:
    """Thoughts that a server leaves in the text, and the answer."""
    if not text.lstrip().startswith(THINK[0]):
        return "", text.strip()
    thoughts, _, answer = text.partition(THINK[1])
    return thoughts.replace(THINK[0], "").strip(), answer.strip()


@dataclass(slots=True)
class _Job:
    request: dict[str, Any]
    socket: socket.socket | None = None
    """Of its request, once there is one."""
    said: Said = field(default_factory=Said)
    cut: bool = False


class HttpChild:
    """Takes requests on stdin, asks the server, writes events.

    Args:
        requests: a file descriptor.
        events: where events go.
    """

    def __init__(self, requests: int, events: BinaryIO) -> None:
        self._inbox = Inbox(requests)
        self._events = events
        self._lock = threading.Lock()
        self._jobs: dict[int, _Job] = {}
        self._gone: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._prefill_ns = 0.0
        self._step_ns = 0.0

    def _tell(self, **event: Any) -> None:
        with self._lock:
            self._events.write(pack(event))
            self._events.flush()

    def run(self) -> int:
        """Serve; the exit code."""
        requests: list[dict[str, Any]] = []
        while not requests:
            requests = self._inbox.take(1.0)
            if self._inbox.ended:
                return 0
        load = Load(**requests.pop(0))
        self._server = Server(load.url)
        try:
            models = self._server.models()
            self._model = load.path if load.path in models or not models else models[0]
            self._measure(load)
        except (ServerGone, Refused) as error:
            expected = f"a server at {load.url} that answers as OpenAI's does"
            self._tell(event="bad_model", key="node.engine", expected=expected, found=str(error))
            return EXIT_BAD_INPUT
        self._load = load
        self._tell(
            event="ready",
            context=load.context,
            threads=0,
            rss_peak_bytes=0,
            model=self._model,
            **self._speed(),
        )
        told_ns = monotonic_ns()
        while not self._inbox.ended:
            for request in requests:
                self._obey(request)
            if not self._gone.empty():
                sys.stderr.write(f"engine: the server is gone: {self._gone.get()}\n")
                return EXIT_SERVER_GONE
            if monotonic_ns() - told_ns > ALIVE_NS:
                self._tell(event="alive")
                told_ns = monotonic_ns()
            requests = self._inbox.take(0.05 if self._jobs else ALIVE_NS / 1e9)
        return 0

    def _speed(self) -> dict[str, Any]:
        return {
            "prefill_ns": self._prefill_ns,
            "step_ns": {1: self._step_ns},
            "sequences": self._load.sequences,
        }

    def _measure(self, load: Load) -> None:
        """Ask something, and see how long it takes."""
        request = {
            "system": "", "turns": [], "text": PROBE, "max_tokens": PROBE_TOKENS,
            "sampling": [0.0, 1.0, 0, 0.0, 1], "thinking": False, "schema": "",
            "tools": "", "rounds": [], "images": [],
        }  # fmt: skip
        begin_ns = monotonic_ns()
        last = Said()
        body = body_of(request, self._model, load.document, load.system)
        for said in self._server.ask(body, lambda _: None):
            last = said
        self._learn(last, begin_ns, monotonic_ns())

    def _learn(self, said: Said, begin_ns: int, end_ns: int) -> None:
        """Running means of what a token of a prompt and one of an answer take."""
        first_ns = said.first_ns or end_ns
        tokens = max(said.output_tokens, said.pieces, 1)
        prefill_ns = (first_ns - begin_ns) / max(said.prompt_tokens, 1)
        self._prefill_ns = _followed(self._prefill_ns, prefill_ns)
        self._step_ns = _followed(self._step_ns, (end_ns - first_ns) / max(tokens - 1, 1))

    def _obey(self, request: dict[str, Any]) -> None:
        match request["op"]:
            case "infer":
                job = self._jobs[request["id"]] = _Job(request)
                threading.Thread(target=self._answer, args=(job,), daemon=True).start()
            case "cut":
                job_or_none = self._jobs.get(request["id"])
                if job_or_none is not None:
                    job_or_none.cut = True
                    _hang_up(job_or_none)

    def _answer(self, job: _Job) -> None:
        """One job, on a thread of its own."""
        asked = job.request["id"]
        self._tell(event="started", id=asked, at_ns=monotonic_ns())
        try:
            self._ask(job)
        except Refused as error:
            self._tell(event="refused", id=asked, reason=error.reason, detail=error.detail)
        except ServerGone as error:
            if not job.cut:
                self._gone.put(str(error))
                return
            self._done(job, "deadline")
        self._jobs.pop(asked, None)

    def _ask(self, job: _Job) -> None:
        asked, request = job.request["id"], job.request
        schema = None
        if request["schema"]:
            try:
                schema = read_schema(request["schema"])
            except ValueError as error:
                raise Refused("bad_schema", str(error)) from None

        def opened(used: socket.socket) -> None:
            job.socket = used
            if job.cut:
                _hang_up(job)

        begin_ns = told_ns = monotonic_ns()
        first = True
        body = body_of(request, self._model, self._load.document, self._load.system)
        for said in self._server.ask(body, opened):
            job.said = said
            if said.pieces and first:
                self._tell(event="first_token", id=asked, at_ns=said.first_ns)
                first = False
            if job.cut:
                break
            if self._load.tell_ns and monotonic_ns() - told_ns >= self._load.tell_ns:
                if text := split_thoughts(said.text)[1]:
                    self._tell(event="wrote", id=asked, text=text)
                told_ns = monotonic_ns()
        self._learn(job.said, begin_ns, monotonic_ns())
        reason = "deadline" if job.cut else job.said.finish_reason
        if schema is not None and reason == "stop":
            found = fault(schema, split_thoughts(job.said.text)[1])
            if found:
                raise Refused("no_answer", f"it does not keep to its schema: {found}")
        self._done(job, reason)

    def _done(self, job: _Job, reason: str) -> None:
        said = job.said
        thoughts, text = split_thoughts(said.text)
        self._tell(
            event="done",
            id=job.request["id"],
            at_ns=monotonic_ns(),
            text=text,
            thoughts=said.thoughts.strip() or thoughts,
            exposed=False,
            finish_reason=reason if reason in ("stop", "length", "deadline") else "stop",
            prompt_tokens=said.prompt_tokens,
            output_tokens=max(said.output_tokens, said.pieces),
            cached_tokens=0,
            rss_peak_bytes=0,
            **self._speed(),
        )


def _followed(before: float, value: float) -> float:
    """A running mean, never 0."""
    return max(1.0, before + (0.3 if before else 1.0) * (value - before))


def _hang_up(job: _Job) -> None:
    """End a connection that another thread reads from."""
    with contextlib.suppress(OSError):
        if job.socket is not None:
            job.socket.shutdown(socket.SHUT_RDWR)


def main() -> int:
    """Entry point of `python -m node.engine.http_child`."""
    return as_engine(lambda requests, events: HttpChild(requests, events).run())


if __name__ == "__main__":
    sys.exit(main())
