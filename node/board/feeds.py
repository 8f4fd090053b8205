"""Where telemetry comes from: a simulated spacecraft, this machine, or a file that something else
writes. A feed gives frames of a moment, or says why it has none.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from models.triage.frames import BY_NAME, ECLIPSE, SUN, Frame
from node.board.reading import Reading
from node.board.spacecraft import Spacecraft
from roundtrip.config import to_date
from roundtrip.units import NS_PER_S, s_to_ns

TAIL_BYTES = 1 << 18
"""Of a file, from its end: so much is read, whatever its size."""
LIGHT = "light"
TIME_KEYS = ("time", "t", "timestamp", "time_s", "unix_s")
AHEAD_S = 2.0
"""A frame may lie so far in the future."""
MAX_KNOWN = 256
"""Frames of the simulator that are remembered."""
MAX_VALUE = 60
"""Characters of a value, and of a channel's name and unit; a longer one is none."""


class NoReading(Exception):
    """There is nothing to be shown, and why; the text is for people."""


class Feed(Protocol):
    """Gives frames."""

    def frames(self, now_ns: int, every_ns: int, count: int) -> list[Reading]:
        """So many frames, the latest first, about `every_ns` apart; fewer where there are not so
        many.

        Raises:
            NoReading: there is none.
        """


class Simulated:
    """The feed of a simulated spacecraft.

    Args:
        craft: the spacecraft.
        every_ns: its frames are so far apart.
    """

    def __init__(self, craft: Spacecraft, every_ns: int) -> None:
        self._craft = craft
        self._every_ns = every_ns
        self._known: dict[int, Frame] = {}

    def frames(self, now_ns: int, every_ns: int, count: int) -> list[Reading]:
        """As `Feed.frames`."""
        found: list[Reading] = []
        for back in range(count):
            at_ns = (now_ns - back * every_ns) // self._every_ns * self._every_ns
            if at_ns < 0 or (found and at_ns == found[-1].at_ns):
                break
            frame = self._frame(at_ns)
            values = {channel.name: channel.text(value) for channel, value in frame.values}
            units = {channel.name: channel.unit for channel, _ in frame.values}
            found.append(Reading(at_ns, frame.light, values, units))
        return found

    def _frame(self, at_ns: int) -> Frame:
        """The same again for the same moment, whatever happened since."""
        if at_ns not in self._known:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[at_ns] = self._craft.frame(at_ns)
        return self._known[at_ns]


class OfMachine:
    """The feed of the machine that the node runs on: it begins to be known when it is first read.

    Args:
        sensors: values with their units, by channel.
        keep: frames that are remembered.
    """

    def __init__(self, sensors: Callable[[], Mapping[str, tuple[str, str]]], keep: int) -> None:
        self._sensors = sensors
        self._keep = keep
        self._known: list[Reading] = []

    def frames(self, now_ns: int, every_ns: int, count: int) -> list[Reading]:
        """As `Feed.frames`."""
        found = self._sensors()
        values = {name: value for name, (value, _) in found.items()}
        units = {name: unit for name, (_, unit) in found.items()}
        self._known = [Reading(now_ns, "", values, units), *self._known][: self._keep]
        return thinned(self._known, every_ns, count)


class OfFile:
    """The feed of a CSV file with a header, or of JSON lines.

    A column `time` has seconds since 1970 or an ISO date; without one the file's own time counts
    for its last line. `light` is SUN or ECLIPSE. Every other column is a channel, `NAME` or
    `NAME [unit]`. A last line without its end is still being written, and is not read.

    Args:
        path: the file.
        unix_ns: the date at a time on the plan's clock.
    """

    def __init__(self, path: Path, unix_ns: Callable[[int], int]) -> None:
        self._path = path
        self._unix_ns = unix_ns

    def frames(self, now_ns: int, every_ns: int, count: int) -> list[Reading]:
        """As `Feed.frames`; times are on the plan's clock, by their age."""
        name = self._path.name
        try:
            if self._path.exists() and not self._path.is_file():  # a pipe would be waited for
                raise NoReading(f"{name}: no plain file")
            with self._path.open("rb") as file:
                header = file.readline(TAIL_BYTES)
                size = file.seek(0, io.SEEK_END)
                file.seek(max(0, size - TAIL_BYTES))
                tail = file.read(TAIL_BYTES)
            written_ns = self._path.stat().st_mtime_ns
        except OSError as error:
            raise NoReading(f"{name}: {error.strerror}") from None
        whole = tail[: tail.rfind(b"\n") + 1].decode(errors="replace").splitlines()
        if size > TAIL_BYTES:
            whole = whole[1:]
        rows = self._rows(header.decode(errors="replace"), whole)
        unix_ns = self._unix_ns(now_ns)
        found: list[Reading] = []
        ahead_ns = 0
        for row in reversed(rows):
            at_ns = _time_of(row)
            if at_ns is None:
                at_ns = written_ns
                if found:
                    break
            if at_ns - unix_ns > s_to_ns(AHEAD_S):
                ahead_ns = at_ns - unix_ns
                continue
            reading = _reading(row, now_ns - (unix_ns - at_ns))
            if reading.values:
                found.append(reading)
            if found and found[0].at_ns - found[-1].at_ns > every_ns * count:
                break
        if not found and ahead_ns:
            raise NoReading(f"{name}: its frames lie {ahead_ns // NS_PER_S} s in the future")
        if not found:
            raise NoReading(f"{name}: no whole frame")
        return thinned(found, every_ns, count)

    def _rows(self, header: str, lines: list[str]) -> list[dict[str, Any]]:
        if self._path.suffix == ".jsonl":
            return [row for line in lines if isinstance(row := _json(line), dict)]
        names = _cells(header)
        rows = [_cells(line) for line in lines if line.strip()]
        return [
            dict(zip(names, row, strict=True))
            for row in rows
            if len(row) == len(names) and row != names
        ]


def thinned(readings: Sequence[Reading], every_ns: int, count: int) -> list[Reading]:
    """Of frames, the latest first, those that lie nearest to so many moments.

    Args:
        readings: one or more.
        every_ns, count: of the moments, back from the first frame.
    """
    first_ns = readings[0].at_ns
    found = [readings[0]]
    for back in range(1, count):
        wanted_ns = first_ns - back * every_ns
        near = min(readings, key=lambda one: abs(one.at_ns - wanted_ns))
        if abs(near.at_ns - wanted_ns) <= every_ns / 2 and near.at_ns < found[-1].at_ns:
            found.append(near)
    return found


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _time_of(row: Mapping[str, Any]) -> int | None:
    """ns since 1970; None where the row does not say."""
    for key in TIME_KEYS:
        if key not in row:
            continue
        try:
            seconds = float(row[key])
        except (TypeError, ValueError):
            try:
                return s_to_ns(to_date(row[key]).timestamp())
            except ValueError:
                return None
        return s_to_ns(seconds) if 0 <= seconds < 1e10 else None
    return None


def _reading(row: Mapping[str, Any], at_ns: int) -> Reading:
    light = str(row.get(LIGHT, "")).strip().upper()
    values: dict[str, str] = {}
    units: dict[str, str] = {}
    for key, value in row.items():
        if key in TIME_KEYS or key == LIGHT or not isinstance(value, str | int | float):
            continue
        name, _, unit = key.partition("[")
        name, unit = name.strip(), unit.rstrip("] ")
        text = _value(name, value)
        if name and text and f"{name}{unit}".isprintable() and len(key) <= MAX_VALUE:
            values[name] = text
            units[name] = unit or (BY_NAME[name].unit if name in BY_NAME else "")
    return Reading(at_ns, light if light in (SUN, ECLIPSE) else "", values, units)


def _value(name: str, value: str | int | float) -> str:
    """A value as frames show it; empty where it is none."""
    text = str(value).strip()
    channel = BY_NAME.get(name)
    if channel is not None:
        try:
            return channel.text(channel.value_of(text))
        except ValueError:
            return ""
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return text if text.isprintable() and len(text) <= MAX_VALUE else ""
