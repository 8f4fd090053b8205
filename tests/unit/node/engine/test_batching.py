"""What the batcher says of itself, and what it makes of drafts, on the `tiny` model."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models.resolve import resolve
from node.engine.batching import BESIDE_NS, BESIDE_TOKENS, Batcher, answer_all
from node.engine.costs import Costs
from node.engine.llama import Engine, EngineSettings
from node.engine.prefixes import Prefixes
from node.engine.requests import NotFinite, Request
from node.engine.speculation import Said
from roundtrip.message import GREEDY

TICK_NS = 1000


@pytest.fixture(scope="module")
def engine() -> Engine:
    known = EngineSettings(context=256, threads=1, sequences=2, use_extra_bufts=False)
    return Engine(str(resolve("tiny")), known)


def batcher(engine: Engine, **options) -> Batcher:
    """One whose clock goes on by a tick each time that it is read."""
    for sequence in range(engine.settings.sequences):
        engine.forget(sequence)
    ticks = itertools.count(step=TICK_NS)
    return Batcher(engine, prefixes=Prefixes(None, ""), clock_ns=lambda: next(ticks), **options)


def asked(number: int = 1, **changes) -> Request:
    known = {
        "text": "Go on.", "system": "", "max_tokens": 12, "sampling": GREEDY, "thinking": False,
    }  # fmt: skip
    return Request(number, **(known | changes))


def begun(busy: Batcher) -> None:
    """Read the prompts of all that was added."""
    busy.admit()
    while not all(slot.writing for slot in busy._slots):
        busy.step()


def test_what_steps_take_is_measured_by_how_many_write(engine: Engine) -> None:
    busy = batcher(engine, drafts=False)
    assert (busy.step_ns, busy.busy) == ({}, False)
    answer_all(busy, [asked(1), asked(2)])
    assert busy.step_ns == {2: TICK_NS}
    answer_all(busy, [asked(3)])
    assert busy.step_ns == {1: TICK_NS, 2: TICK_NS}
    assert 0 < busy.prefill_ns < TICK_NS, "of a token, of many in a step"
    assert (busy.drafting, busy.draft_gain_ns, busy.width) == (False, 0.0, 2)


def test_a_prompt_is_read_beside_others_as_far_as_does_not_hold_them_up(engine: Engine) -> None:
    assert batcher(engine)._beside() == BESIDE_TOKENS
    assert batcher(engine, prefill_ns=BESIDE_NS / 100)._beside() == 100
    assert batcher(engine, prefill_ns=BESIDE_NS)._beside() == BESIDE_TOKENS


def test_the_width_is_the_fastest_that_is_known_or_all(engine: Engine) -> None:
    slow_together = Costs({1: 1e6, 2: 1e9})
    assert batcher(engine, costs=slow_together, fixed_width=False).width == 1
    assert batcher(engine, costs=slow_together).width == 2


def test_an_end_in_a_draft_ends_a_thought_and_is_not_read(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = batcher(engine)
    busy.add(asked(thinking=True, think_tokens=50, max_tokens=80))
    begun(busy)
    (slot,) = busy._slots
    said, (last,), end = slot.said, slot.feed, min(engine.ends)
    assert said is not None

    def drafted(*_: object) -> float:
        said.draft = [last, end]
        for index, token in enumerate(said.draft, 1):
            engine.put_one(index, token, slot.position + index, slot.sequence)
        return 0.0

    written = iter([last, end])
    monkeypatch.setattr(busy, "_draft", drafted)
    monkeypatch.setattr(engine, "likeliest", lambda row: next(written))
    busy.step()
    assert slot.feed == [last, *busy._admission.stop_thinking]
    assert slot.written[-1] == last


def test_it_rests_while_there_is_nothing_to_do(engine: Engine) -> None:
    busy = batcher(engine)
    assert busy.resting
    busy.add(asked())
    assert not busy.resting
    busy.admit()
    assert not busy.resting
    busy.cut(1)
    assert busy.resting


def test_a_draft_is_told_of_what_others_have_in_the_same_decode(engine: Engine) -> None:
    busy = batcher(engine, drafts=True)
    told: list[tuple[int, int, float]] = []
    stepped: list[int] = []

    def draft(said, sequence, most, sequences, extra, expected) -> float:
        told.append((sequences, extra, expected))
        said.draft = [5] * (2 + len(told) % 2)
        said.kinds = []
        return 0.5

    busy._speculation.begin = lambda prompt: Said({}, list(prompt[-4:]), [])
    busy._speculation.draft = draft
    busy._speculation.stepped = lambda ns, writing, drafted, made: stepped.append(drafted)
    for number in (1, 2):
        busy.add(asked(number))
    begun(busy)
    busy.step()
    assert told == [(2, 0, 0.0), (2, 3, 0.5)]
    assert stepped[-1] == 5


def test_logits_that_are_no_numbers_are_said_with_what_came_of_the_others(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = batcher(engine, drafts=False)
    for number in (1, 2):
        busy.add(asked(number))
    begun(busy)
    spoilt = next(slot for slot in busy._slots if slot.request.id == 1)
    other = next(slot for slot in busy._slots if slot.request.id == 2)
    other.limit = len(other.written) + 1
    logits, rows = engine.logits, []

    def damaged(index: int) -> np.ndarray:
        rows.append(index)
        row = logits(index)
        return np.where(row == row.max(), np.nan, row) if len(rows) == 1 else row

    assert busy._slots.index(spoilt) == 0
    monkeypatch.setattr(engine, "logits", damaged)
    with pytest.raises(NotFinite) as raised:
        busy.step()
    assert [event.id for event in raised.value.events] == [2]


@pytest.mark.parametrize("holds", [True, False])
def test_a_sequence_holds_what_was_read_only_where_that_may_be_used_again(
    engine: Engine, holds: bool
) -> None:
    busy = batcher(engine, holds=holds)
    answer_all(busy, [asked(1, system="Watch.", tools="A tool.")])
    assert (max(len(held) for _, held in busy._admission.free) > 0) is holds


def test_a_probe_is_read_from_the_beginning_of_a_free_sequence_and_leaves_it_free() -> None:
    done: list[Any] = []
    said = iter((7, 8, 9))
    engine = SimpleNamespace(
        vocab_size=10,
        forget=lambda sequence: done.append(("forget", sequence)),
        put=lambda *arguments, wanted: done.append(("put", *arguments, wanted)),
        put_one=lambda *arguments: done.append(("put_one", *arguments)),
        decode=lambda count: done.append(("decode", count)),
        likeliest=lambda index: next(said),
        logits=lambda index: np.array([index]),
    )
    free: list[Any] = [(0, (1, 2)), (2, (3, 4))]
    batcher: Any = SimpleNamespace(_engine=engine, _admission=SimpleNamespace(free=free))
    assert Batcher.probe(batcher, [11, 12], 3)[0] == [7, 8, 9]
    assert done == [
        ("forget", 2),
        ("put", 0, [1, 2], 0, 2, True),
        ("decode", 2),
        ("put_one", 0, 7, 2, 2),
        ("decode", 1),
        ("put_one", 0, 8, 3, 2),
        ("decode", 1),
        ("forget", 2),
    ]
    assert free == [(0, (1, 2)), (2, ())]
