"""Contact plans through the rules of the readers they are for, written down from their sources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from roundtrip.command import SHIPPED
from roundtrip.passes import all_passes
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario
from testbed.commands.passes import passes_command
from testbed.contact_plan import hdtn_plan, ion_plan

IN_ORBIT = [path.stem for path in sorted(SHIPPED.glob("*.toml")) if "[orbit]" in path.read_text()]
INT_MAX = 2**31 - 1


class Ion:
    """ION's contacts and ranges (ici/library/rfx.c: rfx_insert_contact, rfx_insert_range), which
    takes a line or ignores it with a note."""

    def __init__(self) -> None:
        self.contacts: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
        self.ranges: dict[tuple[int, int], list[tuple[int, int, int]]] = {}

    def read(self, line: str) -> None:
        a, kind, start, end, source, dest, value = line.split(" ")
        assert (a, start[0], end[0]) == ("a", "+", "+")
        from_s, to_s, amount = int(start[1:]), int(end[1:]), int(value)
        pair = (int(source), int(dest))
        assert min(pair) > 0
        assert to_s > from_s, "without length it is a prediction, and backwards it is refused"
        assert to_s <= INT_MAX
        if kind == "contact":
            assert amount > 0, "no transmission rate"
            known = self.contacts.setdefault(pair, [])
            assert not any(a <= to_s and from_s <= b for a, b, _ in known), "overlaps: ignored"
        else:
            assert kind == "range"
            assert amount >= 0
            known = self.ranges.setdefault(pair, [])
            assert not any(a < to_s and from_s < b for a, b, _ in known), "overlaps: ignored"
        known.append((from_s, to_s, amount))


def hdtn(plan: dict[str, Any]) -> list[tuple[int, int, int, int, int]]:
    """HDTN's contacts (module/router/src/router.cpp: ProcessContacts, AddContact_NotThreadSafe): a
    field that is no `int` reads as 0; events are told apart by contact, source, dest and start."""
    seen: set[tuple[int, int, int, int]] = set()
    found = []
    for one in plan["contacts"]:
        names = ("contact", "source", "dest", "startTime", "endTime", "owlt")
        assert all(type(one[name]) is int and 0 <= one[name] <= INT_MAX for name in names)
        assert 0 < one["rateBitsPerSec"] < 2**64
        assert one["startTime"] < one["endTime"]
        event = (one["contact"], one["source"], one["dest"], one["startTime"])
        assert event not in seen
        seen.add(event)
        found.append((one["source"], one["dest"], one["startTime"], one["endTime"], one["owlt"]))
    return found


def of_days(name: str, days: float) -> Scenario:
    scenario = load_scenario(SHIPPED / f"{name}.toml", now="2026-06-01T00:00:00Z")
    assert scenario.orbit is not None
    orbit = scenario.orbit.model_copy(update={"hours": 24 * days})
    return scenario.model_copy(update={"orbit": orbit})


def check(scenario: Scenario) -> tuple[Ion, list[tuple[int, int, int, int, int]]]:
    found = all_passes(scenario, "x")
    ion = Ion()
    for line in ion_plan(scenario, found):
        ion.read(line)
    contacts = hdtn(hdtn_plan(scenario, found))
    ours = [(*pair, a, b) for pair, spans in ion.contacts.items() for a, b, _ in spans]
    assert sorted(ours) == sorted(one[:4] for one in contacts)
    for pair, spans in ion.contacts.items():
        ranges = ion.ranges[1, 2]
        for start, end, _ in spans:
            covered = sum(max(0, min(b, end) - max(a, start)) for a, b, _ in ranges)
            assert covered == end - start, f"{pair}: no range from {start} to {end}"
    assert {one[4] for one in contacts} == {owlt for _, _, owlt in ion.ranges[1, 2]} == {1}
    return ion, contacts


@pytest.mark.parametrize("name", IN_ORBIT)
@pytest.mark.parametrize("days", [0.25, 1, 3.5, 7])
def test_the_readers_take_every_line_of_a_plan(name: str, days: float) -> None:
    scenario = of_days(name, days)
    ion, _ = check(scenario)
    found = all_passes(scenario, "x")
    passes_s = sum(one.los_s - one.aos_s for one in found)
    for spans in ion.contacts.values():
        assert sum(b - a for a, b, _ in spans) > 0.95 * passes_s


def test_the_day_in_x_band_is_there_with_all_its_rates() -> None:
    ion, contacts = check(of_days("xband-day", 1))
    assert len(contacts) == 234
    assert len({rate for _, _, rate in ion.contacts[2, 1]}) > 10


OVERLAP = """
[[station]]
name = "near Svalbard"
lat_deg = 76
lon_deg = 20
min_elevation_deg = 5
"""


@pytest.mark.parametrize("name", IN_ORBIT)
def test_stations_in_sight_at_once_are_one_ground(tmp_path: Path, name: str) -> None:
    text = (
        (SHIPPED / f"{name}.toml")
        .read_text()
        .replace('"telemetry.jsonl"', f"'{SHIPPED}/telemetry.jsonl'")
    )
    path = tmp_path / "two.toml"
    path.write_text(text + OVERLAP)
    scenario = load_scenario(path)
    _, contacts = check(scenario)
    alone = load_scenario(SHIPPED / f"{name}.toml")
    _, fewer = check(alone)
    assert sum(b - a for _, _, a, b, _ in contacts) > sum(b - a for _, _, a, b, _ in fewer)


def test_a_planned_outage_is_in_the_plan(tmp_path: Path) -> None:
    scenario = of_days("orbit-day", 1)
    first = scenario.contact[0]
    middle = (first.start_s + first.end_s) / 2
    outage = {"start_s": middle, "end_s": middle + 20, "kind": "planned", "direction": "uplink"}
    table = scenario.model_dump(exclude_none=True, mode="json") | {"outage": [outage]}
    ion, _ = check(Scenario.model_validate(table))
    assert len(ion.contacts[1, 2]) == len(ion.contacts[2, 1]) + 1
    assert not any(a < middle + 20 and middle < b for a, b, _ in ion.contacts[1, 2])


def test_no_pass_is_no_line() -> None:
    scenario = of_days("orbit-day", 0.25)
    assert ion_plan(scenario, []) == []
    assert hdtn_plan(scenario, []) == {"contacts": []}


def test_the_command_writes_them() -> None:
    result = CliRunner().invoke(passes_command, ["two-stations", "--ion"], catch_exceptions=False)
    ion = Ion()
    for line in result.output.splitlines():
        ion.read(line)
    result = CliRunner().invoke(passes_command, ["two-stations", "--hdtn"], catch_exceptions=False)
    contacts = hdtn(json.loads(result.output))
    assert len(contacts) == sum(len(spans) for spans in ion.contacts.values()) == 10


@pytest.mark.parametrize("days", ["nan", "inf", "-inf", "0", "400", "x"])
def test_days_are_a_number_of_days(days: str) -> None:
    result = CliRunner().invoke(passes_command, ["two-stations", "--days", days])
    assert result.exit_code == 2
    assert "--days" in result.output
