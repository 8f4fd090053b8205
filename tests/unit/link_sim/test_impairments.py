"""Realised losses, bursts, bit errors and fades against their models; seeds are fixed."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import pytest

from link_sim.impairments import (
    BitErrors,
    Effect,
    GilbertElliott,
    Handovers,
    Impairments,
    RainFade,
    flipped,
)
from roundtrip.config import BurstLoss, Direction, Fade, Handover
from roundtrip.framelog import Fate
from roundtrip.rng import substream

SECOND = 1_000_000_000
CHI_SQUARE_999 = {5: 20.52, 8: 26.12, 9: 27.88}
"""99.9 % quantiles by degrees of freedom."""


def chi_square(observed: list[int], expected: list[float]) -> float:
    return sum((o - e) ** 2 / e for o, e in zip(observed, expected, strict=True))


def test_bursts_have_the_lengths_of_the_model() -> None:
    p, r, count = 0.01, 0.2, 400_000
    process = GilbertElliott(BurstLoss(p=p, r=r), random.Random(5))
    lost = [process.lost() for _ in range(count)]
    share = p / (p + r)
    assert sum(lost) / count == pytest.approx(share, rel=0.05)
    lengths = [len(list(group)) for bad, group in itertools.groupby(lost) if bad]
    assert statistics.mean(lengths) == pytest.approx(1 / r, rel=0.05)
    bins = 9
    observed = [lengths.count(k) for k in range(1, bins + 1)]
    observed.append(sum(length > bins for length in lengths))
    expected = [len(lengths) * r * (1 - r) ** (k - 1) for k in range(1, bins + 1)]
    expected.append(len(lengths) * (1 - r) ** bins)
    assert chi_square(observed, expected) < CHI_SQUARE_999[9]


def test_bit_errors_are_as_many_as_their_rate_says_and_anywhere() -> None:
    rate, bits, frames = 2e-4, 1_000, 40_000
    process = BitErrors(rate, random.Random(1))
    hits = [process.flips(bits) for _ in range(frames)]
    total = sum(map(len, hits))
    assert total == pytest.approx(rate * bits * frames, abs=4 * math.sqrt(rate * bits * frames))
    clean = sum(not flips for flips in hits) / frames
    assert clean == pytest.approx((1 - rate) ** bits, abs=0.01)
    tenths = [0] * 10
    for flips in hits:
        for bit in flips:
            tenths[bit * 10 // bits] += 1
    assert chi_square(tenths, [total / 10] * 10) < CHI_SQUARE_999[9]
    assert BitErrors(0.0, random.Random(1)).flips(10**9) == []


def test_a_fade_wanders_with_its_deviation_and_time_constant() -> None:
    config = Fade(mean_db=10, sigma_db=2, time_constant_s=30, margin_db=12)
    fade = RainFade(config, random.Random(3))
    levels = [fade.attenuation_db(second * SECOND) for second in range(60_000)]
    assert statistics.mean(levels) == pytest.approx(10, abs=0.3)
    assert statistics.stdev(levels) == pytest.approx(2, rel=0.08)
    later = statistics.correlation(levels[:-30], levels[30:])
    assert later == pytest.approx(math.exp(-1), abs=0.06)
    gone = sum(fade.lost(second * SECOND) for second in range(60_000)) / 60_000
    assert gone == pytest.approx(0.1587, abs=0.03), "one deviation above the mean"
    again = RainFade(config, random.Random(3))
    assert again.attenuation_db(59_999 * SECOND) == levels[-1], "whatever was asked before"


@pytest.mark.parametrize("time_constant_s", [1.0, 600.0, 3e7])
def test_neighbouring_seconds_of_a_fade_hang_together_anywhere(time_constant_s: float) -> None:
    """Over many seeds: one deviation, and the correlation of the process, wherever the second lies
    within the spans that it is drawn from."""
    config = Fade(mean_db=0, sigma_db=1, time_constant_s=time_constant_s, margin_db=0)
    for at, later in ((0, 1), ((1 << 20) - 1, 1 << 20), (1_000_007, 1_000_010)):
        pairs = [
            (fade._level(at), fade._level(later))
            for fade in (RainFade(config, random.Random(seed)) for seed in range(800))
        ]
        first, second = zip(*pairs, strict=True)
        assert statistics.stdev(first) == pytest.approx(1, abs=0.1)
        assert statistics.mean(second) == pytest.approx(0, abs=0.13)
        expected = math.exp(-(later - at) / time_constant_s)
        assert statistics.correlation(first, second) == pytest.approx(expected, abs=0.13)


def test_a_fade_costs_nothing_while_nobody_asks() -> None:
    config = Fade(mean_db=10, sigma_db=2, time_constant_s=30, margin_db=12)
    fade = RainFade(config, random.Random(3))
    level = fade.attenuation_db(10**9 * SECOND)
    assert len(fade._levels) < 100
    assert fade.attenuation_db(0) != level
    assert fade.attenuation_db(10**9 * SECOND + 999_999_999) == level, "within a second"
    assert fade.attenuation_db(10**12 * SECOND) == fade.attenuation_db(10**13 * SECOND)


def test_handovers_lose_frames_at_their_times_only() -> None:
    config = Handover(every_s=15, offset_s=12, burst_ms=100, loss=1.0)
    process = Handovers(config, random.Random(1))
    lost = [at_ms for at_ms in range(60_000) if process.lost(at_ms * 1_000_000)]
    assert lost == [start + ms for start in (12_000, 27_000, 42_000, 57_000) for ms in range(100)]


def effects(**config: object) -> list[Effect]:
    table = {"rate_bps": 1000, "one_way_delay_ms": 1} | config
    process = Impairments(Direction.model_validate(table), lambda cause: substream(9, cause))
    return [process.next(100, n * SECOND) for n in range(2_000)]


def test_a_copy_is_late_by_a_draw_of_its_own() -> None:
    found = effects(jitter_ms=10, duplication=1.0)
    both = [(one.extra_ns, one.copy_ns) for one in found]
    assert all(copy is not None and 0 <= copy < 10_000_000 for _, copy in both)
    assert sum(first == copy for first, copy in both) < 5
    mean = statistics.fmean(copy for _, copy in both if copy is not None)
    assert mean == pytest.approx(5_000_000, rel=0.1)


def test_changing_one_cause_leaves_the_draws_of_the_others() -> None:
    both = effects(loss=0.1, bit_error_rate=1e-4, jitter_ms=10, duplication=0.1)
    one = effects(loss=0.3, bit_error_rate=1e-4, jitter_ms=10, duplication=0.1)
    other = effects(loss=0.1, bit_error_rate=1e-3, duplication=0.5, burst={"p": 0.1, "r": 0.5})
    assert [e.flips for e in both] == [e.flips for e in one]
    assert [(e.extra_ns, e.copy_ns) for e in both] == [(e.extra_ns, e.copy_ns) for e in one]
    lost_at = [i for i, e in enumerate(both) if e.lost is Fate.LOST]
    assert all(other[i].lost is not None for i in lost_at)
    bursts = [e.lost for e in other].count(Fate.BURST)
    assert bursts > 200


def test_flipping_twice_gives_the_frame_back() -> None:
    frame = bytes(range(50))
    bits = [0, 7, 8, 399]
    assert flipped(frame, bits) != frame
    assert flipped(flipped(frame, bits), bits) == frame
    assert flipped(b"\x00\x00", [0, 15]) == b"\x80\x01"


def test_bits_side_by_side_may_flip_and_none_twice() -> None:
    process = BitErrors(0.5, random.Random(1))
    flips = [100 * frame + bit for frame in range(20) for bit in process.flips(100)]
    apart = {after - before for before, after in itertools.pairwise(flips)}
    assert min(apart) == 1
    assert len(flips) == pytest.approx(1000, abs=100)
