"""The plot of passes, read back from its SVG, and the exports."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from roundtrip.errors import BadInput
from roundtrip.passes import all_passes, track_of
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario
from testbed.contact_plan import hdtn_plan, ion_plan
from testbed.passes_plot import write_passes

SCENARIOS = Path(__file__).parents[3] / "testbed" / "scenarios"


@pytest.fixture(scope="module")
def two() -> Scenario:
    return load_scenario(SCENARIOS / "two-stations.toml")


def test_each_pass_has_a_track_that_rises_and_sets_at_the_lowest_elevation(two) -> None:
    found = all_passes(two, "two")
    for one in found:
        least = next(s.min_elevation_deg for s in two.station if s.name == one.station)
        track = track_of(two, one, "two")
        heights = [elevation for _, _, elevation in track]
        assert max(heights) == pytest.approx(one.max_elevation_deg, abs=0.5)
        if not one.cut:
            assert heights[0] == pytest.approx(least, abs=0.05)
            assert heights[-1] == pytest.approx(least, abs=0.05)
        assert all(0 <= around < 360 for _, around, _ in track)


def test_the_page_has_a_sky_track_and_a_curve_for_each_pass(two, tmp_path: Path) -> None:
    found = all_passes(two, "two")
    path = tmp_path / "passes.html"
    write_passes(two, found, path)
    page = path.read_text()
    lines = re.findall(r'<polyline stroke="[^"]*" points="([^"]*)"', page)
    assert len(lines) == 2 * len(found)
    for station in two.station:
        assert f"Sky above {station.name}" in page
    on_sky = [pair for line in lines for pair in line.split() if float(pair.split(",")[1]) < 0]
    assert on_sky, "north is up"
    for pair in lines[0].split():
        assert math.hypot(*map(float, pair.split(","))) <= 200.5


def test_a_file_that_cannot_be_written_is_one_error(two, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--plot"):
        write_passes(two, [], tmp_path / "none" / "x.html")


def test_hdtn_and_ion_have_the_same_contacts(two) -> None:
    found = all_passes(two, "two")
    contacts = hdtn_plan(two, found)["contacts"]
    lines = [line for line in ion_plan(two, found) if line.startswith("a contact")]
    assert len(contacts) == len(lines) > 0
    assert [one["contact"] for one in contacts] == list(range(len(contacts)))
    for one, line in zip(contacts, lines, strict=True):
        _, _, start, end, source, dest, rate = line.split()
        assert (one["startTime"], one["endTime"]) == (int(start), int(end))
        assert (one["source"], one["dest"]) == (int(source), int(dest))
        assert one["rateBitsPerSec"] // 8 == int(rate)
        assert one["owlt"] == 1
