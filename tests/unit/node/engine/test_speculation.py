"""Drafts: whose they are, when there are none, and what they are charged."""

from __future__ import annotations

import pytest

from node.engine.costs import Costs
from node.engine.lookup import MAX_DRAFT
from node.engine.speculation import LEAST_TOKENS, Said, Speculation

CHECKS = {2: 1010.0, 4: 1030.0, 16: 1150.0}
"""A drafted token costs next to nothing."""
PROMPT = [5, 6, 7, 8, 9, 10, 5, 6, 7, 8]
"""After its last four comes what came after them before."""


class Model:
    """A smaller one that always says the same."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, list[int], int, int]] = []
        self.told: list[tuple[int, int]] = []

    def draft(self, sequence, tokens, most, sequences, durations) -> list[int]:
        self.asked.append((sequence, list(tokens), most, sequences))
        return [3, 3]

    def checked(self, drafted: int, accepted: int) -> None:
        self.told.append((drafted, accepted))


def speculation(model: Model | None = None, *, on: bool = True, tick_ns: int = 0) -> Speculation:
    now_ns = [0]

    def clock() -> int:
        now_ns[0] += tick_ns
        return now_ns[0]

    made = Speculation(Costs({1: 1000.0}, CHECKS), clock, on=on, model=model)
    made.drafts._right = [0.99] * len(made.drafts._right)
    return made


def begun(made: Speculation, prompt: list[int] = PROMPT) -> Said:
    said = made.begin(prompt)
    assert said is not None
    return said


def test_what_was_said_before_is_drafted() -> None:
    made = speculation()
    said = begun(made)
    right = made.draft(said, 0, 4, 1, 0, 0.0)
    assert said.draft == [9, 10, 5, 6]
    assert right == pytest.approx(0.99 + 0.99**2 + 0.99**3 + 0.99**4)


@pytest.mark.parametrize("most", [0, -1])
def test_where_there_is_no_room_there_is_no_draft(most: int) -> None:
    made = speculation()
    said = begun(made)
    said.draft, said.kinds = [1], [1]
    assert made.draft(said, 0, most, 1, 0, 0.0) == 0.0
    assert (said.draft, said.kinds) == ([], [])


def test_nor_before_anything_was_measured() -> None:
    made = Speculation(Costs(), lambda: 0, on=True, model=None)
    said = begun(made)
    assert made.draft(said, 0, 4, 1, 0, 0.0) == 0.0


def test_a_draft_has_a_largest_size() -> None:
    made = speculation(Model())
    said = begun(made, list(range(100)))
    made.draft(said, 0, 10**6, 1, 0, 0.0)
    assert made._model.asked[0][2] == MAX_DRAFT


@pytest.mark.parametrize("on", [False, True])
def test_short_prompts_and_engines_without_drafts_have_none(on: bool) -> None:
    made = speculation(on=on)
    assert (made.begin(PROMPT[:LEAST_TOKENS]) is not None) is on
    assert made.begin(PROMPT[: LEAST_TOKENS - 1]) is None


def test_a_smaller_model_drafts_where_nothing_is_known_from_before() -> None:
    model = Model()
    made = speculation(model)
    said = begun(made, [1, 2, 3, 4])
    assert made.draft(said, 7, 4, 2, 0, 0.0) == 0.0
    assert said.draft == [3, 3]
    assert model.asked == [(7, [1, 2, 3, 4], 4, 2)]
    made.checked(said, 1)
    assert (model.told, said.draft) == ([(2, 1)], [])
    made.follow(said, [3, 9])
    made.draft(said, 7, 4, 2, 0, 0.0)
    assert model.asked[-1][1] == [1, 2, 3, 4, 3, 9]


def test_a_smaller_model_is_not_asked_where_something_is_known() -> None:
    model = Model()
    made = speculation(model)
    said = begun(made)
    made.draft(said, 0, 4, 1, 0, 0.0)
    made.checked(said, 0)
    assert (model.asked, model.told) == ([], [])


def test_what_is_checked_changes_what_is_expected() -> None:
    made = speculation()
    said = begun(made)
    before = made.draft(said, 0, 4, 1, 0, 0.0)
    for _ in range(3):
        made.draft(said, 0, 4, 1, 0, 0.0)
        made.checked(said, 0)
    assert made.draft(said, 0, 4, 1, 0, 0.0) < before
    assert said.draft != [9, 10, 5, 6]


def test_what_was_said_is_looked_up_next_time() -> None:
    made = speculation()
    said = begun(made, [1, 2, 3, 4])
    made.follow(said, [20, 21, 22, 23, 24, 20, 21, 22, 23])
    assert said.last == [20, 21, 22, 23]
    made.draft(said, 0, 1, 1, 0, 0.0)
    assert said.draft == [24]


def test_steps_with_drafts_are_held_against_steps_without() -> None:
    made = speculation()
    made.stepped(1_500, 1, 3, 4)
    assert made.gained_ns == pytest.approx(4 * 1000 - 1_500)
    made.stepped(1_500, 1, 3, 1)
    assert made.gained_ns == pytest.approx(2_500 - 500)


def test_guessing_is_charged() -> None:
    made = speculation(tick_ns=100)
    made.stepped(1_000, 1, 0, 1)
    said = begun(made)
    assert made.gained_ns == -100
    made.draft(said, 0, 4, 1, 0, 0.0)
    made.follow(said, [])
    made.stepped(1_500, 1, 0, 1)
    assert made.gained_ns == -300
    made.stepped(1_000, 1, 0, 1)
    assert made.gained_ns == -300, "once"


def test_a_step_takes_what_it_does_without_the_guessing() -> None:
    made = speculation(tick_ns=100)
    made.stepped(1_000, 1, 0, 1)
    before = made._costs.step_ns[1]
    made.draft(begun(made), 0, 4, 1, 0, 0.0)
    made.stepped(round(before) + 100, 1, 0, 1)
    assert made._costs.step_ns[1] == pytest.approx(before, abs=1)


def test_in_debt_nothing_is_guessed_or_learned() -> None:
    made = speculation()
    said = begun(made)
    while made.open:
        made.stepped(10_000, 1, 3, 1)
    assert made.draft(said, 0, 4, 1, 0, 0.0) == 0.0
    made.follow(said, [30])
    assert said.last == PROMPT[-LEAST_TOKENS:]
    assert made.begin(PROMPT) is None
