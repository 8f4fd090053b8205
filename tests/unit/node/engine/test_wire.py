"""What the supervisor and the engine's process say to each other, there and back."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from node.engine.events import (
    EngineDone,
    EngineFirstToken,
    EngineRefused,
    EngineStarted,
    EngineWrote,
    InferenceResult,
    JobEvent,
)
from node.engine.wire import Load, infer, job_event, load, pack, read, sampling_of, unpack
from node.scheduler import Job, Order
from roundtrip.message import Question, Sampling, Turn

SAMPLING = Sampling(0.7, 0.9, 30, 0.05, 12)
QUESTION = Question(7, "Well?", "Be brief.", 64, SAMPLING, "on", 1000, schema='{"type": "null"}')
QUESTION = replace(QUESTION, turns=(Turn("Hi?", "Hello."), Turn("", "Ready.")))
ORDER = Order(Job(QUESTION, 0, 10**12), 48, True, 16, True, None)


def test_a_message_is_cbor_behind_its_length_in_four_bytes() -> None:
    assert pack({"a": 1}).hex() == "00000004" + "a1616101"


def test_messages_follow_each_other_in_a_stream() -> None:
    stream = io.BytesIO(pack({"a": 1}) + pack({"b": "é" * 300}) + b"\0\0")
    assert [read(stream) for _ in range(3)] == [{"a": 1}, {"b": "é" * 300}, None]


def test_a_message_is_taken_out_of_a_buffer_when_it_is_whole() -> None:
    data = pack({"a": 1}) + pack({"b": [2]})
    buffer, found = bytearray(), []
    for byte in data:
        buffer.append(byte)
        while (body := unpack(buffer)) is not None:
            found.append((body, len(buffer)))
    assert found == [({"a": 1}, 0), ({"b": [2]}, 0)]
    buffer = bytearray(data)
    assert unpack(buffer) == {"a": 1}
    assert buffer == pack({"b": [2]})


def test_the_engine_is_asked_for_what_the_order_says() -> None:
    request = unpack(bytearray(pack(infer(ORDER))))
    assert request is not None
    assert sampling_of(request) == SAMPLING
    del request["sampling"]
    assert request == {
        "op": "infer", "id": 7, "text": "Well?", "system": "Be brief.", "max_tokens": 48,
        "thinking": True, "think_tokens": 16, "alone": True, "schema": '{"type": "null"}',
        "tools": "", "rounds": [], "images": [],
        "turns": [["Hi?", "Hello."], ["", "Ready."]],
    }  # fmt: skip


def test_what_is_to_be_loaded_comes_through() -> None:
    what = Load("m.gguf", 512, 2, 3, "q8_0", True, False, "states", "text", 4, False, "d", True, 9)
    request = unpack(bytearray(pack(load(what))))
    assert request is not None
    assert Load(**request) == what


@pytest.mark.parametrize(
    ("body", "event"),
    [
        ({"event": "started", "at_ns": 5}, EngineStarted(7, 5)),
        ({"event": "first_token", "at_ns": 6}, EngineFirstToken(7, 6)),
        ({"event": "wrote", "text": "Ye"}, EngineWrote(7, "Ye")),
        (
            {"event": "refused", "reason": "too_long", "detail": "9 tokens"},
            EngineRefused(7, "too_long", "9 tokens"),
        ),
        (
            {
                "event": "done", "at_ns": 8, "text": "Yes", "finish_reason": "stop",
                "prompt_tokens": 9, "output_tokens": 3, "rss_peak_bytes": 10**9,
                "prefill_ns": 1.5, "step_ns": {1: 2.5}, "sequences": 4, "thoughts": "Hm.",
                "exposed": True,
            },
            EngineDone(
                7, 8, InferenceResult("Yes", "stop", 9, 3, 10**9, 1.5, {1: 2.5}, 4, "Hm.", True)
            ),
        ),
    ],
)  # fmt: skip
def test_what_the_engine_says_of_a_job_is_an_event(body: dict, event: JobEvent) -> None:
    assert job_event({"id": 7, **body}) == event
