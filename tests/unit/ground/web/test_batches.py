"""`/v1/files` and `/v1/batches` by the real client, and after a restart of the station."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ground.desk import Desk
from ground.outputs import NodeHealth, Settled
from ground.web.access import Access
from ground.web.server import Server
from roundtrip.budget import Outcome
from roundtrip.message import Health
from tests.unit.ground.web.test_server import USUAL, Actor

openai = pytest.importorskip("openai")
CHAT = "/v1/chat/completions"


def line(name: str, text: str = "Well?", url: str = CHAT) -> str:
    body = {"model": "tiny-one", "messages": [{"role": "user", "content": text}], "input": text}
    return json.dumps({"custom_id": name, "method": "POST", "url": url, "body": body})


@pytest.fixture
def station(tmp_path: Path, answered):
    """Run a check with the real client beside a station whose node refuses what has "no" in it and
    answers all else, once `allowed` is not empty."""

    def run(check: Callable[[Any, list[int]], None]) -> Actor:
        actor, allowed, done = Actor(), list[int](), set[int]()

        def play(desk: Desk) -> None:
            for number, asked in enumerate(actor.machine.asked, 5):
                if not allowed or number in done:
                    continue
                done.add(number)
                record = answered(question_id=number)
                if "no" in asked.text:
                    record = replace(record, outcome=Outcome.REFUSED, reason="too_long", answer="")
                desk.output(Settled(record))

        def with_client(port: int) -> None:
            url = f"http://127.0.0.1:{port}/v1"
            with openai.OpenAI(base_url=url, api_key="none", timeout=20, max_retries=0) as client:
                check(client, allowed)

        async def stand() -> None:
            desk = Desk()
            async with Server(desk, USUAL, Access(port=0), tmp_path) as server:
                desk.on_stand = server.resume
                desk.stands(actor)
                desk.output(NodeHealth(Health("tiny one", "Q8_0", 512, 1, 0)))
                checking = asyncio.create_task(asyncio.to_thread(with_client, server.port))
                while not checking.done():
                    play(desk)
                    await asyncio.sleep(0.02)
                await checking

        asyncio.run(stand())
        return actor

    return run


def begun(client: Any, *lines: str, endpoint: str = CHAT) -> Any:
    file = client.files.create(file=("../q.jsonl", "\n".join(lines).encode()), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h", metadata={"pass": "3"}
    )


def ended(client: Any, batch: Any) -> Any:
    end = time.monotonic() + 10
    while batch.status in ("in_progress", "cancelling"):
        assert time.monotonic() < end
        batch = client.batches.retrieve(batch.id)
    return batch


def lines_of(client: Any, file: str) -> dict[str, Any]:
    found = [json.loads(text) for text in client.files.content(file).text.splitlines()]
    return {one["custom_id"]: one["response"] for one in found}


def test_each_line_is_a_question_and_has_its_line_in_one_file(station) -> None:
    def check(client: Any, allowed: list[int]) -> None:
        allowed.append(1)
        batch = begun(client, line("a"), line("b", "no"), "", line("c"))
        assert batch.metadata == {"pass": "3"}
        batch = ended(client, batch)
        assert batch.status == "completed"
        counts = batch.request_counts
        assert (counts.total, counts.completed, counts.failed) == (3, 2, 1)
        good, bad = (lines_of(client, x) for x in (batch.output_file_id, batch.error_file_id))
        assert set(good) == {"a", "c"}
        assert good["a"]["body"]["choices"][0]["message"]["content"] == "Yes."
        assert bad["b"]["body"]["error"]["code"] == "too_long"
        assert [one.id for one in client.batches.list()] == [batch.id]
        assert client.files.retrieve(batch.input_file_id).filename == "../q.jsonl"
        files = [one.id for one in client.files.list()]
        assert set(files) == {batch.input_file_id, batch.output_file_id, batch.error_file_id}
        assert files[-1] == batch.input_file_id, "the newest first"

    actor = station(check)
    asked = actor.machine.asked
    assert {one.priority for one in asked} == {0}
    assert {one.budget.expire_ns for one in asked} == {86_400 * 10**9}


def test_responses_are_answered_in_their_own_shape(station) -> None:
    def check(client: Any, allowed: list[int]) -> None:
        allowed.append(1)
        given = line("a", url="/v1/responses")
        batch = ended(client, begun(client, given, endpoint="/v1/responses"))
        (found,) = lines_of(client, batch.output_file_id).values()
        assert found["body"]["output"][0]["content"][0]["text"] == "Yes."

    station(check)


def test_after_a_restart_it_goes_on_with_what_has_no_result(station) -> None:
    kept: list[Any] = []

    def before(client: Any, allowed: list[int]) -> None:
        kept.append(begun(client, line("a"), line("b")))
        assert client.batches.retrieve(kept[0].id).request_counts.completed == 0

    def after(client: Any, allowed: list[int]) -> None:
        allowed.append(1)
        batch = ended(client, client.batches.retrieve(kept[0].id))
        assert set(lines_of(client, batch.output_file_id)) == {"a", "b"}

    station(before)
    assert len(station(after).machine.asked) == 2


def test_a_cancelled_batch_asks_no_more(station) -> None:
    def check(client: Any, allowed: list[int]) -> None:
        batch = client.batches.cancel(begun(client, line("a"), line("b")).id)
        assert batch.status == "cancelling"
        allowed.append(1)
        assert ended(client, batch).status == "cancelled"

    assert sorted(station(check).machine.cancelled) == [5, 6]


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        ([line("a"), "{"], "line 2"),
        ([line("a"), line("a")], "line 2.*custom_id.*one of its own"),
        ([line("a", url="/v1/responses")], "line 1.*url"),
        ([json.dumps({"custom_id": "a", "url": CHAT, "body": {}})], "line 1.*messages"),
        ([""], "1 to 10000 lines"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_asked(station, lines: list[str], match: str) -> None:
    def check(client: Any, allowed: list[int]) -> None:
        with pytest.raises(openai.BadRequestError, match=match):
            begun(client, *lines)

    assert station(check).machine.asked == []


def test_what_is_not_there_or_too_long_is_said(station) -> None:
    def check(client: Any, allowed: list[int]) -> None:
        for call in (client.files.retrieve, client.files.content, client.batches.retrieve):
            with pytest.raises(openai.NotFoundError):
                call("file-9")
        with pytest.raises(openai.BadRequestError, match="input_file_id"):
            client.batches.create(
                input_file_id="file-9", endpoint=CHAT, completion_window="24h"
            )  # fmt: skip
        client.files.create(file=b"x" * (7 << 20), purpose="batch")
        with pytest.raises(openai.APIStatusError) as caught:
            client.files.create(file=b"x" * (9 << 20), purpose="batch")
        assert caught.value.status_code == 413
        with pytest.raises(openai.BadRequestError, match="purpose"):
            client.files.create(file=b"x", purpose="vision")

    station(check)
