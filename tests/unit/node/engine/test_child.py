"""The engine's process, with a batcher that says what it is asked."""

from __future__ import annotations

import io
import os
from types import SimpleNamespace
from typing import Any

from models.gguf.inspect import inspect
from models.resolve import resolve
from node.engine.child import Server
from node.engine.requests import Done, Event, FirstToken, Request, Started
from node.engine.wire import Load, pack, unpack

INFER = {
    "op": "infer", "id": 7, "text": "Well?", "system": "", "turns": [], "max_tokens": 8,
    "sampling": [0.0, 1.0, 0, 0.0, 1], "thinking": False, "think_tokens": 0, "alone": False,
    "schema": "", "tools": "", "rounds": [], "images": [],
}  # fmt: skip


class Batcher:
    """Answers in one step; `told` is what had been told when it was asked for it."""

    prefill_ns, step_ns, width = 1.0, {1: 2.0}, 1
    resting = False

    def __init__(self, out: io.BytesIO) -> None:
        self._out = out
        self.waiting: list[Request] = []
        self.told: list[str] = []

    @property
    def busy(self) -> bool:
        return bool(self.waiting)

    def add(self, request: Request) -> None:
        self.waiting.append(request)

    def admit(self) -> list[Event]:
        return [Started(request.id) for request in self.waiting]

    def step(self) -> list[Event]:
        self.told = [body["event"] for body in bodies(self._out)]
        request = self.waiting.pop(0)
        return [FirstToken(request.id), Done(request.id, "Yes.", "stop", 1, 1, 0)]

    def rest(self) -> None:
        raise AssertionError("it has work until its requests end")


def bodies(out: io.BytesIO) -> list[dict[str, Any]]:
    buffer = bytearray(out.getvalue())
    found = []
    while len(buffer) > 4 and (body := unpack(buffer)) is not None:
        found.append(body)
    return found


def test_a_start_is_told_before_the_prompt_is_read() -> None:
    """Else reading it would count as waiting."""
    reading, writing = os.pipe()
    out = io.BytesIO()
    server = Server(reading, out)
    server._batcher = batcher = Batcher(out)
    os.close(writing)
    server._serve([INFER])
    os.close(reading)
    assert batcher.told == ["started"]
    told = bodies(out)
    assert [body["event"] for body in told] == ["started", "first_token", "done"]
    assert told[0]["at_ns"] <= told[1]["at_ns"] <= told[2]["at_ns"]
    assert (told[2]["text"], told[2]["exposed"]) == ("Yes.", False)


def test_requests_come_in_whole_however_they_are_cut() -> None:
    reading, writing = os.pipe()
    server = Server(reading, io.BytesIO())
    data = pack(INFER)
    os.write(writing, data[:9])
    assert server._inbox.take(0.0) == []
    os.write(writing, data[9:] + pack(INFER) + data[:3])
    assert server._inbox.take(0.0) == [INFER, INFER]
    os.close(writing)
    assert server._inbox.take(0.0) == []
    assert server._inbox.ended
    os.close(reading)


def test_upsets_may_hit_the_whole_cache() -> None:
    """Keys and values of each token that the sequences have room for, 2 bytes each."""
    server = Server(0, io.BytesIO())
    load = Load(
        str(resolve("tiny")), context=64, sequences=3, threads=1, kv="f16", lock=False,
        drafts=False, states="", document="", flips_per_bit_day=1.0,
    )  # fmt: skip
    server._expose(load, SimpleNamespace(), SimpleNamespace(bits=5))
    info = inspect(resolve("tiny"))
    assert server._upsets._cache_bits == 8 * info.kv_bytes_per_token * 64 * 3
