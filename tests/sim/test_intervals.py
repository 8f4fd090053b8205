"""How often the 95 % intervals hold the truth, by simulation with fixed seeds."""

from __future__ import annotations

import numpy as np
import pytest

from roundtrip.intervals import quantile_ranks, share_interval

SAMPLES = 250
Draw = np.random.Generator


def beta_binomial(rng: Draw, shape: tuple[int, int], each: int, goodput: float, rho: float):
    """Runs whose own goodput is drawn from a beta distribution: questions correlated by `rho`."""
    spread = 1 / rho - 1
    return rng.binomial(each, rng.beta(goodput * spread, (1 - goodput) * spread, shape))


def shared_fate(rng: Draw, shape: tuple[int, int], each: int, goodput: float, rho: float):
    """Runs of which a share `rho` succeed or fail whole; the questions of the others go alone."""
    whole = each * rng.binomial(1, goodput, shape)
    return np.where(rng.random(shape) < rho, whole, rng.binomial(each, goodput, shape))


def coverage(good, each: int, goodput: float) -> float:
    found = [share_interval(runs, each) for runs in good]
    for (low, high), runs in zip(found, good, strict=True):
        assert 0 <= low <= runs.mean() / each <= high <= 1
    return float(np.mean([low <= goodput <= high for low, high in found]))


CELLS = [
    # goodput, runs, questions of each, correlation, most that is covered
    (0.5, 30, 5, 0.3, 0.98),
    (0.5, 1000, 1, 0.3, 0.98),
    (0.8, 100, 20, 0.0001, 1.0),
    (0.9, 30, 1, 0.3, 0.99),
    (0.9, 30, 50, 0.6, 0.995),
    (0.9, 1000, 50, 0.1, 0.98),
    (0.95, 300, 18, 0.3, 0.98),
    (0.99, 100, 20, 0.6, 1.0),
    (0.99, 30, 50, 0.3, 1.0),
    (0.99, 1000, 5, 0.1, 0.98),
    (0.995, 300, 50, 0.2, 1.0),
    (0.999, 1000, 50, 0.6, 1.0),
    (0.999, 100, 1, 0.3, 1.0),
    (0.9999, 30, 20, 0.3, 1.0),
    (0.9999, 1000, 50, 0.0001, 1.0),
]


@pytest.mark.parametrize("draw", [beta_binomial, shared_fate])
def test_the_interval_of_goodput_holds_the_truth_as_often_as_it_says(draw) -> None:
    rng, found = np.random.default_rng(20), []
    for goodput, runs, each, rho, most in CELLS:
        share = coverage(draw(rng, (SAMPLES, runs), each, goodput, rho), each, goodput)
        assert 0.92 <= share <= min(1, most + 0.015), (goodput, runs, each, rho)
        found.append(share)
    assert np.mean(found) > 0.955


def test_the_normal_interval_and_one_by_the_design_effect_do_not() -> None:
    """What would be wrong with simpler ones; so the cells above are hard enough to tell."""
    rng, goodput, runs, each = np.random.default_rng(21), 0.999, 1000, 50
    shares = shared_fate(rng, (SAMPLES, runs), each, goodput, 0.6) / each
    mean, half = shares.mean(axis=1), 1.96 * shares.std(axis=1, ddof=1) / np.sqrt(runs)
    assert np.mean(np.abs(mean - goodput) <= half) < 0.6
    size = np.clip(mean * (1 - mean) / (half / 1.96) ** 2, runs, runs * each)
    centre = (mean + 1.92 / size) / (1 + 3.84 / size)
    wide = 1.96 / (1 + 3.84 / size) * np.sqrt(mean * (1 - mean) / size + 0.96 / size**2)
    assert np.mean(np.abs(centre - goodput) <= wide) < 0.6


@pytest.mark.parametrize("percent", [50, 90, 99])
@pytest.mark.parametrize("count", [5, 20, 100, 500])
def test_a_quantile_lies_between_its_ranks_as_often_as_it_says(percent: int, count: int) -> None:
    values = np.sort(np.random.default_rng(22).random((4000, count)), axis=1)
    low, high = quantile_ranks(percent, count)
    lowest = values[:, low - 1] if low else np.zeros(4000)
    highest = values[:, high - 1] if high else np.ones(4000)
    covered = np.mean((lowest <= percent / 100) & (percent / 100 <= highest))
    assert 0.945 <= covered <= (0.985 if low and high else 1)
