"""The engine's process: reads requests on stdin, writes events on stdout, ends with its stdin.

Nothing else may write to stdout: file descriptor 1 is pointed at stderr before llama.cpp is loaded.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import psutil

from node.engine.guarded import Guarded, ProbeFailed
from node.engine.memory_upsets import MemoryUpsets
from node.engine.requests import NotFinite
from node.engine.scrub import Mended, Scrubber
from node.engine.wire import (
    ALIVE_NS,
    EXIT_NOT_FINITE,
    EXIT_PROBE_FAILED,
    Load,
    pack,
    request_of,
    unpack,
)
from roundtrip.drive.clock import monotonic_ns
from roundtrip.errors import EXIT_BAD_INPUT, BadModel
from roundtrip.rng import substream

if TYPE_CHECKING:
    from node.engine.batching import Batcher
    from node.engine.requests import Event
    from node.engine.weights import Weights

NICENESS = 5
"""The engine gives way to what handles frames, which takes little, but cannot wait."""
_PR_SET_PDEATHSIG = 1
"""linux/prctl.h: the kernel ends this process with its parent, even in the middle of an answer."""


class Inbox:
    """Requests from a file descriptor, waited for or not."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = bytearray()
        self.ended = False

    def take(self, wait_s: float) -> list[dict[str, Any]]:
        """What is there, after waiting for it if nothing is."""
        found: list[dict[str, Any]] = []
        while not self.ended and select.select([self._descriptor], [], [], wait_s)[0]:
            data = os.read(self._descriptor, 1 << 16)
            self.ended = not data
            self._buffer += data
            while (request := unpack(self._buffer)) is not None:
                found.append(request)
            wait_s = 0.0 if found else wait_s
        return found


class Server:
    """Loads the model that the first request names, then answers until the requests end."""

    def __init__(self, requests: int, events: BinaryIO) -> None:
        self._inbox = Inbox(requests)
        self._events = events
        self._told_ns = 0
        self._batcher: Batcher | Guarded
        self._upsets: MemoryUpsets | None = None

    def _tell(self, **event: Any) -> None:
        self._events.write(pack(event))
        self._events.flush()
        self._told_ns = monotonic_ns()

    def run(self) -> int:
        """Serve; the exit code."""
        requests: list[dict[str, Any]] = []
        while not requests:
            requests = self._inbox.take(1.0)
            if self._inbox.ended:
                return 0
        try:
            self._load(Load(**requests.pop(0)))
        except BadModel as error:
            self._tell(event="bad_model", key=error.key, expected=error.expected, found=error.found)
            return EXIT_BAD_INPUT
        try:
            self._serve(requests)
        except ProbeFailed:
            return EXIT_PROBE_FAILED
        except NotFinite:
            return EXIT_NOT_FINITE
        return 0

    def _serve(self, requests: list[dict[str, Any]]) -> None:
        batcher = self._batcher
        while not self._inbox.ended:
            for request in requests:
                self._obey(request)
            if batcher.busy:
                self._tell_all(batcher.admit())  # before the prompts are read
                self._tell_all(batcher.step())
            elif not batcher.resting:
                batcher.rest()
            if self._upsets is not None:
                self._upsets.happen(monotonic_ns())
            if monotonic_ns() - self._told_ns > ALIVE_NS:
                self._tell(event="alive")
            requests = self._inbox.take(ALIVE_NS / 1e9 if batcher.resting else 0.0)

    def _load(self, load: Load) -> None:
        from node.engine.loading import loaded
        from node.engine.weights import Weights

        engine = loaded(load, thread_counts(load.max_threads), _say)
        self._batcher = batcher = engine.batcher
        if load.private:
            weights = Weights(engine.engine, Path(load.path), engine.files)
            self._expose(load, batcher, weights)
        self._tell(
            event="ready",
            context=engine.engine.context,
            threads=engine.choice.threads,
            flash=engine.choice.flash,
            rss_peak_bytes=_rss_peak_bytes(),
            **_speed(batcher),
        )

    def _expose(self, load: Load, batcher: Batcher, weights: Weights) -> None:
        """Let upsets happen to the memory, and guard the answers against them."""
        from models.gguf.inspect import inspect

        if load.scrub:
            self._batcher = Guarded(
                batcher,
                Scrubber(weights, monotonic_ns),
                clock_ns=monotonic_ns,
                probe_ns=load.probe_ns,
                on_mended=self._mended,
            )
        cache_bytes = inspect(Path(load.path)).kv_bytes_per_token * load.context * load.sequences
        self._upsets = MemoryUpsets(
            load.flips_per_bit_day,
            substream(load.flips_seed, "node/upsets"),
            weights,
            batcher,
            cache_bits=8 * cache_bytes,
            now_ns=monotonic_ns(),
        )

    def _mended(self, mended: Mended, again: int) -> None:
        self._tell(event="mended", tensor=mended.name, source=mended.source, again=again)

    def _obey(self, request: dict[str, Any]) -> None:
        job, batcher = request["id"], self._batcher
        match request["op"]:
            case "infer":
                batcher.add(request_of(request))
            case "threads":
                batcher.set_threads(request["threads"])
            case "cut":
                self._tell_all(batcher.cut(job))

    def _tell_all(self, events: list[Event]) -> None:
        from node.engine.requests import Done, FirstToken, Refused, Started, Wrote

        for event in events:
            match event:
                case Started():
                    self._tell(event="started", id=event.id, at_ns=monotonic_ns())
                case FirstToken():
                    self._tell(event="first_token", id=event.id, at_ns=monotonic_ns())
                case Wrote():
                    self._tell(event="wrote", id=event.id, text=event.text)
                case Refused():
                    self._tell(
                        event="refused", id=event.id, reason=event.reason, detail=event.detail
                    )
                case Done():
                    self._tell(
                        event="done",
                        id=event.id,
                        at_ns=monotonic_ns(),
                        text=event.text,
                        thoughts=event.thoughts,
                        exposed=event.exposed,
                        finish_reason=event.finish_reason,
                        prompt_tokens=event.prompt_tokens,
                        cached_tokens=event.cached_tokens,
                        output_tokens=event.output_tokens,
                        rss_peak_bytes=_rss_peak_bytes(),
                        **_speed(self._batcher),
                    )


def _speed(batcher: Batcher | Guarded) -> dict[str, Any]:
    return {
        "prefill_ns": batcher.prefill_ns,
        "step_ns": dict(batcher.step_ns),
        "sequences": batcher.width,
    }


def thread_counts(most: int = 0) -> list[int]:
    """1, 2, 4 ... and all physical cores that this process may use, `most` at most."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = min(psutil.cpu_count(logical=False) or 1, usable or 1)
    cores = min(cores, most or cores)
    return sorted({*(1 << power for power in range(8) if 1 << power < cores), cores})


def _say(line: str) -> None:
    sys.stderr.write(f"engine: {line}\n")


def _rss_peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def as_engine(serve: Callable[[int, BinaryIO], int]) -> int:
    """Be an engine's process, which gives way to the node and ends with it.

    Args:
        serve: given where requests come from and where events go; its result is the exit code.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return serve(sys.stdin.fileno(), events)


def main() -> int:
    """Entry point of `python -m node.engine.child`."""
    return as_engine(lambda requests, events: Server(requests, events).run())


if __name__ == "__main__":
    sys.exit(main())
