"""What happens to frames on the way: pure random processes, each from a stream of its own.

Each process that can do anything draws the same number of times for each frame, whether it matters
or not, and none draws from another's stream, so that changing one leaves the others' draws as they
were. Processes in time (fade, handover) depend on the plan's clock and their seed alone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import NamedTuple

from roundtrip.config import BurstLoss, Direction, Fade, Handover
from roundtrip.framelog import Fate
from roundtrip.units import ms_to_ns, s_to_ns


class Bernoulli:
    """Each frame with the same probability, on its own."""

    def __init__(self, probability: float, rng: random.Random) -> None:
        self._probability = probability
        self._rng = rng

    def happens(self) -> bool:
        """Whether it happens to the next frame."""
        return self._rng.random() < self._probability


class GilbertElliott:
    """Losses in bursts: a good and a bad state, with a chance to change before each frame.

    The mean length of a bad spell is 1 / r frames, and p / (p + r) of all frames are in one.
    Source: Gilbert 1960, Elliott 1963.
    """

    def __init__(self, config: BurstLoss, rng: random.Random) -> None:
        self._config = config
        self._rng = rng
        self._bad = False

    def lost(self) -> bool:
        """Whether the next frame is lost."""
        config = self._config
        change, loss = self._rng.random(), self._rng.random()
        if change < (config.r if self._bad else config.p):
            self._bad = not self._bad
        return loss < (config.loss_bad if self._bad else config.loss_good)


class BitErrors:
    """Bits that flip, each on its own; the distance to the next is drawn, not every bit."""

    def __init__(self, rate: float, rng: random.Random) -> None:
        self._rate = rate
        self._rng = rng
        self._left = self._distance()

    def _distance(self) -> int:
        if self._rate <= 0:
            return 1 << 62
        return int(math.log(1 - self._rng.random()) / math.log1p(-self._rate))

    def flips(self, bits: int) -> list[int]:
        """Which of the next so many bits flip."""
        found: list[int] = []
        at = self._left
        while at < bits:
            found.append(at)
            at += 1 + self._distance()
        self._left = at - bits
        return found


class RainFade:
    """Attenuation that wanders about its mean (an Ornstein-Uhlenbeck process in dB, told each
    second); the signal is gone while it exceeds the margin.

    A second's level is drawn when it is asked for, between levels before and after it that are
    known: the middle of a span of time given both its ends, then the half that holds the second,
    and so on. So a long idle time costs nothing, and a level hangs on nothing but time and seed.
    """

    STEP_NS = 1_000_000_000
    _SPAN = 1 << 39
    """Seconds, beyond any contact."""

    def __init__(self, config: Fade, rng: random.Random) -> None:
        self._config = config
        self._key = rng.getrandbits(64)
        span = self._SPAN
        first = self._normal(0)
        keep = self._keep(span)
        last = keep * first + math.sqrt(1 - keep**2) * self._normal(span)
        self._levels = {0: first, span: last}
        """Deviations from the mean in standard deviations, by second."""

    def attenuation_db(self, at_ns: int) -> float:
        """At a time; never negative."""
        config = self._config
        level = self._level(min(max(0, at_ns) // self.STEP_NS, self._SPAN))
        return max(0.0, config.mean_db + config.sigma_db * level)

    def lost(self, at_ns: int) -> bool:
        """Whether the signal is gone at a time."""
        return self.attenuation_db(at_ns) > self._config.margin_db

    def _level(self, step: int) -> float:
        levels = self._levels
        low, high = 0, self._SPAN
        while step not in levels:
            middle = (low + high) // 2
            if middle not in levels:
                keep = self._keep(middle - low)
                ends = keep / (1 + keep**2) * (levels[low] + levels[high])
                away = math.sqrt((1 - keep**2) / (1 + keep**2))
                levels[middle] = ends + away * self._normal(middle)
            low, high = (middle, high) if step > middle else (low, middle)
        return levels[step]

    def _keep(self, seconds: int) -> float:
        """Correlation of two levels so far apart."""
        return math.exp(-seconds / self._config.time_constant_s)

    def _normal(self, step: int) -> float:
        return random.Random(self._key + step).gauss(0, 1)


class Handovers:
    """The link changes satellite or beam at fixed times, and for a moment frames are lost."""

    def __init__(self, config: Handover, rng: random.Random) -> None:
        self._every_ns = s_to_ns(config.every_s)
        self._offset_ns = s_to_ns(config.offset_s)
        self._burst_ns = ms_to_ns(config.burst_ms)
        self._loss = Bernoulli(config.loss, rng)

    def lost(self, at_ns: int) -> bool:
        """Whether a frame that leaves at a time is lost."""
        happens = self._loss.happens()
        return (at_ns - self._offset_ns) % self._every_ns < self._burst_ns and happens


class Effect(NamedTuple):
    """What happens to one frame."""

    lost: Fate | None
    flips: list[int]
    """Bits that arrive wrong."""
    extra_ns: int
    """Later than light."""
    copy_ns: int | None
    """A second copy arrives that much later still; None for no copy."""


class Impairments:
    """All processes of one direction.

    Args:
        config: of the direction.
        stream: gives the random stream of a process by its name.
        traced: share of frames that get lost at a time, where it was measured.
    """

    def __init__(
        self,
        config: Direction,
        stream: Callable[[str], random.Random],
        traced: Callable[[int], float] | None = None,
    ) -> None:
        self._traced = traced
        self._traced_rng = stream("trace") if traced is not None else None
        self._loss = Bernoulli(config.loss, stream("loss")) if config.loss else None
        self._burst = GilbertElliott(config.burst, stream("burst")) if config.burst else None
        self._errors = BitErrors(config.bit_error_rate, stream("bits"))
        self._copies = (
            Bernoulli(config.duplication, stream("copies")) if config.duplication else None
        )
        self._jitter_ns = ms_to_ns(config.jitter_ms)
        self._jitter = stream("jitter")
        self._fade = RainFade(config.fade, stream("fade")) if config.fade else None
        self._handover = Handovers(config.handover, stream("handover")) if config.handover else None

    def next(self, size_bytes: int, at_ns: int) -> Effect:
        """What happens to the next frame, whose first bit leaves at a time."""
        lost: Fate | None = None
        if self._traced is not None and self._traced_rng is not None:
            lost = Fate.LOST if self._traced_rng.random() < self._traced(at_ns) else None
        if self._loss is not None and self._loss.happens():
            lost = Fate.LOST
        if self._burst is not None and self._burst.lost():
            lost = Fate.BURST
        if self._handover is not None and self._handover.lost(at_ns):
            lost = Fate.HANDOVER
        if self._fade is not None and self._fade.lost(at_ns):
            lost = Fate.FADE
        flips = self._errors.flips(size_bytes * 8)
        copied = self._copies is not None and self._copies.happens()
        if not self._jitter_ns:
            return Effect(lost, flips, 0, 0 if copied else None)
        extra = self._jitter.random(), self._jitter.random()
        return Effect(
            lost,
            flips,
            round(extra[0] * self._jitter_ns),
            round(extra[1] * self._jitter_ns) if copied else None,
        )


def flipped(frame: bytes, bits: list[int]) -> bytes:
    """The frame with these bits inverted, counted from the first byte's highest."""
    wrong = bytearray(frame)
    for bit in bits:
        wrong[bit >> 3] ^= 0x80 >> (bit & 7)
    return bytes(wrong)
