"""What each layer took of the bytes on the air."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from dtn.tally import Tally
from ground.air import Air
from roundtrip.codec import encode
from roundtrip.message import GREEDY, Answer, Part, Question, Refusal
from roundtrip.text.packing import known

TEXT = "What is the state of the battery, and since when is it low?"
QUESTION = Question(1, TEXT, "Be short.", 8, GREEDY, "off", 1000)
ANSWER = Answer(1, "The battery is at 7.1 V.", "stop", 1, 1, 1, 2, 3, 4, 0)


def tally(**bytes_of: int) -> Tally:
    found = Tally()
    for name, number in bytes_of.items():
        setattr(found, name, number)
    return found


def table(air: Air, upload_bytes: int = 0, **bytes_of: int) -> dict[str, dict[str, int]]:
    agent = SimpleNamespace(sent=tally(**bytes_of), received=tally(**bytes_of))
    return air.table(agent, upload_bytes)


def test_every_layer_has_its_bytes_and_all_of_them_are_the_total() -> None:
    names = (
        "payload", "bundle", "security", "segments", "control", "repeats", "unfinished",
    )  # fmt: skip
    numbers = {name: 1 << place for place, name in enumerate(names)}
    found = table(Air(), **numbers)
    assert found["up"] == found["down"]
    layers = dict(found["up"])
    assert layers.pop("total") == sum(numbers.values())
    assert layers.pop("raw_text") == layers.pop("text") == layers.pop("upload") == 0
    assert layers == {"message": 1, **{name: numbers[name] for name in names[1:]}}


def test_pieces_of_an_upload_are_a_layer_of_their_own_going_up() -> None:
    found = table(Air(), upload_bytes=900, payload=1000)
    assert [found["up"][name] for name in ("message", "upload", "total")] == [100, 900, 1000]
    assert [found["down"][name] for name in ("message", "upload")] == [1000, 0]


@pytest.mark.parametrize("named", [False, True])
def test_a_question_counts_as_it_went(named: bool) -> None:
    air = Air()
    payload = encode(QUESTION, texts=(), named=named, unpacks=known())
    air.asked(QUESTION, payload, named=named)
    up = table(air, payload=1000)["up"]
    assert up["raw_text"] == len(TEXT)
    assert up["message"] == 1000 - up["text"]
    assert up["text"] == pytest.approx(len(TEXT), abs=3), "and a few for its length"


def test_a_packed_text_counts_as_it_was_packed() -> None:
    air = Air()
    packed = encode(QUESTION, texts=known(), unpacks=known())
    air.asked(QUESTION, packed, named=False)
    up = table(air, payload=1000)["up"]
    assert up["raw_text"] == len(TEXT)
    assert up["text"] < len(TEXT) / 2


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (ANSWER, ANSWER.text),
        (Part(1, 0, "The battery"), "The battery"),
        (Refusal(1, "bad_schema", "at # of it", 5, 6), "at # of it"),
    ],
    ids=["answer", "part", "refusal"],
)
def test_replies_count_down(reply: Answer | Part | Refusal, text: str) -> None:
    air = Air()
    for _ in range(2):
        air.told(reply, encode(reply, texts=()))
    found = table(air, payload=1000)
    assert found["up"]["raw_text"] == found["up"]["text"] == 0
    assert found["down"]["raw_text"] == 2 * len(text)
    assert found["down"]["text"] == pytest.approx(2 * len(text), abs=6)


def test_letters_of_several_bytes_count_as_bytes_and_text_is_never_more_than_payload() -> None:
    air = Air()
    reply = replace(ANSWER, text="ü" * 50)
    air.told(reply, encode(reply, texts=()))
    found = table(air, payload=20)["down"]
    assert found["raw_text"] == 100
    assert (found["text"], found["message"]) == (20, 0)
