"""The engine's process: reads requests on stdin, writes events on stdout, ends with its stdin.

Nothing else may write to stdout: file descriptor 1 is pointed at stderr before llama.cpp is loaded.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from typing import Any, BinaryIO

from node.chat import prompt
from node.engine_wire import pack, read, sampling_of
from roundtrip.drive.clock import monotonic_ns
from roundtrip.errors import EXIT_BAD_INPUT, BadModel

_PR_SET_PDEATHSIG = 1
"""linux/prctl.h: the kernel ends this process with its parent, even in the middle of an answer."""


def serve(requests: BinaryIO, events: BinaryIO) -> int:
    """Load the model that the first request names, then answer until the stream ends.

    Returns:
        The exit code.
    """

    def tell(**event: Any) -> None:
        events.write(pack(event))
        events.flush()

    load = read(requests)
    if load is None:
        return 0
    from node.engine import Engine, TooLong

    try:
        engine = Engine(
            load["path"],
            context=load["context"],
            threads=load["threads"],
            use_extra_bufts=load["use_extra_bufts"],
        )
        engine.self_test()
    except BadModel as error:
        tell(event="bad_model", key=error.key, expected=error.expected, found=error.found)
        return EXIT_BAD_INPUT
    tell(event="ready", context=engine.context, rss_peak_bytes=_rss_peak_bytes())
    while (request := read(requests)) is not None:
        if request["op"] == "threads":
            engine.set_threads(request["threads"])
            continue
        job = request["id"]
        tell(event="started", id=job, at_ns=monotonic_ns())
        try:
            generation = engine.answer(
                prompt(
                    text=request["text"], system=request["system"], thinking=request["thinking"]
                ),
                max_tokens=request["max_tokens"],
                sampling=sampling_of(request),
                thinking=request["thinking"],
                on_first_token=lambda job=job: tell(  # type: ignore[misc]
                    event="first_token", id=job, at_ns=monotonic_ns()
                ),
            )
        except TooLong as error:
            tell(event="refused", id=job, reason="too_long", detail=str(error))
            continue
        tell(
            event="done",
            id=job,
            at_ns=monotonic_ns(),
            text=generation.text,
            finish_reason=generation.finish_reason,
            prompt_tokens=generation.prompt_tokens,
            output_tokens=generation.output_tokens,
            rss_peak_bytes=_rss_peak_bytes(),
        )
    return 0


def _rss_peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> int:
    """Entry point of `python -m node.engine_child`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return serve(sys.stdin.buffer, events)


if __name__ == "__main__":
    sys.exit(main())
