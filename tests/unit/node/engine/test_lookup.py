from __future__ import annotations

import pytest

from node.engine import lookup
from node.engine.costs import Costs
from node.engine.lookup import PROBE_EVERY, Drafts, Table, learn, learned


def ready(chance: float, *, extra_ns: float = 250.0) -> Drafts:
    """Drafts that suppose this chance of every guess, where a token more takes so long."""
    checks = {count: 1000.0 + extra_ns * (count - 1) for count in range(2, 33)}
    drafts = Drafts(Costs({1: 1000.0}, checks))
    drafts._right = [chance] * len(drafts._right)
    return drafts


def test_what_followed_before_is_guessed() -> None:
    table: Table = {}
    learn((table,), (), [1, 2, 3, 4, 5, 6, 7, 8])
    tokens, kinds, right = ready(0.99).draft(table, [1, 2, 3, 4], 3, 1)
    assert (tokens, len(kinds)) == ([5, 6, 7], 3)
    assert right == pytest.approx(0.99 + 0.99**2 + 0.99**3)
    assert ready(0.99).draft(table, [9, 9, 3, 4], 15, 1)[0] == [5, 6, 7, 8]
    assert ready(0.99).draft(table, [9, 9, 9, 9], 15, 1) == ([], [], 0.0)


def test_a_prompt_is_learned_as_an_answer_is_but_for_repetition() -> None:
    tokens = [1, 2, 3, 9, 1, 2, 4, 9, 1, 2, 4, 9, 9, 9]
    slow: Table = {}
    learn((slow,), (), tokens)
    fast = learned(tokens)
    assert {key: entry >> 2 for key, entry in slow.items() if key} == {
        key: entry >> 2 for key, entry in fast.items()
    }
    assert not any(entry & 3 for entry in fast.values())
    assert learned([1]) == {}


def test_the_last_one_counts_and_an_earlier_answer_helps() -> None:
    table: Table = {}
    learn((table,), (), [1, 2, 3, 9, 1, 2, 4, 9, 1, 2])
    assert ready(0.99).draft(table, [4, 9, 1, 2], 1, 1)[0] == [4]
    drafts = ready(0.99)
    drafts.said({}, [1, 2, 3, 4], [5, 6])
    assert drafts.draft({}, [1, 2, 3, 4], 5, 1)[0] == [5, 6]


def test_a_draft_is_as_long_as_makes_the_most_tokens_a_second() -> None:
    table: Table = {}
    learn((table,), (), list(range(30)))
    for chance in (0.98, 0.7, 0.3, 0.2):
        rates = [
            sum(chance**n for n in range(length + 1)) / (1000 + 250 * length)
            for length in range(16)
        ]
        found = ready(chance).draft(table, [1, 2, 3, 4], 15, 1)[0]
        assert len(found) == rates.index(max(rates)), chance
    assert len(ready(0.98).draft(table, [1, 2, 3, 4], 15, 1)[0]) > 5
    assert ready(0.2).draft(table, [1, 2, 3, 4], 15, 1)[0] == []


def test_a_processor_where_a_token_more_costs_a_decode_gets_none() -> None:
    table: Table = {}
    learn((table,), (), list(range(30)))
    assert ready(0.95, extra_ns=960.0).draft(table, [1, 2, 3, 4], 15, 1)[0] == []
    assert len(ready(0.95, extra_ns=10.0).draft(table, [1, 2, 3, 4], 15, 1)[0]) == 15


def test_a_step_in_the_costs_is_gone_up_to_and_not_over() -> None:
    """Where four tokens cost as much as two, and five as much as eight: three guesses."""
    table: Table = {}
    learn((table,), (), list(range(30)))
    checks = {2: 1400.0, 4: 1400.0, 5: 2800.0, 8: 2800.0}
    drafts = Drafts(Costs({1: 1000.0}, checks))
    drafts._right = [0.7] * len(drafts._right)
    assert len(drafts.draft(table, [1, 2, 3, 4], 15, 1)[0]) == 3


def test_where_drafts_do_not_pay_one_in_many_is_still_tried() -> None:
    table: Table = {}
    learn((table,), (), list(range(10)))
    drafts = ready(0.05)
    sizes = [len(drafts.draft(table, [1, 2, 3, 4], 15, 1)[0]) for _ in range(10 * PROBE_EVERY)]
    assert (sum(sizes), max(sizes)) == (10, 1)
    for _ in range(100):
        drafts.checked([0], 1)
    assert len(drafts.draft(table, [1, 2, 3, 4], 15, 1)[0]) > 0


def test_what_others_have_in_the_decode_makes_a_draft_shorter() -> None:
    table: Table = {}
    learn((table,), (), list(range(30)))
    checks = {2: 1100.0, 4: 1300.0, 8: 4000.0, 16: 9000.0}
    drafts = Drafts(Costs({1: 1000.0, 2: 1100.0}, checks))
    drafts._right = [0.8] * len(drafts._right)
    alone = drafts.draft(table, [1, 2, 3, 4], 15, 2)[0]
    beside = drafts.draft(table, [1, 2, 3, 4], 15, 2, extra=2, expected=1.4)[0]
    assert len(alone) == 2
    assert beside == []


def test_where_nothing_is_right_drafts_are_soon_given_up() -> None:
    table: Table = {}
    learn((table,), (), list(range(30)))
    drafts = Drafts(Costs({1: 1000.0}))
    drafted = 0
    for _ in range(20):
        tokens, kinds, _ = drafts.draft(table, [1, 2, 3, 4], 15, 1)
        drafts.checked(kinds, 0)
        drafted += bool(tokens)
    assert drafted <= 2


def test_earlier_answers_are_forgotten_all_at_once_when_they_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lookup, "MAX_HISTORY", 3)
    drafts = ready(0.99)
    drafts.said({}, [1, 2, 3, 4], [5])
    assert drafts.draft({}, [1, 2, 3, 4], 5, 1)[0] == [5], "three entries, as many as may be"
    drafts.said({}, [1, 2, 3, 4], [5])
    drafts.said({}, [11, 12, 13, 14], [15])
    assert drafts.draft({}, [11, 12, 13, 14], 5, 1)[0] == [15]
    assert drafts.draft({}, [1, 2, 3, 4], 5, 1)[0] == [5], "three were not too many"
    drafts.said({}, [21, 22, 23, 24], [25])
    assert drafts.draft({}, [21, 22, 23, 24], 5, 1)[0] == [25]
    assert drafts.draft({}, [1, 2, 3, 4], 5, 1)[0] == [], "six were"


def test_a_first_guess_is_as_likely_wrong_as_right() -> None:
    drafts = Drafts(Costs({1: 1000.0}))
    assert drafts._right[:4] == drafts._right[4:8] == [0.5, 0.7, 0.8, 0.9]


def test_how_often_a_guess_is_right_is_followed_fast_at_first_and_slowly_later() -> None:
    drafts = Drafts(Costs({1: 1000.0}))
    supposed = drafts._right[7]
    drafts.checked([7, 7, 3], 1)
    assert drafts._right[7] == pytest.approx(((supposed + 1) / 2 * 2 + 0) / 3)
    assert drafts._right[3] == Drafts(Costs({1: 1000.0}))._right[3], "nothing was tried of it"
    for _ in range(200):
        drafts.checked([7], 1)
    high = drafts._right[7]
    drafts.checked([7], 0)
    assert drafts._right[7] == pytest.approx(high * 0.95), "one in twenty"
