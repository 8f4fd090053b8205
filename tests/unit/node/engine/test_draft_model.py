"""A model that drafts for another, on `tiny`."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from models.resolve import resolve
from node.engine.batching import Batcher, answer_all
from node.engine.draft_model import MAX_TOKENS, PROBE_EVERY, DraftModel, same_vocabulary
from node.engine.llama import Engine, EngineSettings
from node.engine.prefixes import Prefixes
from node.engine.requests import Done, Request
from roundtrip.message import GREEDY

DURATIONS = [1000.0 + 350.0 * extra for extra in range(40)]
SETTINGS = EngineSettings(context=512, threads=1, sequences=2, use_extra_bufts=False)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(str(resolve("tiny")), SETTINGS)


@pytest.fixture(scope="module")
def small() -> Engine:
    """The same weights: it is always right, but for what the size of a batch changes."""
    return Engine(str(resolve("tiny")), SETTINGS)


def ticking(step_ns: int = 1000) -> Callable[[], int]:
    ticks = itertools.count(0, step_ns)
    return lambda: next(ticks)


def batcher(engine: Engine, model: DraftModel | None) -> Batcher:
    for sequence in range(SETTINGS.sequences):
        engine.forget(sequence)
    found = Batcher(engine, prefixes=Prefixes(None, ""), clock_ns=ticking(), model=model)
    found._speculation.drafts.draft = lambda *_: ([], [], 0.0)
    found._speculation._account.gained = lambda _: None
    found._costs.table = lambda _: DURATIONS
    return found


def request(number: int, text: str = "Is the battery warm?") -> Request:
    return Request(number, text, "Be brief.", 60, GREEDY, thinking=False)


def model_of(small: Engine, *, costs_ns: float) -> DraftModel:
    for sequence in range(SETTINGS.sequences):
        small.forget(sequence)
    model = DraftModel(small, ticking(0))
    model._step_ns, model._right = costs_ns, 0.9
    return model


def test_the_text_is_the_same_and_there_are_fewer_decodes(engine, small) -> None:
    plain = batcher(engine, None)
    expected = answer_all(plain, [request(1), request(2, "Why?")])
    drafting = batcher(engine, model_of(small, costs_ns=1.0))
    found = answer_all(drafting, [request(1), request(2, "Why?")])
    for number in (1, 2):
        one, other = expected[number], found[number]
        assert isinstance(one, Done)
        assert isinstance(other, Done)
        assert other.text == one.text
    assert drafting.steps < plain.steps * 0.6


def test_one_that_costs_too_much_or_is_never_right_is_left_alone(engine, small) -> None:
    dear = model_of(small, costs_ns=1e9)
    plain, drafting = batcher(engine, None), batcher(engine, dear)
    for busy in (plain, drafting):
        answer_all(busy, [request(1)])
    assert drafting.steps == plain.steps
    wrong = model_of(small, costs_ns=1.0)
    for _ in range(20):
        wrong.checked(4, 0)
    assert wrong.draft(0, list(range(300, 310)), 8, 1, DURATIONS) == []


def test_a_draft_is_as_long_as_it_pays(small) -> None:
    model = model_of(small, costs_ns=100.0)
    tokens = list(range(300, 320))
    lengths = []
    for right in (0.99, 0.8, 0.5, 0.3):
        model._right = right
        lengths.append(len(model.draft(0, tokens, 15, 1, DURATIONS)))
    assert lengths[0] == MAX_TOKENS
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] == 0
    model._right = 0.9
    assert len(model.draft(0, tokens, 2, 1, DURATIONS)) == 2
    assert model.draft(0, list(range(300, 300 + 512)), 8, 1, DURATIONS) == []


def test_what_a_step_takes_is_measured_from_the_second_token_on(small) -> None:
    for sequence in range(SETTINGS.sequences):
        small.forget(sequence)
    model = DraftModel(small, ticking(10**9))
    tokens = list(range(300, 310))
    assert len(model.draft(0, tokens, 15, 1, DURATIONS)) == 2, "not known yet: tried with two"
    assert model.draft(0, tokens, 15, 1, DURATIONS) == [], "a second a step"
    quick = DraftModel(small, ticking(0))
    quick.draft(0, tokens, 1, 1, DURATIONS)
    assert quick._step_ns is None, "one token tells nothing"
    for _ in range(2):
        quick.draft(0, tokens, 15, 1, DURATIONS)
    assert quick._step_ns == 0


def test_one_slow_step_among_many_counts_little() -> None:
    model = DraftModel(None, ticking())
    model._measured(1000.0)
    model._measured(10**9)
    assert model._step_ns == pytest.approx(1300), "a tenth of three times more"
    model._measured(300.0)
    assert model._step_ns == pytest.approx(1200)


def test_how_often_it_is_right_is_followed_fast_at_first_and_slowly_later() -> None:
    model = DraftModel(None, ticking())
    model.checked(4, 2)
    assert model._right == pytest.approx(_mean(0.7, [1, 1, 0]))
    for _ in range(200):
        model.checked(1, 1)
    high = model._right
    assert high > 0.99
    model.checked(4, 0)
    assert model._right == pytest.approx(high * 0.95), "one in twenty"
    model.checked(3, 3)
    model.checked(0, 0)
    assert model._right == pytest.approx(1 - (1 - high * 0.95) * 0.95**3), "three, and no fourth"


def _mean(right: float, seen: list[int]) -> float:
    """Of what was supposed and what was seen; the first weighs a half, the next a third ..."""
    for count, one in enumerate(seen, 2):
        right += (one - right) / count
    return right


def test_where_it_does_not_pay_one_in_many_chances_is_taken(small) -> None:
    model = model_of(small, costs_ns=1e9)
    tokens = list(range(300, 310))
    sizes = [len(model.draft(0, tokens, 8, 1, DURATIONS)) for _ in range(3 * PROBE_EVERY)]
    assert (sum(sizes), max(sizes)) == (3, 1)


def test_its_cache_follows_what_was_said(small) -> None:
    model = model_of(small, costs_ns=1.0)
    tokens = list(range(300, 320))
    first = model.draft(0, tokens, 4, 1, DURATIONS)
    said = [*tokens, first[0], 777]  # the second was wrong
    again = model.draft(0, said, 4, 1, DURATIONS)
    fresh = model_of(small, costs_ns=1.0).draft(1, said, 4, 1, DURATIONS)
    assert again == fresh


def test_only_the_same_vocabulary_will_do(engine, small) -> None:
    assert same_vocabulary(engine, small)
    builtin = Engine(str(resolve("builtin")), SETTINGS)
    assert not same_vocabulary(engine, builtin)
