"""`/v1/responses` by the real client, against a desk whose node is played here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ground.desk import Desk
from ground.outputs import NodeHealth, Settled, StorePart
from roundtrip.budget import Outcome
from roundtrip.message import Health, Part, Turn
from tests.unit.ground.web.test_server import Actor, served

openai = pytest.importorskip("openai")


@pytest.fixture
def node(answered):
    """Play the node: each question is answered in as many steps as `allowed` counts."""

    def play(check: Callable[[Any, list[int]], None], **changes: Any) -> Actor:
        allowed, steps = [0], [0]

        def also(desk: Desk, actor: Actor) -> None:
            if desk.health is None:
                desk.output(NodeHealth(Health("tiny one", "Q8_0", 512, 1, 0)))
            if not actor.machine.asked or steps[0] >= allowed[0]:
                return
            number, step = 4 + len(actor.machine.asked), steps[0] % 3
            steps[0] += 1
            if step < 2:
                desk.output(StorePart(Part(number, 2 * step, ("Ye", "s")[step]), None))
            else:
                desk.output(Settled(replace(answered(question_id=number), **changes)))

        def with_client(port: int) -> None:
            url = f"http://127.0.0.1:{port}/v1"
            with openai.OpenAI(base_url=url, api_key="none", timeout=20, max_retries=0) as client:
                check(client, allowed)

        return served(with_client, also=also)

    return play


def settled(client: Any, key: str) -> Any:
    end = time.monotonic() + 10
    while True:
        found = client.responses.retrieve(key)
        if found.status not in ("queued", "in_progress"):
            return found
        assert time.monotonic() < end


def test_a_response_is_a_question(node) -> None:
    def check(client: Any, allowed: list[int]) -> None:
        allowed[0] = 3
        found = client.responses.create(
            model="tiny-one",
            instructions="Be short.",
            input="Well?",
            max_output_tokens=9,
            metadata={"pass": "3"},
        )
        assert (found.status, found.output_text) == ("completed", "Yes.")
        assert (found.usage.total_tokens, found.metadata) == (16, {"pass": "3"})
        assert found.id == "resp_00000000000005"

    (asked,) = node(check).machine.asked
    assert (asked.text, asked.asking.system, asked.asking.max_tokens) == ("Well?", "Be short.", 9)


def test_in_the_background_it_is_looked_at_later(node) -> None:
    def check(client: Any, allowed: list[int]) -> None:
        found = client.responses.create(model="groundloop", input="Well?", background=True)
        assert (found.status, found.output) == ("queued", [])
        assert client.responses.retrieve(found.id).background
        allowed[0] = 3
        assert settled(client, found.id).output_text == "Yes."

    node(check)


def test_a_stream_is_followed_from_where_it_broke(node) -> None:
    """Numbers are dense, and the same event has the same number every time."""

    def check(client: Any, allowed: list[int]) -> None:
        allowed[0] = 2
        seen: list[Any] = []
        with client.responses.create(
            model="groundloop", input="Well?", background=True, stream=True
        ) as stream:
            for event in stream:
                seen.append(event)
                if event.type == "response.output_text.delta":
                    break
        allowed[0] = 3
        key = seen[0].response.id
        with client.responses.retrieve(
            key, stream=True, starting_after=seen[-1].sequence_number
        ) as rest:
            seen += list(rest)
        assert [event.sequence_number for event in seen] == list(range(len(seen)))
        deltas = [e.delta for e in seen if e.type == "response.output_text.delta"]
        assert deltas == ["Ye", "s", "."]
        assert (seen[-1].type, seen[-1].response.output_text) == ("response.completed", "Yes.")
        with client.responses.retrieve(key, stream=True) as again:
            assert [(e.type, e.sequence_number) for e in again] == [
                (e.type, e.sequence_number) for e in seen
            ]

    assert len(node(check).machine.asked) == 1


def test_it_is_cancelled(node) -> None:
    def check(client: Any, allowed: list[int]) -> None:
        found = client.responses.create(model="groundloop", input="Well?", background=True)
        assert client.responses.cancel(found.id).status == "cancelled"

    assert node(check).machine.cancelled == [5]


def test_a_conversation_goes_on_from_an_earlier_response(node) -> None:
    def check(client: Any, allowed: list[int]) -> None:
        allowed[0] = 3
        first = client.responses.create(model="groundloop", input="Well?")
        allowed[0] = 6
        given = [{"role": "user", "content": [{"type": "input_text", "text": "Sure?"}]}]
        client.responses.create(
            model="groundloop", input=given, previous_response_id=first.id
        )  # fmt: skip

    _, second = node(check).machine.asked
    assert second.text == "Sure?"
    assert second.turns == (Turn("Question 0?", "Yes."),)
    assert second.after == 5


@pytest.mark.parametrize(
    ("changes", "status", "why"),
    [
        ({"outcome": Outcome.EXPIRED, "answer": None, "reason": "expired"}, "failed", "expired"),
        ({"outcome": Outcome.EXPIRED, "reason": "cancelled"}, "cancelled", None),
        ({"outcome": Outcome.PARTIAL, "finish_reason": "deadline"}, "incomplete", None),
        ({"finish_reason": "length"}, "incomplete", None),
        ({"outcome": Outcome.LATE}, "completed", None),
    ],
)
def test_what_became_of_it(node, changes: dict[str, Any], status: str, why: str | None) -> None:
    def check(client: Any, allowed: list[int]) -> None:
        allowed[0] = 3
        found = client.responses.create(model="groundloop", input="Well?", background=True)
        ended = settled(client, found.id)
        assert ended.status == status
        assert (ended.error.code if ended.error else None) == why
        with client.responses.retrieve(found.id, stream=True) as stream:
            *_, last = stream
        assert last.type.removeprefix("response.") == (
            "failed" if status == "cancelled" else status
        )

    node(check, **changes)


def test_wrong_requests_are_errors_of_theirs(node) -> None:
    def check(client: Any, allowed: list[int]) -> None:
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve("resp_1")
        with pytest.raises(openai.NotFoundError):
            client.responses.create(model="other", input="Well?")
        with pytest.raises(openai.BadRequestError, match="previous_response_id"):
            client.responses.create(model="groundloop", input="x", previous_response_id="resp_1")
        with pytest.raises(openai.BadRequestError, match="input"):
            client.responses.create(model="groundloop", input="")
        with pytest.raises(openai.NotFoundError):
            client.get("/nothing", cast_to=object)

    assert node(check).machine.asked == []


def test_reasoning_is_an_item_before_the_answer(node) -> None:
    def check(client: Any, allowed: list[int]) -> None:
        allowed[0] = 3
        found = client.responses.create(
            model="groundloop", input="Well?", reasoning={"effort": "high"}
        )
        first, second = found.output
        assert (first.type, first.summary[0].text) == ("reasoning", "Hm.")
        assert (second.type, found.output_text) == ("message", "Yes.")

    (asked,) = node(check, thoughts="Hm.").machine.asked
    assert asked.asking.thoughts
