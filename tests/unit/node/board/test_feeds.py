"""Feeds: files that something else writes, this machine, the spacecraft."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.board.feeds import (
    TAIL_BYTES,
    NoReading,
    OfFile,
    OfMachine,
    Simulated,
    thinned,
)
from node.board.reading import Reading
from node.board.sensors import machine_sensors
from node.board.spacecraft import Doing, Spacecraft
from roundtrip.contacts import Windows
from roundtrip.units import NS_PER_S

NOW_S = 1_800_000_000
NOW = 50 * NS_PER_S
"""On the plan's clock."""


def feed(path: Path, text: str | bytes) -> OfFile:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return OfFile(path, lambda _: NOW_S * NS_PER_S)


def test_a_csv_file_has_a_header_and_units(tmp_path: Path) -> None:
    text = (
        "time,light,EPS.VBAT,WHEEL [rpm],MODE\n"
        f"{NOW_S - 20},sun,31.2,1200,SAFE\n"
        f"{NOW_S - 10},ECLIPSE,29.876,1190,NOMINAL\n"
    )
    (reading,) = feed(tmp_path / "a.csv", text).frames(NOW, NS_PER_S, 1)
    assert reading.text() == "ECLIPSE\nEPS.VBAT 29.9 V\nWHEEL 1190 rpm\nMODE NOMINAL"
    assert reading.at_ns == 40 * NS_PER_S


def test_json_lines_do_as_well(tmp_path: Path) -> None:
    text = (
        f'{{"time": {NOW_S - 9}, "light": "SUN", "EPS.SOC": 61, "P": 1.25, "x": [1], "y": null}}\n'
    )
    (reading,) = feed(tmp_path / "a.jsonl", text).frames(NOW, NS_PER_S, 1)
    assert reading.text() == "SUN\nEPS.SOC 061 %\nP 1.25"


def test_dates_may_be_iso(tmp_path: Path) -> None:
    text = "time,A\n2027-01-15T07:59:50Z,1\n2027-01-15T07:59:58Z,2\n"
    (reading,) = feed(tmp_path / "a.csv", text).frames(NOW, NS_PER_S, 1)
    assert (reading.at_ns, reading.values["A"]) == (48 * NS_PER_S, "2")


def test_a_line_without_its_end_is_still_being_written(tmp_path: Path) -> None:
    text = f"time,A,B\n{NOW_S - 9},1,2\n{NOW_S - 5},7,"
    (reading,) = feed(tmp_path / "a.csv", text).frames(NOW, NS_PER_S, 1)
    assert reading.values == {"A": "1", "B": "2"}


def test_a_file_without_times_is_as_old_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    source = feed(path, "A\n1\n2\n")
    path.touch()
    written_ns = path.stat().st_mtime_ns
    source = OfFile(path, lambda _: written_ns + 7 * NS_PER_S)
    (reading,) = source.frames(NOW, NS_PER_S, 1)
    assert (reading.values["A"], reading.at_ns) == ("2", NOW - 7 * NS_PER_S)


def test_a_recorded_day_plays(tmp_path: Path) -> None:
    """Frames in the future are not seen yet."""
    rows = "".join(f"{NOW_S + 10 * n},{n}\n" for n in range(-3, 4))
    (reading,) = feed(tmp_path / "a.csv", f"time,A\n{rows}").frames(NOW, NS_PER_S, 1)
    assert reading.values["A"] == "0"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.csv", "", "no whole frame"),
        ("a.csv", "time,A\n", "no whole frame"),
        ("a.csv", "time,A\n5", "no whole frame"),
        ("a.csv", "time,A\n5,1,2\n", "no whole frame"),
        ("a.csv", "time,A\rB\n5,1\n", "no whole frame"),
        ("a.csv", f"time,A\n{NOW_S + 300},1\n", "its frames lie 300 s in the future"),
        ("a.jsonl", "nonsense\n[1]\n", "no whole frame"),
        ("a.jsonl", "[" * 5000 + "\n", "no whole frame"),
        ("a.jsonl", b"\xff\xfe\x00\n", "no whole frame"),
    ],
)
def test_what_is_no_frame_says_why(
    tmp_path: Path, name: str, text: str | bytes, reason: str
) -> None:
    with pytest.raises(NoReading, match=f"{name}: {reason}"):
        feed(tmp_path / name, text).frames(NOW, NS_PER_S, 1)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoReading, match="No such file"):
        OfFile(tmp_path / "a.csv", lambda _: 0).frames(NOW, NS_PER_S, 1)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(NoReading, match=r"a\.csv: no plain file"):
        OfFile(tmp_path / "a.csv", lambda _: 0).frames(NOW, NS_PER_S, 1)


def test_of_a_long_file_the_end_is_read(tmp_path: Path) -> None:
    rows = "".join(f"{NOW_S - 100_000 + n},{n}\n" for n in range(100_000))
    assert len(rows) > 2 * TAIL_BYTES
    readings = feed(tmp_path / "a.csv", f"time,A\n{rows}").frames(NOW, 60 * NS_PER_S, 4)
    assert [one.values["A"] for one in readings] == ["99999", "99939", "99879", "99819"]


@pytest.mark.parametrize("value", ["", "nan", "inf", "x", "1e999"])
def test_a_channel_of_ours_without_a_number_is_left_out(tmp_path: Path, value: str) -> None:
    text = f"time,EPS.VBAT,A\n{NOW_S},{value},1\n"
    (reading,) = feed(tmp_path / "a.csv", text).frames(NOW, NS_PER_S, 1)
    assert dict(reading.values) == {"A": "1"}


def test_text_that_does_not_print_or_is_long_is_no_value(tmp_path: Path) -> None:
    text = f'{{"time": {NOW_S}, "A": "a\\nb", "B": "{"b" * 61}", "C": "c"}}\n'
    (reading,) = feed(tmp_path / "a.jsonl", text).frames(NOW, NS_PER_S, 1)
    assert dict(reading.values) == {"C": "c"}
    text = f'{{"time": {NOW_S}, "A\\u0000": 1, "{"b" * 61}": 1, "C [\\u202e]": 1, "D": 1}}\n'
    (reading,) = feed(tmp_path / "a.jsonl", text).frames(NOW, NS_PER_S, 1)
    assert dict(reading.values) == {"D": "1"}


def test_channels_are_picked_in_the_order_that_is_asked_for() -> None:
    reading = Reading(0, "", {"A": "1", "B": "2"}, {"A": "V", "B": ""})
    assert reading.text(("B", "C", "A")) == "B 2\nA 1 V"
    assert reading.text(("C",)) == ""


def test_frames_are_thinned_by_time() -> None:
    readings = [Reading(at, "", {}, {}) for at in (100, 96, 90, 81, 60, 10)]
    assert [one.at_ns for one in thinned(readings, 20, 4)] == [100, 81, 60]
    assert [one.at_ns for one in thinned(readings, 5, 3)] == [100, 96, 90]
    assert [one.at_ns for one in thinned(readings[:1], 5, 3)] == [100]


def test_the_simulator_shows_the_frame_of_its_last_step() -> None:
    charge = 0.5
    craft = Spacecraft(1, Windows([(0, 10**15)]), lambda at_ns: Doing(charge))
    source = Simulated(craft, 10 * NS_PER_S)
    (first,) = source.frames(57 * NS_PER_S, NS_PER_S, 1)
    assert first.at_ns == 50 * NS_PER_S
    charge = 0.9
    (again,) = source.frames(59 * NS_PER_S, NS_PER_S, 1)
    assert again == first, "the same frame says the same"
    assert source.frames(60 * NS_PER_S, NS_PER_S, 1)[0].values["EPS.SOC"] == "090"


def test_the_simulators_past_begins_with_the_run() -> None:
    craft = Spacecraft(1, Windows([(0, 10**15)]), lambda at_ns: Doing())
    source = Simulated(craft, 10 * NS_PER_S)
    found = source.frames(45 * NS_PER_S, 20 * NS_PER_S, 4)
    assert [one.at_ns // NS_PER_S for one in found] == [40, 20, 0]


def test_this_machine_has_load_and_memory(tmp_path: Path) -> None:
    found = machine_sensors(tmp_path)
    assert {"CPU.LOAD", "MEM.USED", "DISK.USED"} <= set(found)
    assert found["MEM.USED"][1] == "%"
    assert 0 < int(found["MEM.USED"][0]) <= 100


def test_its_frames_are_remembered(tmp_path: Path) -> None:
    values = iter("12345")
    source = OfMachine(lambda: {"A": (next(values), "")}, 3)
    for at in (10, 20, 30):
        source.frames(at, 10, 1)
    found = source.frames(40, 10, 9)
    assert [(one.at_ns, one.values["A"]) for one in found] == [(40, "4"), (30, "3"), (20, "2")]
