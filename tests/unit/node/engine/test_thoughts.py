"""Thoughts and their end, and answers that keep to a schema, on the `tiny` model."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest

from models.resolve import resolve
from node.engine.batching import answer_all
from node.engine.chat import THINK_END
from node.engine.llama import BATCH_TOKENS, Engine
from node.engine.requests import Done, FirstToken, Refused
from roundtrip.message import GREEDY, Sampling
from tests.unit.node.engine.tiny import HOT, SCHEMA, asked, batcher, one, run, settings, step


def test_thinking_is_ended_when_its_budget_is_spent(engine: Engine) -> None:
    never = one(engine, thinking=True, max_tokens=20)
    assert never.text == "", "a thought that is never closed is no answer"
    assert never.thoughts, "it is told where it is wanted"
    closed = one(engine, thinking=True, think_tokens=5, max_tokens=20)
    assert closed.text
    assert closed.thoughts
    assert never.thoughts.startswith(closed.thoughts[:4])
    assert not {"<think>", "</think>"} & {closed.thoughts[:7], closed.thoughts[-8:]}
    assert one(engine, max_tokens=5).thoughts == ""
    busy = batcher(engine)
    busy.add(asked(1, thinking=True, think_tokens=5, max_tokens=20))
    while busy.busy:
        slots = list(busy._slots)
        step(busy)
        assert all(slot.think_left <= 5 for slot in slots)
    assert engine.special[THINK_END] not in engine.ends


@pytest.mark.parametrize("options", [{}, {"drafts": False}])
def test_what_ends_the_thinking_is_counted_against_the_context(engine: Engine, options) -> None:
    for think_tokens in (0, 5, 60, 1000):
        busy = batcher(engine, **options)
        busy.add(asked(1, thinking=True, think_tokens=think_tokens, max_tokens=2000))
        done = run(busy)
        assert isinstance(done, Done)
        assert done.finish_reason in ("length", "stop")
        assert done.prompt_tokens + done.output_tokens + len(busy._admission.stop_thinking) <= 256
        assert done.text or think_tokens == 1000


def test_many_thoughts_that_end_at_once_fit_into_the_decodes() -> None:
    many = Engine(str(resolve("tiny")), settings(sequences=8))
    busy = batcher(many)
    assert 8 * len(busy._admission.stop_thinking) > BATCH_TOKENS
    thinking = {"thinking": True, "think_tokens": 5, "max_tokens": 20}
    found = answer_all(busy, [asked(number, **thinking) for number in range(8)])
    assert all(isinstance(done, Done) and done.text for done in found.values())


def test_what_ends_a_thought_is_read_in_pieces_with_the_same_result(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    thinking = {"thinking": True, "think_tokens": 5, "max_tokens": 20}
    whole = one(engine, **thinking)
    monkeypatch.setattr("node.engine.batching.BATCH_TOKENS", 40)
    assert len(batcher(engine)._admission.stop_thinking) > 40
    assert one(engine, **thinking) == whole


def test_thinking_for_whose_end_there_is_no_room_is_too_long(engine: Engine) -> None:
    stop = len(batcher(engine)._admission.stop_thinking)
    room = 256 - one(engine, text="word").prompt_tokens - stop
    text = "word" + " \n" * ((room + 8) // 2)
    assert 256 - one(engine, text=text).prompt_tokens < stop
    found = answer_all(batcher(engine), [asked(1, text=text, thinking=True)])[1]
    assert isinstance(found, Refused)
    assert found.reason == "too_long"


@pytest.mark.parametrize("sampling", [GREEDY, replace(HOT, seed=2)])
def test_a_thought_is_free_and_the_answer_after_it_keeps_to_its_schema(
    engine: Engine, sampling
) -> None:
    asking = asked(
        1, thinking=True, think_tokens=6, max_tokens=80, schema=SCHEMA, sampling=sampling
    )
    busy = batcher(engine)
    busy.add(asking)
    step(busy)
    (slot,) = busy._slots
    done = run(busy)
    assert isinstance(done, Done)
    assert done.finish_reason == "stop"
    assert json.loads(done.text)["status"] in ("ok", "bad")
    assert engine.text_of(slot.written[:6])[:2] != '{"', "the thought"
    assert slot.answer_from == 6


@pytest.mark.parametrize("end", ["think", "stop"])
def test_a_thought_that_the_model_ends_is_followed_by_an_answer(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, end
) -> None:
    """By `</think>`, or by ending the whole text: then `</think>` is put in."""
    token = engine.special[THINK_END] if end == "think" else min(engine.ends)
    busy = batcher(engine)
    busy.add(asked(1, thinking=True, think_tokens=50, max_tokens=80, schema=SCHEMA))
    sample, draws = engine.sample, itertools.count()
    monkeypatch.setattr(
        engine, "sample", lambda *where: token if next(draws) == 3 else sample(*where)
    )
    fed: list[int] = []
    put = engine.put

    def noting(index: int, tokens: list[int], *where: int, wanted: bool) -> None:
        fed.extend(tokens)
        put(index, tokens, *where, wanted=wanted)

    monkeypatch.setattr(engine, "put", noting)
    step(busy)
    (slot,) = busy._slots
    events = [event for _ in range(300) for event in step(busy)]
    (done,) = (event for event in events if isinstance(event, Done))
    assert done.finish_reason == "stop"
    assert json.loads(done.text)["status"] in ("ok", "bad")
    assert slot.answer_from == (4 if end == "think" else 3)
    put_in = busy._admission
    ended = [token, *put_in.after_thinking] if end == "think" else put_in.stop_thinking
    assert fed[done.prompt_tokens :] == ended
    assert not any(isinstance(event, FirstToken) for event in events), "the first one is there"


def test_a_thought_without_an_answer_is_no_json(engine: Engine) -> None:
    done = one(engine, thinking=True, max_tokens=8, schema=SCHEMA)
    assert (done.text, done.finish_reason) == ("", "length")


def test_an_answer_that_does_not_keep_to_its_schema_is_none(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grammar allows no other; should it ever, the node does not pass it on."""
    monkeypatch.setattr("node.engine.admission.grammar_of", lambda _: 'root ::= "[1]"')
    found = answer_all(batcher(engine), [asked(1, schema=SCHEMA)])[1]
    assert isinstance(found, Refused)
    assert found.reason == "no_answer"


def test_a_grammar_that_llama_cpp_does_not_take_is_a_bad_schema(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.engine.admission.grammar_of", lambda _: "root ::= nothing")
    found = answer_all(batcher(engine), [asked(1, schema=SCHEMA), asked(2)])
    assert isinstance(found[1], Refused)
    assert found[1].reason == "bad_schema"
    assert isinstance(found[2], Done)


def test_an_answer_keeps_to_its_schema(engine: Engine) -> None:
    for seed in range(4):
        done = one(engine, schema=SCHEMA, sampling=Sampling(seed=seed), max_tokens=60)
        found = json.loads(done.text)
        if done.finish_reason == "stop":
            assert found["status"] in ("ok", "bad")
    short = one(engine, schema=SCHEMA, max_tokens=4)
    assert short.finish_reason == "length"
    json.loads(short.text)


def test_a_schema_that_is_none_is_refused(engine: Engine) -> None:
    found = answer_all(batcher(engine), [asked(1, schema='{"type": "nothing"}')])[1]
    assert isinstance(found, Refused)
    assert (found.reason, found.detail[:23]) == ("bad_schema", "type: expected one of o")
