from __future__ import annotations

import itertools
import math

import pytest

from roundtrip.intervals import beta_quantile, quantile_ranks, share_interval


@pytest.mark.parametrize(
    ("percent", "count", "ranks"),
    [
        # from tables of the binomial distribution
        (50, 5, (None, None)),
        (50, 6, (1, 6)),
        (50, 10, (2, 9)),
        (50, 100, (40, 61)),
        (90, 35, (28, None)),
        (90, 36, (29, 36)),
        (99, 1, (1, None)),
        (99, 20, (19, None)),
        (99, 367, (359, None)),
        (99, 368, (360, 368)),
        (99, 10_000, (9880, 9920)),
    ],
)
def test_the_ranks_of_a_quantile(percent: int, count: int, ranks) -> None:
    assert quantile_ranks(percent, count) == ranks


def test_the_ranks_of_many_values_are_those_of_the_normal_distribution() -> None:
    count = 10**9
    low, high = quantile_ranks(99, count)
    half = 1.959963985 * math.sqrt(count * 0.99 * 0.01)
    assert low == pytest.approx(0.99 * count - half, abs=3)
    assert high == pytest.approx(0.99 * count + half, abs=3)


@pytest.mark.parametrize("share", [0.025, 0.5, 0.975])
@pytest.mark.parametrize("n", [1, 30, 1000, 10**6])
def test_beta_quantiles_that_are_known(n: int, share: float) -> None:
    assert beta_quantile(1, n, share) == pytest.approx(
        -math.expm1(math.log1p(-share) / n), rel=1e-3
    )
    assert beta_quantile(n, 1, share) == pytest.approx(share ** (1 / n), rel=1e-3)
    assert beta_quantile(0.5, 0.5, share) == pytest.approx(
        math.sin(math.pi * share / 2) ** 2, rel=1e-3
    )
    assert beta_quantile(n, n, share) + beta_quantile(n, n, 1 - share) == pytest.approx(1)


def test_all_or_nothing_is_clopper_and_pearsons() -> None:
    low, high = share_interval([10] * 100, 10)
    assert (low, high) == (pytest.approx(0.025 ** (1 / 100), rel=1e-5), 1)
    assert share_interval([0] * 100, 10) == (0, pytest.approx(1 - low, rel=1e-3))
    # of 99 in 100: 0.94554 and 0.99975 by tables
    low, high = share_interval([10] * 99 + [0], 10)
    assert low == pytest.approx(0.9455, abs=3e-4)
    assert high == pytest.approx(0.99975, abs=3e-5)


def test_one_failure_more_never_lifts_the_lower_bound() -> None:
    lows = [share_interval([20] * (50 - failed) + [19] * failed, 20)[0] for failed in range(51)]
    assert all(first >= second for first, second in itertools.pairwise(lows))


def test_questions_that_hang_together_count_for_less() -> None:
    alone = share_interval([9] * 100, 10)
    together = share_interval([10] * 90 + [0] * 10, 10)
    assert alone[1] - alone[0] < (together[1] - together[0]) / 2
    assert alone[0] > together[0]


def test_a_single_run_says_nothing() -> None:
    assert share_interval([5], 5) == (0, 1)
