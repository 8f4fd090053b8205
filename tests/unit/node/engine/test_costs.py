"""What decodes take, whether drafts pay, and how many questions go together."""

from __future__ import annotations

import random

import pytest

from node.engine.costs import OUTLIER, RENEWED_EVERY, Account, Costs, Width
from node.speed import best_width, between

INTEL = {1: 28.6e6, 2: 40.8e6, 3: 52.6e6, 4: 51.3e6, 6: 73.2e6, 8: 87.0e6}
"""ms of a decode, qwen3-0.6b Q4_K_M, Xeon with AVX-512."""
AMD = {1: 25.3e6, 2: 41.0e6, 3: 54.5e6, 4: 54.8e6, 6: 106.2e6, 8: 154.7e6}
"""The same on an EPYC."""


def test_between_is_linear_and_beyond_in_proportion() -> None:
    figures = {2: 10.0, 4: 30.0}
    assert [between(figures, at) for at in (1, 2, 3, 4, 8)] == [10.0, 10.0, 20.0, 30.0, 60.0]


@pytest.mark.parametrize(("curve", "most", "best"), [(INTEL, 8, 8), (AMD, 8, 4), (AMD, 3, 3)])
def test_as_many_at_once_as_is_fastest_in_all(
    curve: dict[int, float], most: int, best: int
) -> None:
    assert best_width(curve, most) == best
    assert Costs(curve).width(most) == best


def test_fewer_at_once_where_more_hardly_pay() -> None:
    assert best_width({1: 1e7, 8: 7.9e7}, 8) == 1
    assert best_width({1: 1e7, 8: 6e7}, 8) == 8


def test_more_at_once_where_a_step_takes_longer_than_its_decode() -> None:
    assert best_width({1: 100.0, 4: 400.0}, 4) == 4
    assert best_width({1: 60_000.0, 2: 80_000.0, 3: 150_000.0}, 3) == 2


def test_nothing_is_known_before_the_first_decode() -> None:
    costs = Costs()
    assert costs.table(1) is None
    assert costs.width(5) == 5
    costs.plain(1, 1000)
    table = costs.table(1)
    assert table is not None
    assert table[0] == 1000
    assert table[1] == 1500, "a token more is supposed to take half of a decode"


def test_a_table_holds_what_was_measured_and_follows_it() -> None:
    costs = Costs({1: 100.0, 2: 150.0}, {2: 130.0, 4: 190.0})
    table = costs.table(1)
    assert table is not None
    assert list(table[:4]) == [100.0, 130.0, 160.0, 190.0]
    both = costs.table(2)
    assert both is not None
    assert list(both[:3]) == [150.0, 180.0, 210.0]
    for _ in range(200):
        costs.drafted(1, 1, 170.0)
    assert costs.table(1)[1] == pytest.approx(170.0, abs=0.1)
    for _ in range(200):
        costs.drafted(2, 2, 150.0 + 4 * (costs.table(2)[2] - 150.0) / 2)
        if costs.table(2)[2] > 400.0:
            break
    else:
        pytest.fail("drafts of two sequences that are dearer than supposed stay cheap")


@pytest.mark.parametrize(("took_ns", "dearer"), [(330.0, 1.2), (1e9, 1.3), (0.0, 0.9)])
def test_drafts_of_several_are_followed_by_how_much_dearer_they_are(
    monkeypatch: pytest.MonkeyPatch, took_ns: float, dearer: float
) -> None:
    """Two tokens more are supposed to cost 60; 330 is three times that above 150."""
    monkeypatch.setattr("node.engine.costs.RENEWED_EVERY", 1)
    costs = Costs({1: 100.0, 2: 150.0}, {2: 130.0, 4: 190.0})
    costs.drafted(2, 2, took_ns)
    table = costs.table(2)
    assert table is not None
    assert list(table[:3]) == pytest.approx([150.0, 150.0 + 30 * dearer, 150.0 + 60 * dearer])


def test_one_outlier_changes_little() -> None:
    costs = Costs({1: 100.0})
    costs.plain(1, 1e9)
    assert costs.step_ns[1] == pytest.approx(100.0 + 0.1 * (OUTLIER - 1) * 100.0)


def test_tables_are_worked_out_anew_now_and_then_only() -> None:
    costs = Costs({1: 100.0})
    first = costs.table(1)
    for _ in range(RENEWED_EVERY - 1):
        costs.plain(1, 200.0)
    assert costs.table(1) is first
    costs.plain(1, 200.0)
    assert costs.table(1)[0] > 190.0


@pytest.mark.parametrize("loss", [0.03, 0.3, 1.0])
def test_what_drafts_lose_is_bounded_over_any_2000_decodes(loss: float) -> None:
    """Each decode with a draft costs this share more than it saves."""
    account, rng, losses = Account(), random.Random(1), []
    for _ in range(20_000):
        if account.open and rng.random() < 0.5:
            account.gained(-loss * 100.0)
            losses.append(loss)
        else:
            account.wrote(100.0)
            losses.append(0.0)
    worst = max(sum(losses[at : at + 2000]) for at in range(0, 18_000, 50))
    assert worst / 2000 < 0.02
    assert account.gained_ns == pytest.approx(-100.0 * sum(losses))


def test_a_good_hour_does_not_pay_for_a_bad_one() -> None:
    account = Account()
    account.wrote(100.0)
    account.gained(1e9)
    for _ in range(Account.CREDIT_STEPS + 1):
        account.gained(-100.0)
    assert not account.open


def test_drafts_are_switched_off_in_debt_and_tried_again_above_half_of_the_credit() -> None:
    account = Account()
    account.wrote(100.0)
    most_ns = Account.CREDIT_STEPS * 100.0
    account.gained(-most_ns)
    assert account.open, "all spent is no debt"
    account.gained(-0.5)
    assert not account.open
    account.gained(most_ns / 2 + 0.5)
    assert not account.open, "just half"
    account.gained(0.5)
    assert account.open


def test_drafts_that_pay_go_on_and_those_switched_off_are_tried_again() -> None:
    account = Account()
    for _ in range(1000):
        account.wrote(100.0)
        account.gained(30.0)
        assert account.open
    while account.open:
        account.gained(-100.0)
    decodes = 0
    while not account.open:
        account.wrote(100.0)
        decodes += 1
    assert 1000 < decodes < 4000


def test_another_number_at_once_is_tried_now_and_then() -> None:
    width = Width(Costs(AMD), 8, fixed=False)
    seen = []
    for _ in range(9 * Width.PROBE_EVERY):
        width.answered()
        seen.append(width.now)
    assert set(seen) == set(range(1, 9))
    assert seen.count(4) > 0.9 * len(seen)


def test_each_number_is_tried_in_turn_for_a_few_answers() -> None:
    width = Width(Costs(AMD), 8, fixed=False)
    seen = [width.now]
    for _ in range(10 * Width.PROBE_EVERY):
        width.answered()
        seen.append(width.now)
    turns = [seen[at : at + Width.PROBE_EVERY] for at in range(0, len(seen), Width.PROBE_EVERY)]
    assert set(turns[0]) == {4}
    for number, turn in enumerate(turns[1:9], 1):
        assert turn == [number] * Width.PROBE_FOR + [4] * (Width.PROBE_EVERY - Width.PROBE_FOR)
    assert turns[9][0] == 1, "from the beginning"


def test_the_number_follows_what_is_measured() -> None:
    costs = Costs(AMD)
    width = Width(costs, 8, fixed=False)
    assert width.now == 4
    for _ in range(100):
        costs.plain(8, 60e6)
    width.answered()
    assert width.now == 8


def test_a_number_that_was_told_stays() -> None:
    width = Width(Costs(AMD), 8, fixed=True)
    for _ in range(10 * Width.PROBE_EVERY):
        width.answered()
        assert width.now == 8
