"""What goes wrong in a virtual run, drawn from its seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from roundtrip.rng import substream
from roundtrip.units import NS_PER_S

PROCESSES = ("ground", "node", "link")
MEAN_OUTPUTS = {"ground": 60, "node": 120, "link": 400}
"""From one kill to the next, of a process that is killed at all."""
LEAST_DOWN_NS, MOST_DOWN_NS = NS_PER_S // 10, 20 * NS_PER_S
HANG_NS = 20 * NS_PER_S
"""Until a hung engine is noticed."""
HOUR_NS = 3600 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Kill:
    """A process is gone after so many of its outputs since it was started: between any two."""

    after: int
    down_ns: int
    lies: int = 0
    """Writes that its disk had called safe, and lost: power was cut over a disk that lies."""
    shift_ns: int = 0
    """How far its clock is off afterwards; of a node that nobody tells the time."""


@dataclass(frozen=True, slots=True)
class EngineFault:
    """The engine dies, or hangs until somebody notices."""

    at_ns: int
    hangs: bool
    down_ns: int


@dataclass(frozen=True, slots=True)
class Faults:
    """Of one run."""

    kills: dict[str, tuple[Kill, ...]]
    """By process, in order."""
    engine: tuple[EngineFault, ...]
    own_clock: bool
    """The node's clock is its own, as over UDP."""
    lies: bool
    """A disk loses what it had called safe: a question may be lost then, none answered wrongly."""


def faults_of(seed: int, until_ns: int) -> Faults:
    """Draw them; from `until_ns` on nothing goes wrong any more."""
    rng = substream(seed, "chaos")
    lies, own_clock = rng.random() < 0.15, rng.random() < 0.25
    kills = {
        name: tuple(_kills(rng, name, lies=lies, shifts=own_clock and name == "node"))
        for name in PROCESSES
    }
    gaps = accumulate(rng.expovariate(4) for _ in range(rng.randrange(5)))
    engine = tuple(
        EngineFault(round(gap * until_ns), rng.random() < 0.3, _down(rng))
        for gap in gaps
        if gap < 1
    )
    lied = any(kill.lies for ones in kills.values() for kill in ones)
    return Faults(kills, engine, own_clock, lied)


def _kills(rng: random.Random, name: str, *, lies: bool, shifts: bool) -> Iterator[Kill]:
    for _ in range(rng.choice((0, 1, 1, 2, 3, 5))):
        yield Kill(
            1 + int(rng.expovariate(1 / MEAN_OUTPUTS[name])),
            _down(rng),
            rng.randrange(4) if lies and name != "link" else 0,
            round(rng.uniform(-HOUR_NS, HOUR_NS)) if shifts and rng.random() < 0.5 else 0,
        )


def _down(rng: random.Random) -> int:
    return rng.randrange(LEAST_DOWN_NS, MOST_DOWN_NS)
