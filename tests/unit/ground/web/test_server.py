"""The station's doors: who is let in, what is asked, what is told."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from ground.desk import Desk, Event
from ground.outputs import Asking, Rejected, Request, Settled, StageReached, StorePart
from ground.web.access import Access
from ground.web.asked import Usual
from ground.web.server import KEPT_CODED, Server, _lines
from roundtrip.budget import Budget, Outcome
from roundtrip.errors import EnvironmentFault
from roundtrip.message import GREEDY, Part, index_of
from roundtrip.stages import Stage
from roundtrip.units import NS_PER_S

USUAL = Usual(
    Asking(7, "Be short.", 64, GREEDY, "off", 0, "", 1, 16),
    Budget(120 * NS_PER_S, 600 * NS_PER_S, 0.95),
)


class Machine:
    """Takes questions, and does nothing with them."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.cancelled: list[int] = []

    def next_id(self) -> int:
        return len(self.asked) + 5

    def ask(self, request: Request) -> None:
        self.asked.append(request)

    def cancel(self, question_id: int) -> None:
        self.cancelled.append(question_id)


class Actor:
    """As far as a desk knows one."""

    def __init__(self) -> None:
        self.machine = Machine()

        class Clock:
            def now_ns(self) -> int:
                return 3 * NS_PER_S

        self.clock = Clock()

    def call(self, command: Callable[..., Any], *args: Any) -> None:
        command(*args)


def request(
    port: int, method: str, path: str, body: object = None, **headers: str
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    connection.request(method, path, data, headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    is_json = "json" in (response.getheader("content-type") or "")
    return response.status, json.loads(content) if is_json else None


def served(
    check: Callable[..., None], *, standing: bool = True, also: Callable[..., None] | None = None
) -> Actor:
    """Run a check on a thread beside a server; `also` runs in the loop, meanwhile."""
    actor = Actor()

    async def run() -> None:
        desk = Desk()
        if standing:
            desk.stands(actor)
        async with Server(desk, USUAL, Access(port=0)) as server:
            checking = asyncio.create_task(asyncio.to_thread(check, server.port))
            while not checking.done():
                if also is not None:
                    also(desk, actor)
                await asyncio.sleep(0.02)
            await checking

    asyncio.run(run())
    return actor


def test_a_question_is_taken_found_and_cancelled() -> None:
    def check(port: int) -> None:
        assert request(port, "POST", "/api/questions", {"text": "Well?"}) == (
            202, {"id": "00000000000005"},
        )  # fmt: skip
        status, found = request(port, "GET", "/api/questions/00000000000005")
        assert (status, found["text"], found["stage"]) == (200, "Well?", "intended")
        assert [one["id"] for one in request(port, "GET", "/api/status")[1]["open"]] == [
            "00000000000005"
        ]
        assert request(port, "DELETE", "/api/questions/00000000000005") == (204, None)
        for key in ("00000000000009", "x", "..%2f..%2fetc%2fpasswd"):
            assert request(port, "GET", f"/api/questions/{key}")[0] == 404
            assert request(port, "DELETE", f"/api/questions/{key}")[0] == 404
        unknown = {"error": "no such question is open, or was settled lately"}
        assert request(port, "GET", "/api/questions/x") == (404, unknown)

    actor = served(check)
    assert [one.text for one in actor.machine.asked] == ["Well?"]
    assert actor.machine.cancelled == [5]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:1"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "["}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:1", "Origin": "http://localhost:1"}, 200),
        ({"Host": "localhost:1", "Origin": "http://localhost:2"}, 403),
    ],
)
def test_only_this_machine_and_no_page_of_another_origin(
    headers: dict[str, str], status: int
) -> None:
    def check(port: int) -> None:
        assert request(port, "GET", "/api/status", **headers)[0] == status

    served(check)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "body"),
        ({"text": "?", "x": 1}, 400, "x"),
        (b"x" * (2 << 20), 400, "at most"),
    ],
)
def test_a_wrong_body_is_one_line(body: object, status: int, said: str) -> None:
    def check(port: int) -> None:
        found = request(port, "POST", "/api/questions", body)
        assert found[0] == status
        assert said in found[1]["error"]
        assert request(port, "GET", "/api/status")[0] == 200, "it stands"

    assert served(check).machine.asked == []


def test_before_there_is_a_link_nobody_can_ask() -> None:
    def check(port: int) -> None:
        status, found = request(port, "POST", "/api/questions", {"text": "Well?"})
        assert status == 503
        assert "link is not up" in found["error"]

    served(check, standing=False)


def test_a_question_is_followed_until_its_outcome(answered) -> None:
    told: list[dict[str, Any]] = []

    def check(port: int) -> None:
        key = request(port, "POST", "/api/questions", {"text": "Well?"})[1]["id"]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", f"/api/questions/{key}/events")
        told.extend(
            json.loads(line[6:]) for line in connection.getresponse() if line.startswith(b"data: ")
        )
        connection.close()
        assert request(port, "GET", f"/api/questions/{key}")[1]["answer"] == "Yes."
        assert [one["id"] for one in request(port, "GET", "/api/questions?count=5")[1]] == [key]
        assert request(port, "GET", "/api/questions?count=x")[0] == 400

    steps: list[str] = []

    def also(desk: Desk, actor: Actor) -> None:
        if not actor.machine.asked or len(steps) == 3:
            return
        record = answered(question_id=5)
        planned = record.planned.__class__(index_of(5), 0, "Well?", None)
        match len(steps):
            case 0:
                desk.output(StageReached(planned, Stage.SUBMITTED, NS_PER_S))
            case 1:
                desk.output(StorePart(Part(5, 0, "Ye"), None))
            case 2:
                desk.output(Settled(record))
        steps.append("")

    served(check, also=also)
    assert [one["event"] for one in told] == ["asked", "stage", "text", "settled"]
    assert told[2]["text"] == "Ye"
    assert told[3]["outcome"] == Outcome.ON_TIME.value
    assert [one["number"] for one in told] == sorted(one["number"] for one in told)


def test_short_answers_are_sent_at_once_on_a_connection_that_is_kept() -> None:
    """asyncio sets TCP_NODELAY only on sockets whose protocol is named; without it each answer
    waited 40 ms for an acknowledgment."""

    async def stand() -> int:
        async with Server(Desk(), USUAL, Access(port=0)) as server:
            return server._socket.proto

    assert asyncio.run(stand()) == socket.IPPROTO_TCP


def test_events_kept_as_they_were_sent_are_few_whichever_were_wanted() -> None:
    """Who follows one question has some numbers of many."""
    coded: dict[int, str] = {}

    async def told() -> AsyncIterator[Event]:
        for number in range(0, 7 * KEPT_CODED, 7):
            yield {"event": "text", "number": number}
        yield {"event": "text", "number": 7 * KEPT_CODED}

    async def read() -> list[str]:
        return [line async for line in _lines(told(), coded)]

    lines = asyncio.run(read())
    assert len(lines) == KEPT_CODED + 2
    assert len(coded) == KEPT_CODED
    assert coded[7 * KEPT_CODED] == lines[-1]
    assert 0 not in coded, "the oldest has gone"


def test_a_taken_port_is_one_line() -> None:
    def check(port: int) -> None:
        with pytest.raises(EnvironmentFault, match=f"listen on 127.0.0.1:{port}.*another port"):
            Server(Desk(), USUAL, Access(port=port))

    served(check)


@pytest.mark.parametrize(
    ("last", "first"),
    [("2", 3), ("0", 1), ("99", 1), ("x", None), ("9" * 16, None), ("", None)],
)
def test_who_was_cut_off_goes_on_where_it_was(last: str, first: int | None) -> None:
    numbers: list[int] = []

    def check(port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/api/events", headers={"Last-Event-ID": last})
        response = connection.getresponse()
        for text in ("one", "two"):
            request(port, "POST", "/api/questions", {"text": text})
        for line in response:
            if line.startswith(b"id: "):
                numbers.append(int(line[4:]))
                if numbers[-1] == 6:
                    break
        connection.close()

    def before(desk: Desk, actor: Actor) -> None:
        if not numbers and desk._number < 4:
            for _ in range(4):
                desk.output(Rejected("x"))

    served(check, also=before)
    assert numbers[0] == (first or 5)
    assert numbers == list(range(numbers[0], 7))
