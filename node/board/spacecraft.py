"""A made-up spacecraft: its telemetry follows from a seed, the time, the sunlight, the battery and
what the node does. Pure, and without state: a frame of any moment can be had at any time.

Each channel goes about a level that the moment gives it (panels in the sun, temperatures that lag
behind light and work), wanders slowly, and now and then leaves its limits for some minutes. All
levels, lags and faults are a choice; the channels and their limits are the builtin's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from models.triage.frames import CHANNELS, ECLIPSE, SUN, Channel, Frame
from roundtrip.contacts import Windows
from roundtrip.rng import substream
from roundtrip.units import NS_PER_S

LAG_S = 900.0
"""Of temperatures behind the light."""
WAVES_S = (47.0, 173.0, 611.0, 2411.0)
"""Periods of what a channel wanders."""
FAULT_EVERY_S = 10_800.0
"""A channel has a fault so often on average."""
FAULT_LASTS_S = (120.0, 1800.0)
OF_THE_BATTERY = ("EPS.SOC", "EPS.VBAT")
"""Where the battery is counted they have no faults of their own."""
FULL_V, EMPTY_V = 336, 236
"""Tenths of a volt of the battery, full and empty."""


@dataclass(frozen=True, slots=True)
class Doing:
    """What the node does at a moment."""

    charge: float | None = None
    """Share of the battery; None: there is none that is counted."""
    working: bool = False
    """The engine answers."""
    heard: bool = False
    """There is a link."""


_LEVELS: dict[str, tuple[float, float, float]] = {
    # name: level in eclipse and in the sun (of its limits: 0 is low, 1 is high), how far it wanders
    "EPS.SOC": (0.0, 0.0, 0.0),
    "EPS.TBAT": (0.25, 0.75, 0.04),
    "OBC.TEMP": (0.40, 0.65, 0.03),
    "OBC.VREG": (0.50, 0.50, 0.12),
    "ADCS.RATE": (0.20, 0.20, 0.10),
    "ADCS.ERR": (0.30, 0.25, 0.12),
    "COM.TEMP": (0.35, 0.60, 0.03),
    "COM.PWR": (0.50, 0.50, 0.05),
    "PROP.PRES": (0.45, 0.55, 0.02),
    "PAY.TEMP": (0.30, 0.70, 0.04),
}


class Spacecraft:
    """Frames of one spacecraft.

    Args:
        seed: of all that is drawn.
        sunlight: when it is in the sun.
        doing: what the node does at a moment of the plan's clock.
    """

    def __init__(self, seed: int, sunlight: Windows, doing: Callable[[int], Doing]) -> None:
        self._seed = seed
        self._sunlight = sunlight
        self._doing = doing
        self._drawn = lru_cache(maxsize=4096)(self._draw)

    def frame(self, at_ns: int) -> Frame:
        """The frame of a moment on the plan's clock."""
        doing, at_s = self._doing(at_ns), at_ns / NS_PER_S
        lit = self._sunlight.at(at_ns) is not None
        warmth = self._warmth(at_ns, lit=lit)
        light = SUN if lit else ECLIPSE
        values = tuple(
            (channel, self._value(channel, at_s, doing, warmth, light)) for channel in CHANNELS
        )
        return Frame(light, values)

    def _warmth(self, at_ns: int, *, lit: bool) -> float:
        """0 after a long night, 1 after a long day."""
        window = self._sunlight.at(at_ns)
        if window is not None:
            since_ns = at_ns - window[0]
        else:
            ends = [end for _, end in self._sunlight.spans if end <= at_ns]
            since_ns = at_ns - (ends[-1] if ends else 0)
        left = math.exp(-since_ns / NS_PER_S / LAG_S)
        return 1 - 0.7 * left if lit else 0.7 * left

    def _value(self, channel: Channel, at_s: float, doing: Doing, warmth: float, light: str) -> int:
        low, high = channel.limits(light)
        counted = channel.name in OF_THE_BATTERY and doing.charge is not None
        fault = None if counted else self._fault(channel, at_s, light)
        if fault is not None:
            return fault
        level = self._level(channel, doing, warmth, light)
        wander = _LEVELS.get(channel.name, (0.0, 0.0, 0.05))[2]
        share = level + wander * self._wave(channel, at_s)
        value = round(low + share * (high - low))
        if counted:
            return min(max(value, channel.floor), channel.ceiling)
        return min(max(value, low), high)

    def _level(self, channel: Channel, doing: Doing, warmth: float, light: str) -> float:
        """Where a channel lies between its limits."""
        charge = doing.charge if doing.charge is not None else 0.55 + 0.4 * warmth
        low, high = channel.limits(light)
        match channel.name:
            case "EPS.SOC":
                return (100 * charge - low) / (high - low)
            case "EPS.VBAT":
                return (EMPTY_V + (FULL_V - EMPTY_V) * charge - low) / (high - low)
            case "EPS.IBAT":
                return 0.75 if light == SUN and charge < 0.98 else 0.48 if light == SUN else 0.3
            case "EPS.ISOL":
                return 0.7 if light == SUN else 0.3
            case "OBC.LOAD":
                return 0.85 if doing.working else 0.2
        dark, sunny, _ = _LEVELS[channel.name]
        level = dark + (sunny - dark) * warmth
        if channel.name == "COM.TEMP" and doing.heard:
            level += 0.15
        if channel.name == "OBC.TEMP" and doing.working:
            level += 0.1
        return level

    def _wave(self, channel: Channel, at_s: float) -> float:
        """Within -1 and 1, and the same for the same moment."""
        phases = self._drawn(channel.name, -1)
        waves = (
            math.sin(math.tau * (at_s / p + phase))
            for p, phase in zip(WAVES_S, phases, strict=True)
        )
        return sum(waves) / len(WAVES_S)

    def _draw(self, name: str, slot: int) -> tuple[float, ...]:
        rng = substream(self._seed, f"node/telemetry/{name}/{slot}")
        return tuple(rng.random() for _ in WAVES_S)

    def _fault(self, channel: Channel, at_s: float, light: str) -> int | None:
        """Its value where it has a fault, which is out of its limits; None where it has none. One
        begins at a drawn moment of each spell of `FAULT_EVERY_S`, or of the one before."""
        slot = math.floor(at_s / FAULT_EVERY_S)
        for before in (slot, slot - 1):
            begin, lasts, side, depth = (
                self._drawn(channel.name, before) if before >= 0 else (2,) * 4
            )
            since_s = at_s - (before + begin) * FAULT_EVERY_S
            shortest, longest = FAULT_LASTS_S
            if 0 <= since_s < shortest + lasts * (longest - shortest):
                return _beyond(channel, light, side, depth)
        return None


def _beyond(channel: Channel, light: str, side: float, depth: float) -> int:
    low, high = channel.limits(light)
    room_low, room_high = low - channel.floor, channel.ceiling - high
    up = bool(channel.when_high) and (not channel.when_low or room_low < 1 or side < 0.5)
    if up:
        return high + max(1, round(depth**2 * room_high))
    return low - max(1, round(depth**2 * room_low))
