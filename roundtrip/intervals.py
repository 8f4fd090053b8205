"""95 % intervals: of a share of questions in runs, and of a quantile by ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TAIL = 0.025
"""What may be missed on either side."""
TINY = 1e-12


def quantile_ranks(percent: float, count: int) -> tuple[int | None, int | None]:
    """The ranks, from 1, of the values between which a percentile lies in 95 % of cases.

    Exact and free of any distribution: the number of values below the percentile is binomial
    (David and Nagaraja, Order Statistics, §7.1). A side without a rank that far out is None: of p99
    the upper one with fewer than 368 values, of p50 both with fewer than 6.

    Args:
        percent: between 0 and 100, exclusive.
        count: of independent values, at least 1.
    """
    q = percent / 100
    reach = 12 * math.sqrt(count * q * (1 - q)) + 40
    first, last = max(0, math.floor(count * q - reach)), min(count, math.ceil(count * q + reach))
    below = np.arange(first + 1, last + 1, dtype=np.float64)
    steps = np.log((count - below + 1) / below * (q / (1 - q)))
    logs = np.concatenate([np.zeros(1), np.cumsum(steps)])
    mass = np.exp(logs - logs.max())
    reached = np.cumsum(mass) / mass.sum()
    low = first + int(np.searchsorted(reached, TAIL, side="right"))
    high = first + int(np.searchsorted(reached, 1 - TAIL)) + 1
    return low or None, high if high <= count else None


def share_interval(good: Sequence[int], each: int) -> tuple[float, float]:
    """The 95 % interval of a share of questions, however those of a run hang together.

    Clopper and Pearson's interval (Biometrika 26, 1934) with runs instead of questions: the share
    of each run weighs by a Dirichlet distribution, and on either side stands one run more, in which
    everything fails or succeeds (Learned-Miller and Thomas 2020, arXiv:1905.06208). The quantiles
    are those of the beta distribution with the same mean and variance, as a simple sum of runs that
    are all or nothing has it. The run more weighs as much as the share on its far side, so that the
    nearer bound stays tight.

    So 100 runs without a failure leave room for the 3 % of runs that may fail whole, however many
    questions each has: intervals by a design effect (Wilson, Korn and Graubard) shrink to nothing
    as soon as one question has failed, and may then cover the truth in half of the cases. This one
    covers it in 0.93 or more of them whatever hangs together (`tests/sim/test_intervals.py`), and
    in more than 0.98 where hardly a run fails or the far bound waits for a run that fails whole.

    Args:
        good: of each run, how many of its questions were; at least one run.
        each: questions of a run.

    Returns:
        Lowest and highest; 0 and 1 of a single run, which says nothing of the next.
    """
    if len(good) < 2:
        return 0.0, 1.0
    shares = np.asarray(good, dtype=np.float64) / each
    return 1 - _highest(1 - shares, each), _highest(shares, each)


def _highest(shares: NDArray[np.float64], each: int) -> float:
    """The upper bound of the mean of shares, of a run each."""
    weight = 1 - float(shares.mean())
    total = len(shares) + weight
    mean = (float(shares.sum()) + weight) / total
    if mean * (1 - mean) < TINY:
        return mean
    spread = (float(np.square(shares).sum()) + weight) / total - mean**2
    variance = max(spread, mean * (1 - mean) / each) / (total + 1)
    size = mean * (1 - mean) / variance - 1
    return beta_quantile(mean * size, (1 - mean) * size, 1 - TAIL)


def beta_quantile(a: float, b: float, share: float) -> float:
    """The value below which a share of the beta distribution lies, to three digits.

    By the trapezoidal rule over the logarithm of the odds, where the density is smooth and falls
    off at least exponentially on both sides.
    """
    middle, reach = math.log(a / b), 8 * math.sqrt(1 / a + 1 / b)
    odds = np.linspace(middle - reach - 16 / a, middle + reach + 16 / b, 2_001)
    logs = -a * np.logaddexp(0, -odds) - b * np.logaddexp(0, odds)
    mass = np.exp(logs - logs.max())
    below = np.concatenate([np.zeros(1), np.cumsum(mass[1:] + mass[:-1])])
    return float(1 / (1 + np.exp(-np.interp(share * below[-1], below, odds))))
