from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundtrip.errors import BadMessage
from roundtrip.message import (
    GREEDY,
    Answer,
    Health,
    Message,
    Part,
    Question,
    Refusal,
    Sampling,
    Vitals,
    decode,
    encode,
)

MESSAGES = [
    Question(7, "Is it well?", "Be short.", 64, Sampling(seed=3), "off", 119_000),
    Question((1 << 64) - 1, "é中🙂", "", 1, GREEDY, "auto", 0, 99, 2, "{}"),
    Answer(7, "Yes.", "stop", 12, 3, 10, 20, 30, 40, 80_000_000),
    Answer(7, "s.", "stop", 12, 3, 10, 20, 30, 40, 80_000_000, 0, 2, bytes(range(32))),
    Part(7, 0, "Ye"),
    Refusal(7, "queue_full", "", 15, 40),
    Health("tiny", "Q8_0", 2048, 2, 0),
    Health("tiny", "Q8_0", 2048, 2, 0, Vitals()),
    Health("tiny", "Q8_0", 2048, 2, 0, Vitals(80_000_000, 0, 15, -40_250, 0x50005, 4210, 613, 2)),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_decode_gives_back_what_was_encoded(message: Message) -> None:
    assert decode(encode(message)) == message


@given(st.binary(max_size=200))
def test_junk_raises_only_bad_message(junk: bytes) -> None:
    with pytest.raises(BadMessage):
        decode(junk)


@given(st.sampled_from(MESSAGES), st.data())
def test_a_changed_byte_raises_only_bad_message(message: Message, data: st.DataObject) -> None:
    payload = bytearray(encode(message))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] = data.draw(st.integers(0, 255))
    with suppress(BadMessage):
        decode(bytes(payload))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({0: 9}, "kind"),
        ({0: True}, "kind"),
        ({1: -1}, "key 1"),
        ({1: True}, "key 1"),
        ({2: 5}, "key 2"),
        ({2: "x" * 70_000}, "key 2"),
        ({4: 1 << 40}, "key 4"),
        ({5: [0.5]}, "key 5"),
        ({5: [11.0, 0.5, 1, 0, 0]}, "temperature"),
        ({5: [0.5, float("nan"), 1, 0, 0]}, "top_p"),
        ({6: 3}, "key 6"),
        ({99: 0}, "keys"),
    ],
)
def test_each_bad_field_is_named(change: dict[int, object], key: str) -> None:
    body = cbor2.loads(encode(MESSAGES[0])) | change
    with pytest.raises(BadMessage) as caught:
        decode(cbor2.dumps(body))
    assert caught.value.key == key


def test_a_health_without_vitals_is_what_it_was_before_there_were_any() -> None:
    expected = "a40004016474696e7902645138 5f3003831908000200".replace(" ", "")
    assert encode(Health("tiny", "Q8_0", 2048, 2, 0)).hex() == expected


def test_vitals_of_a_later_version_are_left_out() -> None:
    body = cbor2.loads(encode(MESSAGES[-1]))
    body[4][30] = 7
    assert decode(cbor2.dumps(body)) == MESSAGES[-1]


@pytest.mark.parametrize(
    "vitals", [[1], 5, {0: -1}, {"a": 1}, {0: 1.5}, {0: True}, {3: -(1 << 40)}]
)
def test_bad_vitals_are_refused(vitals: object) -> None:
    body = cbor2.loads(encode(MESSAGES[4])) | {4: vitals}
    with pytest.raises(BadMessage):
        decode(cbor2.dumps(body))


def test_trailing_bytes_are_refused() -> None:
    with pytest.raises(BadMessage, match="more bytes"):
        decode(encode(MESSAGES[0]) + b"\0")


@pytest.mark.parametrize("huge", [10**5000, -(10**5000), ["x" * 10_000]], ids=["+", "-", "x"])
@pytest.mark.parametrize("key", range(8))
def test_a_huge_value_is_no_more_than_a_bad_message(huge: object, key: int) -> None:
    body = cbor2.loads(encode(MESSAGES[0])) | {key: huge}
    with pytest.raises(BadMessage):
        decode(cbor2.dumps(body))


@pytest.mark.parametrize(
    ("reply", "key", "told"),
    [(MESSAGES[2], 5, [10, 20, 30, 1 << 32]), (MESSAGES[5], 4, [15, 1 << 32])],
)
def test_the_clock_at_the_delivery_has_four_bytes(
    reply: Message, key: int, told: list[int]
) -> None:
    body = cbor2.loads(encode(reply))
    for clock_us, good in ((told[-1] - 1, True), (told[-1], False), (-1, False)):
        changed = cbor2.dumps(body | {key: [*told[:-1], clock_us]})
        if good:
            assert decode(changed) == replace(reply, delivered_us=clock_us)
            continue
        with pytest.raises(BadMessage) as caught:
            decode(changed)
        assert "delivered_us" in str(caught.value) or caught.value.key == f"key {key}"
