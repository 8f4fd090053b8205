from __future__ import annotations

from node.engine.lookup import PROBE_EVERY, Drafts, Table, learn


def ready(chance: float) -> Drafts:
    drafts = Drafts()
    drafts.plain_step(1, 1000)
    drafts.drafted_step(1, 4, 2000)
    drafts._right = [chance] * len(drafts._right)
    return drafts


def test_what_followed_before_is_guessed() -> None:
    table: Table = {}
    learn((table,), (), [1, 2, 3, 4, 5, 6, 7, 8])
    tokens, kinds = ready(0.99).draft(table, [1, 2, 3, 4], 3, 1)
    assert (tokens, len(kinds)) == ([5, 6, 7], 3)
    assert ready(0.99).draft(table, [9, 9, 3, 4], 15, 1)[0] == [5, 6, 7, 8]
    assert ready(0.99).draft(table, [9, 9, 9, 9], 15, 1) == ([], [])


def test_the_last_one_counts_and_an_earlier_answer_helps() -> None:
    table: Table = {}
    learn((table,), (), [1, 2, 3, 9, 1, 2, 4, 9, 1, 2])
    assert ready(0.99).draft(table, [4, 9, 1, 2], 1, 1)[0] == [4]
    drafts = ready(0.99)
    drafts.said({}, [1, 2, 3, 4], [5, 6])
    assert drafts.draft({}, [1, 2, 3, 4], 5, 1)[0] == [5, 6]


def test_a_draft_is_as_long_as_it_pays() -> None:
    table: Table = {}
    learn((table,), (), list(range(30)))
    lengths = [len(ready(c).draft(table, [1, 2, 3, 4], 15, 1)[0]) for c in (0.98, 0.7, 0.3, 0.2)]
    assert lengths == [15, 3, 1, 0]


def test_where_drafts_do_not_pay_one_in_many_is_still_tried() -> None:
    table: Table = {}
    learn((table,), (), list(range(10)))
    drafts = ready(0.05)
    sizes = [len(drafts.draft(table, [1, 2, 3, 4], 15, 1)[0]) for _ in range(10 * PROBE_EVERY)]
    assert (sum(sizes), max(sizes)) == (10, 1)
    for _ in range(100):
        drafts.checked([0], 1)
    assert len(drafts.draft(table, [1, 2, 3, 4], 15, 1)[0]) > 0


def test_more_sequences_make_a_draft_dearer() -> None:
    table: Table = {}
    learn((table,), (), list(range(30)))
    drafts = ready(0.8)
    drafts.plain_step(8, 2500)
    assert len(drafts.draft(table, [1, 2, 3, 4], 15, 8)[0]) < len(
        drafts.draft(table, [1, 2, 3, 4], 15, 1)[0]
    )


def test_where_nothing_is_right_drafts_are_soon_given_up() -> None:
    table: Table = {}
    learn((table,), (), list(range(30)))
    drafts = Drafts()
    drafts.plain_step(1, 1000)
    drafted = 0
    for _ in range(20):
        tokens, kinds = drafts.draft(table, [1, 2, 3, 4], 15, 1)
        drafts.checked(kinds, 0)
        drafted += bool(tokens)
    assert drafted <= 2
