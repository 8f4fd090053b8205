"""Eight questions at once: the node's engine process against llama-cpp-python's own HTTP server.

The same file, threads and context; the same eight prompts, without sampling; each contender in a
process of its own, asked in turn. Tokens a second count everything from the first request to the
last answer. `pip install -e .[server]` has what the server needs.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import psutil

from bench.row import Row
from models.resolve import resolve
from node.engine.chat import prompt
from node.engine.supervisor import EngineConfig, EngineEvent, Supervisor
from node.engine.wire import Load
from node.scheduler import Job, Order
from roundtrip.message import GREEDY, Question

MODEL = "synth:qwen3-0.6b:Q4_K_M"
CONTEXT = 512
QUESTIONS = 8
NEW_TOKENS = 48
ROUNDS = 3
START_S = 120.0


def rows() -> list[Row]:
    """Total tokens a second, ours over theirs.

    Raises:
        SystemExit: the server's packages are not there.
    """
    if importlib.util.find_spec("uvicorn") is None:
        raise SystemExit("llama_cpp.server is not installed: pip install -e '.[server]'")
    ratios, ours, theirs = [], 0.0, 0.0
    with _Server() as server:
        for turn in range(ROUNDS + 1):
            ours = asyncio.run(_ours())
            theirs = server.tokens_per_s()
            if turn:
                ratios.append(ours / theirs)
    return [
        Row(
            f"{QUESTIONS} questions at once, qwen3-0.6b Q4_K_M: engine / llama_cpp.server",
            statistics.median(ratios),
            "x",
            2.0,
            at_least=True,
            note=f"{ours:.0f} and {theirs:.0f} tok/s, prompts included",
        )
    ]


def _text(number: int) -> str:
    return f"Question {number}: is the battery within limits, and what should be done?"


async def _ours() -> float:
    done: asyncio.Queue[int] = asyncio.Queue()

    def on_event(event: EngineEvent) -> None:
        if isinstance(event, dict) and event["event"] == "done":
            done.put_nowait(event["output_tokens"])

    threads = psutil.cpu_count(logical=False) or 1
    load = Load(str(resolve(MODEL)), CONTEXT, QUESTIONS, threads, "f16", False, False, "", "")
    supervisor = Supervisor(EngineConfig(load), on_event)
    await supervisor.start()
    begin = time.perf_counter()
    for number in range(QUESTIONS):
        question = Question(number, _text(number), "", NEW_TOKENS, GREEDY, "off", 0)
        supervisor.infer(Order(Job(question, 0, 0), NEW_TOKENS, False, 0, False, None))
    tokens = sum([await done.get() for _ in range(QUESTIONS)])
    took_s = time.perf_counter() - begin
    await supervisor.close()
    return tokens / took_s


class _Server:
    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]

    def __enter__(self) -> _Server:
        threads = str(psutil.cpu_count(logical=False) or 1)
        command = [sys.executable, "-m", "llama_cpp.server", "--model", str(resolve(MODEL))]
        command += ["--n_ctx", str(CONTEXT), "--n_threads", threads, "--n_threads_batch", threads]
        command += ["--port", str(self._port), "--verbose", "False"]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            try:
                self._post("/v1/completions", {"prompt": "a", "max_tokens": 1})
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.5)
            else:
                return self
        self.__exit__()
        raise RuntimeError("llama_cpp.server does not answer")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def tokens_per_s(self) -> float:
        """Ask all at once, over as many connections."""
        begin = time.perf_counter()
        with ThreadPoolExecutor(QUESTIONS) as pool:
            counts = list(pool.map(self._ask, range(QUESTIONS)))
        return sum(counts) / (time.perf_counter() - begin)

    def _ask(self, number: int) -> int:
        pieces = prompt(text=_text(number), system="", thinking=False)
        body = {
            "prompt": "".join(piece.text for piece in pieces),
            "max_tokens": NEW_TOKENS,
            "temperature": 0,
        }
        tokens: int = self._post("/v1/completions", body)["usage"]["completion_tokens"]
        return tokens

    def _post(self, path: str, body: dict[str, object]) -> dict[str, dict[str, int]]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=600) as answer:
            found: dict[str, dict[str, int]] = json.load(answer)
        return found
