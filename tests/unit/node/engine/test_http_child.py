"""What is asked of a server, and what its answers are taken for."""

from __future__ import annotations

import json

import pytest

from node.engine.http_child import (
    MOST_BYTES,
    Refused,
    Said,
    ServerGone,
    _refusal,
    _take,
    body_of,
    split_thoughts,
)

REQUEST = {
    "op": "infer", "id": 7, "text": "Well?", "system": "", "turns": [], "max_tokens": 8,
    "sampling": [0.5, 0.9, 0, 0.0, 2**40 + 3], "thinking": False, "think_tokens": 0,
    "alone": False, "schema": "",
    "tools": "", "rounds": [], "images": [],
}  # fmt: skip
USER = {"role": "user", "content": "Well?"}


def test_a_question_is_a_chat_that_is_streamed() -> None:
    assert body_of(REQUEST, "it", "") == {
        "model": "it",
        "messages": [USER],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 8,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3,
        "chat_template_kwargs": {"enable_thinking": False},
    }


def test_what_was_said_before_and_the_document_go_along() -> None:
    request = REQUEST | {"system": "Be short.", "turns": [["Hm?", "Yes."], ["", "And?"]]}
    assert body_of(request, "it", "No fuel below 3 bar.")["messages"] == [
        {"role": "system", "content": "Be short.\n\nNo fuel below 3 bar."},
        {"role": "user", "content": "Hm?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "assistant", "content": "And?"},
        USER,
    ]
    assert body_of(REQUEST, "it", "Text.")["messages"][0]["content"] == "Text."
    for own, system in (("", "Be long."), ("Be short.", "Be short.")):
        body = body_of(REQUEST | {"system": own}, "it", "", "Be long.")
        assert body["messages"][0]["content"] == system


def test_tools_images_and_what_was_called_go_along() -> None:
    call = '<tool_call>\n{"name": "a"}\n</tool_call>'
    request = REQUEST | {
        "tools": "# Tools", "images": ["data:image/jpeg;base64,AA=="],
        "rounds": [[call, ["SUN", "1"]]],
    }  # fmt: skip
    assert body_of(request, "it", "Text.")["messages"] == [
        {"role": "system", "content": "Text.\n\n# Tools"},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AA=="}},
                {"type": "text", "text": "Well?"},
            ],
        },
        {"role": "assistant", "content": call},
        {
            "role": "user",
            "content": "<tool_response>\nSUN\n</tool_response>\n"
            "<tool_response>\n1\n</tool_response>",
        },
    ]


def test_what_not_every_server_knows_is_left_out_where_it_is_not_wanted() -> None:
    request = REQUEST | {
        "sampling": [0.5, 0.9, 20, 0.1, 3], "schema": '{"type": "null"}', "thinking": True,
    }  # fmt: skip
    body = body_of(request, "it", "")
    assert (body["top_k"], body["min_p"]) == (20, 0.1)
    assert body["response_format"]["json_schema"]["schema"] == {"type": "null"}
    assert body["chat_template_kwargs"] == {"enable_thinking": True}


@pytest.mark.parametrize(
    ("text", "thoughts", "answer"),
    [
        (" Yes. ", "", "Yes."),
        ("<think>\nHm.\n</think>\n\nYes.", "Hm.", "Yes."),
        ("<think>\n\n</think>\n\nYes.", "", "Yes."),
        ("<think>Hm", "Hm", ""),
        ("Is <think> a tag? </think>", "", "Is <think> a tag? </think>"),
    ],
)
def test_thoughts_in_the_text_are_not_the_answer(text: str, thoughts: str, answer: str) -> None:
    assert split_thoughts(text) == (thoughts, answer)


def chunk(**delta: object) -> bytes:
    return json.dumps({"choices": [{"delta": delta}]}).encode()


def test_an_answer_grows_by_events() -> None:
    said = Said()
    for data in (
        chunk(role="assistant"),
        chunk(reasoning_content="Hm."),
        chunk(content="Yes"),
        chunk(content="."),
        json.dumps({"choices": [{"delta": {}, "finish_reason": "stop"}]}).encode(),
        json.dumps({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}).encode(),
        b'{"object": "ping"}',
    ):
        assert not _take(data, said)
    assert _take(b"[DONE]", said)
    assert (said.text, said.thoughts, said.finish_reason) == ("Yes.", "Hm.", "stop")
    assert (said.prompt_tokens, said.output_tokens, said.pieces) == (9, 4, 3)
    assert said.first_ns


@pytest.mark.parametrize("count", [-1, 2**32, "9", 1.5, None, True, [1]])
def test_wrong_counts_are_no_counts(count: object) -> None:
    said = Said(prompt_tokens=5)
    data = json.dumps({"usage": {"prompt_tokens": count, "completion_tokens": count}})
    _take(data.encode(), said)
    assert (said.prompt_tokens, said.output_tokens) == (5, 0)


@pytest.mark.parametrize(
    "data", [b"", b"junk", b"[]", b"5", b'{"choices": 5}', b'{"choices": [5]}', b"\xff"]
)
def test_what_is_no_event_ends_it(data: bytes) -> None:
    with pytest.raises(ServerGone):
        _take(data, Said())


def test_an_error_in_the_stream_refuses_the_question() -> None:
    with pytest.raises(Refused, match="out of memory") as caught:
        _take(b'{"error": {"message": "out of memory"}}', Said())
    assert caught.value.reason == "engine_failed"


def test_an_answer_without_end_is_refused() -> None:
    said = Said()
    _take(chunk(content="x" * (MOST_BYTES // 2)), said)
    _take(chunk(content="x" * (MOST_BYTES // 2)), said)
    with pytest.raises(Refused, match="more than"):
        _take(chunk(reasoning_content="x"), said)


@pytest.mark.parametrize(
    ("status", "body", "reason", "detail"),
    [
        (400, b'{"error": {"message": "the context is 512"}}', "too_long", "the context is 512"),
        (400, b'{"error": "no such model"}', "no_answer", "no such model"),
        (404, b"", "no_answer", "no reason"),
        (422, b"\xff[", "no_answer", "HTTP status 422"),
        (500, b"oh", "engine_failed", "HTTP status 500: oh"),
        (503, b'{"error": {"message": "context"}}', "engine_failed", "context"),
    ],
)
def test_a_status_is_a_reason(status: int, body: bytes, reason: str, detail: str) -> None:
    found = _refusal(status, body)
    assert isinstance(found, Refused)
    assert found.reason == reason
    assert detail in found.detail
