"""What goes up of a question: all of it once, then what the node does not know."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ground.wording import MODELS, Form, Wording
from roundtrip.codec import decode
from roundtrip.message import (
    GREEDY,
    Answer,
    Asked,
    Health,
    Question,
    Refusal,
    Unreadable,
    question_id,
)
from roundtrip.text.packing import QUICK_BPS, known, unpack

TEXT = "What is the state of the battery?"
QUESTION = Question(question_id(1, 1), TEXT, "Be short.", 64, GREEDY, "off", 120_000)
OTHER = replace(QUESTION, system="Be long.")
HEALTH = Health("tiny", "Q8_0", 512, 1, 0)


def sent(wording: Wording, question: Question = QUESTION) -> Asked:
    found = decode(wording.payload(question))
    assert isinstance(found, Asked)
    return found


def test_settings_go_up_until_the_node_has_them() -> None:
    wording = Wording()
    for _ in range(2):
        told = sent(wording).settings
        assert told is not None
        assert told.system == "Be short."
        assert told.texts == known(), "so that answers come packed as we can unpack them"
    wording.arrived(QUESTION)
    assert sent(wording).settings is None
    assert sent(wording, OTHER).settings is not None, "those of another question"
    assert len(wording.payload(QUESTION)) < len(wording.payload(OTHER))


def test_a_node_that_has_forgotten_them_gets_them_again() -> None:
    wording = Wording()
    wording.arrived(QUESTION)
    before = wording.form(QUESTION)
    wording.unreadable(Unreadable(QUESTION.question_id, "settings"))
    assert before == Form(named=True, packed=True)
    assert wording.form(QUESTION) == Form(named=False, packed=True)
    assert sent(wording).settings is not None


@pytest.mark.parametrize("texts", [(), (255,)])
def test_texts_are_packed_as_the_node_can_unpack_them(texts: tuple[int, ...]) -> None:
    wording = Wording()
    assert isinstance(sent(wording).value, bytes)
    wording.told(replace(HEALTH, texts=texts))
    assert sent(wording).value == TEXT
    wording.told(replace(HEALTH, texts=known()))
    assert isinstance(sent(wording).value, bytes)
    wording.unreadable(Unreadable(0, "text"))
    assert sent(wording).value == TEXT
    assert wording.form(QUESTION) == Form(named=False, packed=False)


def test_an_answer_is_of_the_model_that_it_says_and_else_of_the_last_one() -> None:
    wording = Wording()
    plain = Answer(1, "Yes.", "stop", 1, 1, 0, 0, 0, 0, 0)
    assert wording.model_of(plain) == ("", "")
    wording.told(replace(HEALTH, sha256="0123456789abcdef"))
    wording.told(replace(HEALTH, model="large", sha256="f" * 16))
    assert wording.model_of(plain) == ("large Q8_0", "f" * 16)
    assert wording.model_of(Refusal(1, "no_time", "", 0, 0)) == ("large Q8_0", "f" * 16)
    assert wording.model_of(replace(plain, model=b"\x01\x23")) == ("tiny Q8_0", "0123456789abcdef")
    assert wording.model_of(replace(plain, model=b"\x01\x24")) == ("", "0124"), "never heard of"
    wording.told(replace(HEALTH, sha256="0123456789abcdef"))
    assert wording.model_of(plain) == ("tiny Q8_0", "0123456789abcdef"), "it flies again"


def test_only_so_many_models_are_remembered_and_the_last_ones() -> None:
    wording = Wording()
    for number in range(MODELS + 1):
        wording.told(replace(HEALTH, model=f"m{number}", sha256=f"{number:04x}" + "0" * 12))
    names = [
        wording.model_of(Answer(1, "", "stop", 1, 1, 0, 0, 0, 0, 0, model=number.to_bytes(2)))[0]
        for number in (0, 1, MODELS)
    ]
    assert names == ["", "m1 Q8_0", f"m{MODELS} Q8_0"]


def test_on_a_wide_link_a_question_goes_by_what_takes_no_time() -> None:
    """The model would take longer than the bytes that it saves."""
    wording = Wording()
    wording.arrived(QUESTION)
    frame = "SUN\nEPS.VBAT 28.3 V\nOBC.TEMP 41.0 C\nCOM.TXPW 1.9 W\nADC.RATE 0.2 deg/s"
    long = replace(QUESTION, text=f"{frame}\n\n{TEXT}")
    wording.rate_bps = QUICK_BPS - 1
    narrow = wording.payload(long)
    wording.rate_bps = QUICK_BPS
    wide = wording.payload(long)
    assert len(narrow) < len(wide) < len(long.text)
    for payload in (narrow, wide):
        assert unpack(decode(payload).value, 1_000) == long.text
    wording.told(replace(HEALTH, texts=()))
    assert long.text.encode() in wording.payload(long), "a node that can unpack nothing"
