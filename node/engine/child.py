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
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import psutil

from node.engine.wire import ALIVE_NS, Load, pack, sampling_of, unpack
from roundtrip.drive.clock import monotonic_ns
from roundtrip.errors import EXIT_BAD_INPUT, BadModel

if TYPE_CHECKING:
    from node.engine.batching import Batcher
    from node.engine.requests import Event

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
            batcher = self._load(Load(**requests.pop(0)))
        except BadModel as error:
            self._tell(event="bad_model", key=error.key, expected=error.expected, found=error.found)
            return EXIT_BAD_INPUT
        while not self._inbox.ended:
            for request in requests:
                self._obey(batcher, request)
            if batcher.busy:
                self._tell_all(batcher, batcher.admit())
                self._tell_all(batcher, batcher.step())
            if monotonic_ns() - self._told_ns > ALIVE_NS:
                self._tell(event="alive")
            requests = self._inbox.take(0.0 if batcher.busy else ALIVE_NS / 1e9)
        return 0

    def _load(self, load: Load) -> Batcher:
        from node.engine.batching import Batcher
        from node.engine.costs import Costs
        from node.engine.draft_model import DraftModel, same_vocabulary
        from node.engine.llama import Engine, EngineSettings, state_key
        from node.engine.prefixes import Prefixes
        from node.engine.tuning import tuned

        settings = EngineSettings(
            load.context,
            load.threads or 1,
            load.sequences,
            load.kv,
            lock=load.lock,
            use_extra_bufts=load.use_extra_bufts,
        )
        engine = Engine(load.path, settings)
        engine.self_test()
        key = state_key(Path(load.path), settings)
        folder = Path(load.states) if load.states else None
        threads = [load.threads] if load.threads else thread_counts(load.max_threads)
        file = folder / f"{key}.json" if folder is not None else None
        choice = tuned(engine, settings, threads, file=file, clock_ns=monotonic_ns)
        model = None
        if load.draft:
            small = Engine(load.draft, replace(settings, threads=choice.threads, flash=True))
            if not same_vocabulary(engine, small):
                found = f"another in {load.draft}"
                raise BadModel(load.path, "node.draft", "a model with the same vocabulary", found)
            model = DraftModel(small, monotonic_ns)
        batcher = Batcher(
            engine,
            prefixes=Prefixes(folder, f"{key}-{'flash' if choice.flash else 'plain'}"),
            clock_ns=monotonic_ns,
            drafts=load.drafts,
            model=model,
            document=load.document,
            prefill_ns=choice.prefill_ns,
            costs=Costs(choice.step_ns, choice.check_ns),
            fixed_width=load.fixed_width,
            tell_ns=load.tell_ns,
        )
        self._tell(
            event="ready",
            context=engine.context,
            threads=choice.threads,
            flash=choice.flash,
            rss_peak_bytes=_rss_peak_bytes(),
            **_speed(batcher),
        )
        return batcher

    def _obey(self, batcher: Batcher, request: dict[str, Any]) -> None:
        from node.engine.requests import Request

        job = request["id"]
        match request["op"]:
            case "infer":
                batcher.add(
                    Request(
                        job,
                        request["text"],
                        request["system"],
                        request["max_tokens"],
                        sampling_of(request),
                        request["thinking"],
                        request["think_tokens"],
                        request["alone"],
                        request["schema"],
                        tuple((asked, answered) for asked, answered in request["turns"]),
                    )
                )
            case "threads":
                batcher.set_threads(request["threads"])
            case "cut":
                self._tell_all(batcher, batcher.cut(job))

    def _tell_all(self, batcher: Batcher, events: list[Event]) -> None:
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
                        finish_reason=event.finish_reason,
                        prompt_tokens=event.prompt_tokens,
                        cached_tokens=event.cached_tokens,
                        output_tokens=event.output_tokens,
                        rss_peak_bytes=_rss_peak_bytes(),
                        **_speed(batcher),
                    )


def _speed(batcher: Batcher) -> dict[str, Any]:
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


def _rss_peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> int:
    """Entry point of `python -m node.engine.child`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return Server(sys.stdin.fileno(), events).run()


if __name__ == "__main__":
    sys.exit(main())
