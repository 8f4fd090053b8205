"""Two-line element sets: read strictly by their columns, and how long the orbit in them lasts.

Format: "FAQs: Two-Line Element Set Format" (Kelso, CelesTrak), with the letters of "Alpha-5" in the
catalogue number. SGP4's own reader skips what it does not know, so that a letter O for a zero makes
another orbit.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sgp4.api import Satrec

from roundtrip.errors import BadConfig

LENGTH = 69
DECAYED_KM = 100.0
"""Above the equator's radius: below it air ends any orbit within a revolution or so."""
BLOWN_UP = 3.0
"""Times the highest distance of the elements: SGP4's drag is a polynomial in time, which far from
the epoch leaves all bounds without an error."""
STEP_S = 60.0
MAX_STEPS = 500_000

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class _Field:
    first: int
    """Column, from 1."""
    last: int
    name: str
    pattern: str
    least: float = -math.inf
    most: float = math.inf


_NUMBER = r" *[+-]?\d*\.\d+ *"
_POWER = r"[ +-][ \d]{5}[ +-]\d"
_CATALOGUE = r"[A-HJ-NP-Z]\d{4}| *\d+"
_COUNT = r"[ \d]+"
_FIELDS = {
    1: (
        _Field(1, 1, "line number 1", "1"),
        _Field(3, 7, "catalogue number", _CATALOGUE),
        _Field(8, 8, "classification", "[UCS ]"),
        _Field(10, 17, "international designator", "[ 0-9A-Za-z]+"),
        _Field(19, 20, "year of the epoch", r"\d\d"),
        _Field(21, 32, "day of the epoch", r"[ \d]{2}\d\.\d+ *", 1, 367),
        _Field(34, 43, "first derivative of the mean motion", _NUMBER),
        _Field(45, 52, "second derivative of the mean motion", _POWER),
        _Field(54, 61, "drag term B*", _POWER),
        _Field(63, 63, "ephemeris type", r"[ \d]"),
        _Field(65, 68, "element set number", _COUNT),
        _Field(69, 69, "checksum", r"\d"),
    ),
    2: (
        _Field(1, 1, "line number 2", "2"),
        _Field(3, 7, "catalogue number", _CATALOGUE),
        _Field(9, 16, "inclination", _NUMBER, 0, 180),
        _Field(18, 25, "right ascension of the node", _NUMBER, 0, 360),
        _Field(27, 33, "eccentricity", _COUNT),
        _Field(35, 42, "argument of perigee", _NUMBER, 0, 360),
        _Field(44, 51, "mean anomaly", _NUMBER, 0, 360),
        _Field(53, 63, "mean motion", _NUMBER, 1e-3, 20),
        _Field(64, 68, "revolution number", _COUNT),
        _Field(69, 69, "checksum", r"\d"),
    ),
}


def from_tle(lines: Sequence[str], source: str) -> Satrec:
    """The satellite of a two-line element set.

    Raises:
        BadConfig: not two lines of the same satellite with numbers in their columns and right
            checksums, or no orbit.
    """
    if len(lines) != 2:
        raise BadConfig(source, "tle", "two lines", f"{len(lines)}")
    lines = [line.rstrip(" \r\n") for line in lines]
    for number, line in enumerate(lines, 1):
        _check_line(number, line, source)
    numbers = [line[2:7] for line in lines]
    if numbers[0] != numbers[1]:
        expected = "the same catalogue number (columns 3 to 7) in both lines"
        raise BadConfig(source, "tle", expected, " and ".join(numbers))
    try:
        satellite = Satrec.twoline2rv(*lines)
    except ValueError as error:
        raise BadConfig(source, "tle", "a two-line element set", str(error)) from None
    if satellite.error:
        raise BadConfig(source, "tle", "an orbit that SGP4 knows", f"error {satellite.error}")
    return satellite


def _check_line(number: int, line: str, source: str) -> None:
    if len(line) != LENGTH:
        expected, found = f"line {number} of {LENGTH} characters", f"{len(line)}: {line!r}"
        raise BadConfig(source, "tle", expected, found[:120])
    between = set(range(1, LENGTH + 1))
    for field in _FIELDS[number]:
        between -= set(range(field.first, field.last + 1))
        text = line[field.first - 1 : field.last]
        expected = f"line {number}, columns {field.first} to {field.last}: {field.name}"
        if re.fullmatch(field.pattern, text, re.ASCII) is None:
            raise BadConfig(source, "tle", expected, _strange(line, field.first, field.last))
        if math.isfinite(field.most) and not field.least <= float(text) <= field.most:
            expected += f" of {field.least:g} to {field.most:g}"
            raise BadConfig(source, "tle", expected, text.strip())
    for column in sorted(between):
        if line[column - 1] != " ":
            expected = f"line {number}, column {column}: a space"
            raise BadConfig(source, "tle", expected, _strange(line, column, column))
    total = sum(int(c) if c.isdigit() else c == "-" for c in line[:68]) % 10
    if str(total) != line[68]:
        raise BadConfig(source, "tle", f"checksum {total} of line {number}", line[68])


def _strange(line: str, first: int, last: int) -> str:
    """What does not belong into some columns: a character that no number has, or all of it."""
    for column in range(first, last + 1):
        character = line[column - 1]
        if character not in "0123456789+-. " or first == last:
            name = unicodedata.name(character, f"U+{ord(character):04X}")
            return f"{character!r} ({name}) in column {column}"
    return repr(line[first - 1 : last])


def end_of_orbit(satellite: Satrec, start_jd: float, length_s: float) -> float | None:
    """When the orbit of an element set ends, by SGP4: decayed, or out of all bounds.

    Looked for from the epoch to the end of a time, and from its start on where that is earlier.

    Returns:
        Its Julian date; None where the elements hold throughout.
    """
    epoch_jd: float = satellite.jdsatepoch + satellite.jdsatepochF
    ends = [start_jd + length_s / _DAY_S, *([start_jd] if start_jd < epoch_jd else [])]
    for until_jd in ends:
        steps = int(min(abs(until_jd - epoch_jd) * _DAY_S / STEP_S, MAX_STEPS)) + 2
        days = np.linspace(0.0, until_jd - epoch_jd, steps)
        gone = np.nonzero(_gone(satellite, epoch_jd, days))[0]
        if len(gone):
            first = int(gone[0])
            fine = np.linspace(days[max(0, first - 1)], days[first], 600)
            exactly = int(np.argmax(_gone(satellite, epoch_jd, fine)))
            return epoch_jd + float(fine[exactly])
    return None


def _gone(satellite: Satrec, epoch_jd: float, days: NDArray[np.float64]) -> NDArray[np.bool_]:
    whole = np.full_like(days, np.floor(epoch_jd))
    errors, positions, _ = satellite.sgp4_array(whole, days + (epoch_jd - np.floor(epoch_jd)))
    height = np.sqrt((positions * positions).sum(axis=-1)) - satellite.radiusearthkm
    highest = (satellite.alta + 1) * satellite.radiusearthkm * BLOWN_UP
    with np.errstate(invalid="ignore"):
        found: NDArray[np.bool_] = (errors != 0) | ~(height >= DECAYED_KM) | (height > highest)
    return found
