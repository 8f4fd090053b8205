"""A question as a program asks it: what it may say, and every wrong field named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from ground.outputs import Asking
from ground.web.asked import Usual, read_body, request_of
from roundtrip.budget import Budget
from roundtrip.errors import BadInput
from roundtrip.message import GREEDY, Turn
from roundtrip.units import NS_PER_S

USUAL = Usual(
    Asking(7, "Be short.", 64, GREEDY, "off", 0, "", 1, 16),
    Budget(120 * NS_PER_S, 600 * NS_PER_S, 0.95),
)


def of(**fields: object) -> object:
    return request_of(json.dumps(fields).encode(), USUAL, conversation)


def conversation(key: str) -> tuple[Turn, ...]:
    if int(key, 16) != 0xAB:
        raise BadInput("question", "after", "one that was answered", key)
    return (Turn("Well?", "Yes."),)


def test_what_is_not_said_is_as_usual() -> None:
    found = of(text="Well?")
    assert (found.text, found.asking, found.budget, found.priority) == (
        "Well?", USUAL.asking, None, 1,
    )  # fmt: skip


def test_it_may_go_on_from_another() -> None:
    found = of(text="Sure?", after="000000000000ab")
    assert (found.turns, found.after) == ((Turn("Well?", "Yes."),), 0xAB)
    assert of(text="Sure?").after is None


def test_everything_can_be_said() -> None:
    found = of(
        text="Well?",
        system="",
        deadline_s=90,
        priority="expedited",
        json_schema={"type": "object"},
        think="on",
        max_tokens=5,
        temperature=0.5,
        seed=9,
    )
    asking = found.asking
    assert (asking.system, asking.max_tokens, asking.thinking, asking.seed) == ("", 5, "on", 9)
    assert asking.schema == '{"type":"object"}'
    assert asking.sampling.temperature == 0.5
    assert found.budget == Budget(90 * NS_PER_S, 600 * NS_PER_S, 0.95)
    assert found.priority == 2
    assert of(text="?", deadline_s=700).budget.expire_ns == 700 * NS_PER_S


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b'{"text": ""}', "text"),
        (b'{"text": 5}', "text"),
        (b"{}", "text"),
        (b'{"text": "?", "x": 1}', "x"),
        (b'{"text": "?", "deadline_s": 0}', "deadline_s"),
        (b'{"text": "?", "deadline_s": NaN}', "deadline_s"),
        (b'{"text": "?", "deadline_s": 1e400}', "deadline_s"),
        (b'{"text": "?", "priority": "now"}', "priority"),
        (b'{"text": "?", "json_schema": "x"}', "json_schema"),
        (b'{"text": "?", "see": "telemetry"}', "see"),
        (b'{"text": "?", "see": [""]}', "see.0"),
        (b'{"text": "?", "tools": ["a", 5]}', "tools.1"),
        (json.dumps({"text": "?", "tools": ["a"] * 17}).encode(), "tools"),
        (b'{"text": "?", "tools": ["a"], "json_schema": {}}', "tools"),
        (b'{"text": "?", "max_tokens": 0}', "max_tokens"),
        (b'{"text": "?", "max_tokens": true}', "max_tokens"),
        (b'{"text": "?", "seed": 4294967296}', "seed"),
        (b'{"text": "\\ud800"}', ""),
        (b'{"text": "?", "after": "x"}', "after"),
        (b'{"text": "?", "after": "000000000000ac"}', "after"),
        (b"\xff", "body"),
        (b'{"text": "?", "json_schema": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001, ""),
        (json.dumps({"text": "x" * 70_000}).encode(), "text"),
        (json.dumps({"text": "?", "json_schema": {"enum": ["x" * 70_000]}}).encode(), ""),
    ],
)
def test_each_wrong_field_is_named(body: bytes, key: str) -> None:
    with pytest.raises(BadInput) as caught:
        request_of(body, USUAL, conversation)
    assert not key or caught.value.key == key


def test_texts_may_have_64_kib_of_utf_8() -> None:
    longest = "ü" * 32_768
    assert of(text=longest, system=longest).text == longest
    for name in ("text", "system"):
        with pytest.raises(BadInput, match=f"{name}: expected at most 65536 bytes, found 65537"):
            of(**{"text": "?"} | {name: longest + "x"})
    schema = {"const": "x" * (65_536 - len('{"const":""}'))}
    assert len(of(text="?", json_schema=schema).asking.schema) == 65_536
    with pytest.raises(BadInput, match="json_schema: expected at most 65536 bytes"):
        of(text="?", json_schema={"const": schema["const"] + "x"})


def body_of(*chunks: bytes) -> bytes:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return asyncio.run(read_body(SimpleNamespace(stream=stream)))


def test_a_body_may_have_a_mebibyte_in_whatever_pieces() -> None:
    assert body_of() == b""
    assert body_of(b"ab", b"", b"c") == b"abc"
    whole = bytes(1 << 20)
    assert body_of(whole[:7], whole[7:]) == whole
    with pytest.raises(BadInput, match="at most 1048576 bytes"):
        body_of(whole, b"x")


def test_what_it_wants_to_see_and_may_call_goes_with_it() -> None:
    asked = of(text="?", see=["telemetry"], tools=["passes.next"]).asking
    assert (asked.see, asked.tools) == (("telemetry",), ("passes.next",))
    assert of(text="?", see=[]).asking.see == ()
