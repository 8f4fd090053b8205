"""Two-line elements: what is not one is named by line and column; when the orbit ends is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from roundtrip.config import to_date
from roundtrip.errors import BadConfig
from roundtrip.orbit import dated, julian
from roundtrip.scenario_file import load_scenario
from roundtrip.tle import end_of_orbit, from_tle

ISS = (
    "1 25544U 98067A   26152.51782528  .00016717  00000-0  10270-3 0  9001",
    "2 25544  51.6400 208.9163 0006317  69.9862  25.2906 15.50377579    07",
)
LOW = (
    "1 54380U 22162B   22345.68941756  .08877519  80912-5  18379-3 0  9996",
    "2 54380  41.4618 212.0662 0014777 219.1379 204.8125 16.45663364  1954",
)
"""Decays within a day (NORAD 54380 in December 2022)."""
HIGH_DRAG = (
    "1 45110U 20007A   23232.80903846 0.00110000  00000-0  32750-2 0    04",
    "2 45110  69.9913 111.5649 0009740 159.9373 200.0626 15.34502222    06",
)
"""Decays after half a year; two years on SGP4 has it at 28,000 km, without an error."""


def with_checksum(line: str) -> str:
    total = sum(int(c) if c in "0123456789" else c == "-" for c in line[:68]) % 10
    return f"{line[:68]}{total}"


def changed(number: int, column: int, new: str) -> list[str]:
    """The elements with other characters from a column on, and a right checksum."""
    lines = list(ISS)
    line = lines[number - 1]
    lines[number - 1] = with_checksum(line[: column - 1] + new + line[column - 1 + len(new) :])
    return lines


def test_good_elements_are_read() -> None:
    for lines in (ISS, LOW, HIGH_DRAG):
        assert from_tle(lines, "x").satnum == int(lines[0][2:7])
    assert from_tle([f"{ISS[0]}  \r\n", f"{ISS[1]}\n"], "x").satnum == 25544
    alpha = [with_checksum(f"{line[:2]}A0001{line[7:]}") for line in ISS]
    assert from_tle(alpha, "x").satnum == 100_001
    blank = [with_checksum(f"{ISS[0][:9]}        {ISS[0][17:]}"), ISS[1]]
    assert from_tle(blank, "x").satnum == 25544


@pytest.mark.parametrize(
    ("number", "column", "new", "match"),
    [
        (1, 33, "\xa0", r"line 1, column 33: a space, found '\\xa0' \(NO-BREAK SPACE\) in col"),
        (1, 21, "O", r"columns 21 to 32: day of the epoch, found 'O' \(LATIN CAPITAL LETTER O\)"),
        (1, 19, "l", r"columns 19 to 20: year of the epoch, found 'l' .* in column 19"),
        (2, 27, "O", r"line 2, columns 27 to 33: eccentricity, found 'O' .* in column 27"),
        (2, 60, "\u0663", r"mean motion, found .* \(ARABIC-INDIC DIGIT THREE\) in column 60"),
        (2, 11, ",", r"columns 9 to 16: inclination, found ',' \(COMMA\) in column 11"),
        (1, 54, "        ", r"drag term B\*, found '        '"),
        (1, 34, "1.5.0", r"first derivative of the mean motion"),
        (1, 8, "u", r"line 1, columns 8 to 8: classification, found 'u' .* in column 8"),
        (1, 7, " ", r"catalogue number, found '2554 '"),
        (1, 3, "O", r"catalogue number, found 'O'"),
        (1, 63, "x", r"ephemeris type"),
        (2, 8, "1", r"line 2, column 8: a space, found '1'"),
        (1, 21, "367.00000001", r"day of the epoch of 1 to 367, found 367.00000001"),
        (1, 21, "000.50000000", r"day of the epoch of 1 to 367"),
        (2, 9, "180.0001", r"inclination of 0 to 180, found 180.0001"),
        (2, 18, "360.0001", r"right ascension of the node of 0 to 360"),
        (2, 53, "00.00000000", r"mean motion of 0.001 to 20"),
        (2, 53, "99.00000000", r"mean motion of 0.001 to 20"),
    ],
)
def test_what_does_not_belong_is_named(number: int, column: int, new: str, match: str) -> None:
    with pytest.raises(BadConfig, match=match) as caught:
        from_tle(changed(number, column, new), "it")
    assert (caught.value.source, caught.value.key) == ("it", "tle")


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("column", range(1, 69))
def test_no_column_takes_a_letter_o_or_a_strange_space(number: int, column: int) -> None:
    for new in ("O", "\xa0", "o"):
        if new != "\xa0" and number == 1 and 10 <= column <= 17:
            continue  # a piece of a launch has letters
        with pytest.raises(BadConfig, match=f"line {number}"):
            from_tle(changed(number, column, new), "it")


@pytest.mark.parametrize(
    ("number", "column", "last", "beyond"),
    [
        (1, 21, "367.00000000", "367.00000001"),
        (1, 21, "001.00000000", "000.99999999"),
        (2, 9, "180.0000", "180.0001"),
        (2, 9, "000.0000", " -0.0001"),
        (2, 18, "360.0000", "360.0001"),
        (2, 18, "000.0000", " -0.0001"),
        (2, 35, "360.0000", "360.0001"),
        (2, 35, "000.0000", " -0.0001"),
        (2, 44, "360.0000", "360.0001"),
        (2, 44, "000.0000", " -0.0001"),
        (2, 53, "16.00000000", "20.00000001"),
        (2, 53, "00.00100000", "00.00099999"),
    ],
)
def test_a_field_goes_up_to_its_bounds(number: int, column: int, last: str, beyond: str) -> None:
    """But the mean motion's highest, which is below the ground."""
    from_tle(changed(number, column, last), "x")
    with pytest.raises(BadConfig, match=f"line {number}, columns {column} to .* of .* to "):
        from_tle(changed(number, column, beyond), "x")


def test_the_fastest_mean_motion_is_a_number_and_no_orbit() -> None:
    with pytest.raises(BadConfig, match="an orbit that SGP4 knows"):
        from_tle(changed(2, 53, "20.00000000"), "x")


@pytest.mark.parametrize(
    ("number", "first", "end"),
    [
        (1, 3, 7), (1, 10, 17), (1, 19, 20), (1, 21, 32), (1, 34, 43), (1, 45, 52), (1, 54, 61),
        (1, 65, 68), (2, 3, 7), (2, 9, 16), (2, 18, 25), (2, 27, 33), (2, 35, 42), (2, 44, 51),
        (2, 53, 63), (2, 64, 68),
    ],
)  # fmt: skip
def test_a_field_begins_and_ends_where_the_format_says(number: int, first: int, end: int) -> None:
    """Columns as in Kelso's table, those of the separators and single characters tried above."""
    for column in (first, end):
        with pytest.raises(BadConfig, match=f"line {number}, columns {first} to {end}: "):
            from_tle(changed(number, column, "&"), "x")


def test_two_lines_are_of_one_satellite() -> None:
    with pytest.raises(BadConfig, match=r"same catalogue number.*found 25544 and 54380"):
        from_tle([ISS[0], LOW[1]], "x")


@pytest.mark.parametrize("lines", [ISS[:1], (*ISS, ""), ()])
def test_it_is_two_lines(lines: tuple[str, ...]) -> None:
    with pytest.raises(BadConfig, match=f"two lines, found {len(lines)}"):
        from_tle(lines, "x")


def test_a_line_has_69_characters_and_its_checksum() -> None:
    with pytest.raises(BadConfig, match=r"line 2 of 69 characters, found 68: ' 255"):
        from_tle([ISS[0], ISS[1][1:]], "x")
    with pytest.raises(BadConfig, match=r"checksum 1 of line 1, found 4"):
        from_tle([f"{ISS[0][:68]}4", ISS[1]], "x")


@pytest.mark.parametrize(
    ("lines", "start", "hours", "expected"),
    [
        (ISS, "2026-06-01", 24 * 30, None),
        (ISS, "2026-05-01", 24, None),
        (LOW, "2022-12-11T17:00:00Z", 20, None),
        (LOW, "2022-12-12", 24, "2022-12-12 15:41 UTC"),
        (LOW, "2023-06-01", 1, "2022-12-12 15:41 UTC"),
        (HIGH_DRAG, "2023-08-21", 24 * 180, None),
        (HIGH_DRAG, "2025-09-20", 24, "2024-02-25 09:09 UTC"),
    ],
)
def test_when_an_orbit_ends(
    lines: tuple[str, str], start: str, hours: float, expected: str | None
) -> None:
    end_jd = end_of_orbit(from_tle(lines, "x"), julian(to_date(start)), hours * 3600)
    assert (None if end_jd is None else dated(end_jd)) == expected


SCENARIO = """
[link.uplink]
rate_bps = 9600
one_way_delay_ms = 0
[link.downlink]
rate_bps = 9600
one_way_delay_ms = 0
[workload]
questions = ["?"]
count = 1
[orbit]
start = {start}
hours = {hours}
[[satellite]]
name = "one"
tle = {lines}
[[station]]
name = "Perth"
lat_deg = -31.95
lon_deg = 115.87
min_elevation_deg = 0
"""


@pytest.mark.parametrize(
    ("lines", "start", "hours", "match"),
    [
        (
            LOW,
            "2022-12-12",
            24,
            r"satellite one: orbit\.hours: expected at most 15\.69, until 2",
        ),
        (LOW, "2022-12-13", 24, r"orbit\.start: expected a time before 2022-12-12 15:41 UTC, when"),
        (HIGH_DRAG, "2025-09-20", 24, r"orbit\.start: expected a time before 2024-02-25 09:09 UTC"),
        (LOW, "1960-01-01", 24, r"orbit\.start: expected a start after .* hold no orbit"),
    ],
)
def test_a_plan_does_not_outlive_its_orbit(
    tmp_path: Path, lines: tuple[str, str], start: str, hours: float, match: str
) -> None:
    path = tmp_path / "orbit.toml"
    path.write_text(SCENARIO.format(lines=list(lines), start=start, hours=hours))
    with pytest.raises(BadConfig, match=match):
        load_scenario(path)


def test_until_then_it_is_planned(tmp_path: Path) -> None:
    path = tmp_path / "orbit.toml"
    path.write_text(SCENARIO.format(lines=list(LOW), start="2022-12-12", hours=15.6))
    assert load_scenario(path).contact
