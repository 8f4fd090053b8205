"""One frame as text by channel, and several as a table. Light: a tool's process reads nothing else
of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roundtrip.tools import history_table
from roundtrip.units import NS_PER_S

NS_PER_MIN = 60 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Reading:
    """One frame as text by channel."""

    at_ns: int
    """On the feed's clock."""
    light: str
    """Empty where the feed does not say."""
    values: Mapping[str, str]
    """With their units, by channel, in the feed's order."""
    units: Mapping[str, str]
    """By channel; empty where a value has none."""

    def text(self, channels: Sequence[str] = ()) -> str:
        """A line a channel, those that are asked for and there, and the light before them."""
        names = [name for name in channels if name in self.values] if channels else self.values
        lines = [f"{name} {self.values[name]} {self.units[name]}".rstrip() for name in names]
        return "\n".join([self.light, *lines] if self.light else lines)


def plain_of(reading: Reading) -> dict[str, Any]:
    """A frame as plain data."""
    return {
        "at_ns": reading.at_ns,
        "light": reading.light,
        "values": dict(reading.values),
        "units": dict(reading.units),
    }


def reading_of(plain: dict[str, Any]) -> Reading:
    """A frame from plain data."""
    return Reading(plain["at_ns"], plain["light"], plain["values"], plain["units"])


def history_text(readings: Sequence[Reading], channels: Sequence[str] = ()) -> str:
    """Frames as a table, a line a channel, the latest last.

    Args:
        readings: the latest first.
        channels: those that are asked for; none: all of the latest frame.
    """
    ago_ns = [readings[0].at_ns - one.at_ns for one in reversed(readings)]
    whole = all(ago % NS_PER_MIN == 0 for ago in ago_ns) or max(ago_ns) > 10 * NS_PER_MIN
    unit, step_ns = ("min", NS_PER_MIN) if whole else ("s", NS_PER_S)
    latest = readings[0]
    lights = [one.light or "?" for one in reversed(readings)] if latest.light else []
    names = [name for name in channels if name in latest.values] if channels else latest.values
    rows = [
        (name, [one.values.get(name, "?") for one in reversed(readings)], latest.units[name])
        for name in names
    ]
    return history_table(unit, [round(ago / step_ns) for ago in ago_ns], lights, rows)
