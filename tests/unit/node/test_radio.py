"""Questions as they come: by name, packed, or in words that are not known here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cbor2
import pytest

from node import radio
from node.outputs import Rejected, StoreQuestion
from roundtrip.codec import encode, question_in
from roundtrip.message import Answer, Question, Turn, Unreadable
from roundtrip.text import packing
from roundtrip.text.packing import known, pack
from tests.unit.node.conftest import CUE

Ask = Callable[..., Question]
DOWN = replace(CUE, tx_up=False)


def seeded(question: Question, **changes: Any) -> Question:
    """As a ground asks: the seed counts with the index."""
    asked = replace(question, **changes)
    return replace(asked, sampling=replace(asked.sampling, seed=asked.question_id))


TEXT = "What is the state of the battery, and since when is it low?"


def stored(outputs: list[Any]) -> list[Question]:
    return [question_in(o.payload) for o in outputs if isinstance(o, StoreQuestion)]


def answered(bench, outputs: list[Any], text: str = "Yes.") -> Any:
    """Have all that is stored answered; what the ground got last."""
    for question in stored(outputs):
        bench.call(bench.node.question_stored, question.question_id)
        bench.finish(question.question_id, text)
        bench.call(bench.node.answer_stored, question.question_id)
    return bench.answers[-1]


def test_settings_are_known_by_name_from_the_second_question_on(bench, ask: Ask) -> None:
    first, second = (seeded(ask(n, TEXT), system="Be short.", schema="{}") for n in (1, 2))
    assert stored(bench.ask(first)) == [first]
    assert stored(bench.ask(second, named=True)) == [second]


def test_a_name_that_is_not_known_is_said_so_and_the_question_dropped(bench, ask: Ask) -> None:
    asked = replace(ask(1, TEXT), system="Be short.")
    assert stored(bench.ask(asked, named=True)) == []
    assert bench.answers == [Unreadable(1, "settings")]
    assert bench.ground.queued_bundles == 0, "it is not sent again by itself"
    assert stored(bench.ask(asked)) == [asked], "the same question, whole"


def test_a_question_that_is_known_needs_no_settings(bench, ask: Ask) -> None:
    """After a restart of the ground, which asks by name, and of the node."""
    asked = replace(ask(1, TEXT), system="Be short.")
    bench.up()
    assert isinstance(answered(bench, bench.ask(asked)), Answer)
    bench.node._radio._settings.clear()
    assert stored(bench.ask(asked, named=True)) == []
    assert [type(one) for one in bench.answers[-2:]] == [Answer, Answer]


def test_a_text_that_cannot_be_unpacked_is_said_so(bench, ask: Ask, monkeypatch) -> None:
    whole = seeded(ask(1, TEXT), system="Be short.")
    packed, named = encode(whole), encode(whole, named=True)
    monkeypatch.setattr("roundtrip.text.packing._methods", dict)
    packing._unpacked.cache_clear()
    assert stored(bench.send(packed)) == []
    assert bench.answers[-1] == Unreadable(0, "text"), "its settings are packed too"
    monkeypatch.undo()
    bench.send(encode(seeded(whole, question_id=2), texts=()))
    monkeypatch.setattr("roundtrip.text.packing._methods", dict)
    packing._unpacked.cache_clear()
    assert stored(bench.send(named)) == []
    assert bench.answers[-1] == Unreadable(1, "text")


def test_what_is_kept_is_readable_whatever_is_known_later(bench, ask: Ask, monkeypatch) -> None:
    asked = replace(ask(1, TEXT), system="Be short.")
    (output,) = [o for o in bench.ask(asked) if isinstance(o, StoreQuestion)]
    monkeypatch.setattr("roundtrip.text.packing._methods", dict)
    assert question_in(output.payload) == asked


@pytest.mark.parametrize(("unpacks", "is_packed"), [(known(), True), ((), False), (None, True)])
def test_answers_are_packed_as_the_ground_can_unpack_them(
    bench, ask: Ask, unpacks: tuple[int, ...] | None, is_packed: bool
) -> None:
    bench.up()
    before = bench.node._radio._agent.sent.payload
    answered(bench, bench.ask(ask(1), unpacks=unpacks), TEXT)
    payload = bench.node._radio._agent.sent.payload - before
    assert (payload < len(TEXT)) is is_packed
    assert len(pack(TEXT)) < len(TEXT) / 2
    assert bench.answers[-1].text == TEXT


def test_only_the_settings_used_last_are_kept(bench, ask: Ask, monkeypatch) -> None:
    monkeypatch.setattr(radio, "KEPT_SETTINGS", 2)
    first, second, third = (seeded(ask(n), system=f"System {n}.") for n in (1, 2, 3))
    bench.ask(first)
    bench.ask(second)
    bench.ask(seeded(first, question_id=4, text="?"), named=True)
    bench.ask(third)
    assert stored(bench.ask(seeded(first, question_id=5), named=True))
    assert not stored(bench.ask(seeded(second, question_id=6), named=True))


def test_a_question_of_another_release_is_said_to_be_one(bench) -> None:
    outputs = bench.send(cbor2.dumps(dict.fromkeys(range(11), 1)))
    assert outputs == [Rejected("message of another release")]
    assert bench.ground.queued_bundles == 0


def test_what_was_said_before_is_known_here_and_goes_into_the_question(bench, ask: Ask) -> None:
    bench.up()
    first, second, third = (seeded(ask(n, f"{TEXT} {n}")) for n in (1, 2, 3))
    answered(bench, bench.ask(first), "One.")
    (second,) = (replace(second, after=1),)
    turns = (Turn(first.text, "One."),)
    taken = bench.ask(second, continued=True)
    assert stored(taken) == [replace(second, turns=turns)]
    answered(bench, taken, "Two.")
    third = replace(third, after=2)
    turns += (Turn(second.text, "Two."),)
    assert stored(bench.ask(third, continued=True)) == [replace(third, turns=turns)]


@pytest.mark.parametrize("reason", ["no question", "no answer yet", "refused"])
def test_a_question_after_one_without_an_answer_here_is_said_so(
    bench, ask: Ask, reason: str
) -> None:
    bench.up()
    if reason != "no question":
        taken = bench.ask(ask(1, TEXT))
        bench.call(bench.node.question_stored, 1)
        if reason == "refused":
            bench.call(bench.node.inference_refused, 1, "too_long", "")
        assert taken
    second = seeded(ask(2, TEXT), after=1)
    assert stored(bench.ask(second, continued=True)) == []
    assert bench.answers[-1] == Unreadable(2, "turns")
    whole = replace(second, after=None, turns=(Turn("Hm?", "Yes."),))
    assert stored(bench.ask(whole)) == [whole], "the same question, with all of it"


def test_a_dropped_question_is_not_acknowledged_before_the_ground_knows(bench, ask: Ask) -> None:
    """Or nobody has it when this end dies."""
    bench.accept_answers = False
    asked = replace(ask(1, TEXT), system="Be short.")
    bench.ask(asked, named=True)
    assert bench.answers == [Unreadable(1, "settings")]
    assert bench.ground.queued_bundles == 1
    bench.accept_all()
    bench._settle()
    assert bench.ground.queued_bundles == 0


def test_a_ground_that_asks_again_is_acknowledged_when_it_has_the_answer(bench, ask: Ask) -> None:
    """On disk here the question is settled: nothing else would bring the answer after a restart."""
    bench.up()
    assert isinstance(answered(bench, bench.ask(ask(1, TEXT))), Answer)
    bench.accept_answers = False
    for _ in range(2):
        bench.ask(ask(1, TEXT))
    assert bench.ground.queued_bundles == 1, "the last one"
    bench.accept_all()
    bench._settle()
    assert bench.ground.queued_bundles == 0


def test_the_ground_is_told_of_questions_that_were_damaged_until_it_knows(bench, ask: Ask) -> None:
    bench.accept_answers = False
    bench.node._radio.lost([7])
    bench.call(bench.node.carrier, bench.cue)
    assert bench.answers == [Unreadable(7, "damaged")]
    bench.accept_all()
    asked = seeded(ask(7, TEXT))
    assert stored(bench.ask(asked)) == [asked]
    assert bench.answers == [Unreadable(7, "damaged")]


def test_a_reply_that_is_hit_while_it_waits_is_said_anew(bench, ask: Ask) -> None:
    bench.up()
    (question,) = stored(bench.ask(ask(1, TEXT)))
    bench.call(bench.node.carrier, DOWN)
    bench.call(bench.node.question_stored, question.question_id)
    bench.finish(1, "Yes.")
    bench.call(bench.node.answer_stored, 1)
    before = bench.node._radio._downlink.backlog_bytes
    for bit in (100, 400):
        bench.call(bench.node.upset, bit)
    bench.call(bench.node.carrier, CUE)
    assert [one.text for one in bench.answers if isinstance(one, Answer)] == ["Yes."]
    assert before > bench.node._radio._downlink.backlog_bytes == 0
    assert not bench.node._radio._replies


def test_what_is_not_readable_is_said_anew_as_well(bench, ask: Ask) -> None:
    bench.call(bench.node.carrier, DOWN)
    bench.ask(replace(ask(1, TEXT), system="Be short."), named=True)
    assert bench.answers == []
    bench.call(bench.node.upset, 100)
    bench.call(bench.node.carrier, CUE)
    assert bench.answers == [Unreadable(1, "settings")]
    assert bench.ground.queued_bundles == 0


def test_a_text_that_is_damaged_is_taken_off_the_ground_and_dropped(bench, ask: Ask) -> None:
    value = pack(TEXT)
    damaged = bytes([value[0], value[1] ^ 1]) + value[2:]
    bench.ask(seeded(ask(1), system="Be short."))
    bench.call(bench.node.question_stored, 1)
    payload = encode(seeded(ask(2, TEXT), system="Be short."), named=True)
    assert value in payload
    outputs = bench.send(payload.replace(value, damaged))
    (rejected,) = (one for one in outputs if isinstance(one, Rejected))
    assert rejected.reason.startswith("message: text: offset 1: expected the text's check byte")
    assert stored(outputs) == []
    assert bench.ground.queued_bundles == 0, "it is not sent again"


def test_answers_are_as_short_as_can_be_where_the_link_is_narrow(bench, ask: Ask) -> None:
    payloads = {}
    bench.up()
    for number, rate_bps in enumerate((9_600, 999_999, 1_000_000), 1):
        bench.call(bench.node.carrier, replace(CUE, tx_rate_bps=rate_bps))
        before = bench.node._radio._agent.sent.payload
        answered(bench, bench.ask(ask(number)), TEXT)
        payloads[rate_bps] = bench.node._radio._agent.sent.payload - before
        assert bench.answers[-1].text == TEXT
    assert payloads[9_600] == payloads[999_999] < payloads[1_000_000] - 8
