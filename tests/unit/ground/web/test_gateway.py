"""OpenAI's and Ollama's APIs against a desk that answers at once; real clients are live tests."""

from __future__ import annotations

import http.client
import json
import threading
from dataclasses import replace
from typing import Any

import pytest

from ground.desk import Desk
from ground.outputs import NodeHealth, Settled, StorePart
from roundtrip.budget import Outcome
from roundtrip.message import MAX_TEXT_BYTES, Health, Part
from tests.unit.ground.web.test_server import Actor, request, served

CHAT = "/v1/chat/completions"
ASKED = {"messages": [{"role": "user", "content": "Well?"}]}


@pytest.fixture
def answering(answered):
    """Have every question that comes answered in two parts, or as `changes` say."""

    def make(check: Any, **changes: Any) -> Actor:
        done: set[int] = set()

        def also(desk: Desk, actor: Actor) -> None:
            if desk.health is None:
                desk.output(NodeHealth(Health("tiny one", "Q8_0", 512, 1, 0)))
            for number in range(5, 5 + len(actor.machine.asked)):
                if number in done:
                    continue
                done.add(number)
                if not changes:
                    desk.output(StorePart(Part(number, 0, "Ye"), None))
                desk.output(Settled(replace(answered(question_id=number), **changes)))

        return served(check, also=also)

    return make


def stream(port: int, path: str, body: object) -> list[Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", path, json.dumps(body))
    lines = [line.decode().strip() for line in connection.getresponse()]
    connection.close()
    return [line.removeprefix("data: ") for line in lines if line and not line.startswith(":")]


def test_a_chat_is_a_question(answering) -> None:
    def check(port: int) -> None:
        status, found = request(port, "POST", CHAT, {**ASKED, "max_tokens": 9, "seed": 4})
        assert status == 200
        assert found["choices"] == [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Yes."},
                "finish_reason": "stop",
            }
        ]
        assert found["usage"]["total_tokens"] == 16
        assert {"waited_s", "contact", "expected_answer_at"} < set(found["link"])

    (asked,) = answering(check).machine.asked
    assert (asked.text, asked.asking.max_tokens, asked.asking.seed) == ("Well?", 9, 4)


def test_a_stream_says_the_same_in_pieces(answering) -> None:
    def check(port: int) -> None:
        body = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
        *chunks, last = stream(port, CHAT, body)
        assert last == "[DONE]"
        parsed = [json.loads(chunk) for chunk in chunks]
        said = [c["choices"][0]["delta"].get("content") for c in parsed if c["choices"]]
        assert said == ["", "Ye", "s.", None]
        assert parsed[-2]["choices"][0]["finish_reason"] == "stop"
        assert parsed[-1]["usage"]["completion_tokens"] == 6
        body = {**ASKED, "stream": True, "stop": ["s"]}
        chunks = [json.loads(chunk) for chunk in stream(port, CHAT, body)[:-1]]
        assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == "Ye"

    answering(check)


def test_a_retry_of_a_request_under_way_is_not_sent_up_twice(answering) -> None:
    def check(port: int) -> None:
        again = {"x-stainless-retry-count": "1"}
        for headers in ({}, again, {}):
            assert request(port, "POST", CHAT, ASKED, **headers)[0] == 200

    assert len(answering(check).machine.asked) == 2


LONG = "x" * (MAX_TEXT_BYTES + 1)
SAID = {"role": "user", "content": "Well?"}


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        (CHAT, {"messages": [{**SAID, "content": LONG}]}, "text"),
        (CHAT, {"messages": [{**SAID, "role": "system", "content": LONG}, SAID]}, "system"),
        (
            CHAT,
            {"messages": [SAID, {**SAID, "role": "assistant", "content": LONG}, SAID]},
            "text and turns",
        ),
        ("/v1/responses", {"input": LONG}, "text"),
        ("/v1/responses", {"input": "Well?", "instructions": LONG}, "system"),
        ("/api/chat", {"messages": [{**SAID, "content": LONG}]}, "text"),
        ("/api/generate", {"prompt": LONG}, "text"),
        ("/api/generate", {"prompt": "x", "format": {"title": LONG}}, "json_schema"),
        ("/api/questions", {"text": LONG}, "text"),
    ],
)
def test_a_text_that_no_node_would_take_does_not_go_up(
    answering, path: str, body: dict[str, object], named: str
) -> None:
    def check(port: int) -> None:
        status, found = request(port, "POST", path, body)
        assert status == 400
        assert f"question: {named}: expected at most 65536 bytes" in json.dumps(found)

    assert answering(check).machine.asked == []


@pytest.mark.parametrize("path", [CHAT, "/v1/responses", "/api/chat", "/api/questions"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"a": "\\ud800"}', b"\xff"])
def test_what_is_no_json_or_no_object_is_one_error(answering, path: str, body: bytes) -> None:
    def check(port: int) -> None:
        status, found = request(port, "POST", path, body)
        assert status == 400
        assert ": expected" in json.dumps(found)

    assert answering(check).machine.asked == []


def test_a_name_of_the_clients_own_tells_its_tries(answering) -> None:
    def check(port: int) -> None:
        for name in ("a", "a", "b"):
            headers = {"Idempotency-Key": name}
            assert request(port, "POST", CHAT, ASKED, **headers)[0] == 200

    assert len(answering(check).machine.asked) == 2


@pytest.mark.parametrize("path", [CHAT, "/api/chat", "/v1/responses"])
@pytest.mark.parametrize("streams", [True, False])
def test_who_went_without_an_answer_and_asks_the_same_finds_it(
    answered, path: str, streams: bool
) -> None:
    """A client that timed out and says nothing of having tried before."""
    body = {**ASKED, "input": "Well?", "model": "", "stream": streams}
    allowed: list[bool] = []
    left, noticed = threading.Event(), threading.Event()
    turns: list[int] = []

    def also(desk: Desk, actor: Actor) -> None:
        if left.is_set():
            turns.append(0)
            if len(turns) > 10:
                noticed.set()
        if allowed and actor.machine.asked and desk.found(f"{5:014x}").get("outcome") is None:
            desk.output(Settled(answered(question_id=5)))

    def check(port: int) -> None:
        gone = http.client.HTTPConnection("127.0.0.1", port, timeout=0.3)
        gone.request("POST", path, json.dumps(body))
        with pytest.raises(TimeoutError):
            gone.getresponse().read()
        gone.close()
        left.set()
        assert noticed.wait(10)
        allowed.append(True)
        again = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        again.request("POST", path, json.dumps(body))
        assert b"Yes." in again.getresponse().read()
        again.close()

    assert len(served(check, also=also).machine.asked) == 1


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        (
            {"outcome": Outcome.REFUSED, "reason": "bad_schema", "detail": "oneOf"},
            400,
            "bad_schema",
        ),
        ({"outcome": Outcome.REFUSED, "reason": "queue_full", "answer": None}, 503, "queue_full"),
        ({"outcome": Outcome.EXPIRED, "reason": "expired", "answer": None}, 504, "expired"),
    ],
)
def test_a_question_without_an_answer_is_an_error(
    answering, changes: dict[str, object], status: int, code: str
) -> None:
    def check(port: int) -> None:
        found = request(port, "POST", CHAT, ASKED)
        assert found[0] == status
        assert found[1]["error"]["code"] == code
        streamed = stream(port, CHAT, {**ASKED, "stream": True})
        assert json.loads(streamed[-2])["error"]["code"] == code
        told = request(port, "POST", "/api/chat", {**ASKED, "stream": False})
        assert told[0] == 503
        assert code in told[1]["error"]

    answering(check, **changes)


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"{", 400, None),
        ({"messages": []}, 400, "messages"),
        ({**ASKED, "temperature": 3}, 400, "temperature"),
        ({**ASKED, "n": 2}, 400, "n"),
        ({**ASKED, "model": "gpt-4"}, 404, None),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, None),
    ],
)
def test_errors_have_the_shape_that_clients_read(
    answering, body: object, status: int, param: str | None
) -> None:
    def check(port: int) -> None:
        found = request(port, "POST", CHAT, body)
        assert found[0] == status
        assert set(found[1]["error"]) == {"message", "type", "param", "code"}
        assert param is None or found[1]["error"]["param"] == param

    assert answering(check).machine.asked == []


def test_ollama_says_it_in_lines(answering) -> None:
    def check(port: int) -> None:
        assert request(port, "GET", "/api/version")[0] == 200
        assert request(port, "GET", "/api/tags")[1]["models"][0]["name"] == "tiny-one"
        assert request(port, "POST", "/api/show", {})[1]["details"]["quantization_level"] == "Q8_0"
        *parts, last = [json.loads(line) for line in stream(port, "/api/chat", ASKED)]
        assert [part["message"]["content"] for part in parts] == ["Ye", "s."]
        assert (last["done"], last["done_reason"], last["eval_count"]) == (True, "stop", 6)
        body = {"prompt": "Well?", "stream": False, "system": "Be short."}
        assert request(port, "POST", "/api/generate", body)[1]["response"] == "Yes."
        assert request(port, "POST", "/api/generate", {"prompt": ""})[0] == 400
        assert request(port, "POST", "/api/chat", {**ASKED, "model": "x"})[0] == 404

    asked = answering(check).machine.asked
    assert [one.asking.system for one in asked] == ["Be short.", "Be short."]
    assert [one.text for one in asked] == ["Well?", "Well?"]


def test_the_one_model_is_listed(answering) -> None:
    def check(port: int) -> None:
        (card,) = request(port, "GET", "/v1/models")[1]["data"]
        assert request(port, "GET", f"/v1/models/{card['id']}")[1] == card
        assert request(port, "GET", "/v1/models/other")[0] == 404

    answering(check)


@pytest.mark.parametrize(
    ("effort", "asks"), [(None, False), ("none", False), ("low", True), ("high", True)]
)
def test_who_asks_for_reasoning_is_shown_it(answering, effort: str | None, asks: bool) -> None:
    def check(port: int) -> None:
        body = ASKED if effort is None else {**ASKED, "reasoning_effort": effort}
        message = request(port, "POST", CHAT, body)[1]["choices"][0]["message"]
        assert message == {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}
        *chunks, _ = stream(port, CHAT, {**body, "stream": True, "seed": 1})
        deltas = [json.loads(chunk)["choices"][0]["delta"] for chunk in chunks]
        assert deltas[-2:] == [{"reasoning_content": "Hm."}, {}]

    first, _ = answering(check, thoughts="Hm.").machine.asked
    assert first.asking.thoughts is asks


def test_ollamas_clients_are_shown_it_as_thinking(answering) -> None:
    def check(port: int) -> None:
        chat = {**ASKED, "think": True, "stream": False}
        assert request(port, "POST", "/api/chat", chat)[1]["message"]["thinking"] == "Hm."
        made = {"prompt": "Well?", "think": True, "stream": False}
        assert request(port, "POST", "/api/generate", made)[1]["thinking"] == "Hm."
        *_, last = stream(port, "/api/chat", {**ASKED, "think": True, "options": {"seed": 1}})
        assert json.loads(last)["message"]["thinking"] == "Hm."

    asked = answering(check, thoughts="Hm.").machine.asked
    assert [one.asking.thoughts for one in asked] == [True] * 3
