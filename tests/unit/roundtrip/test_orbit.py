"""Passes against skyfield's, frames and Sun against known cases, bad elements refused."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from roundtrip.command import warn
from roundtrip.errors import BadConfig
from roundtrip.orbit import (
    Pass,
    Station,
    circular,
    julian,
    passes,
    sun_synchronous_deg,
    sunlit,
    sunlit_spans,
)
from roundtrip.passes import all_passes, warnings_of
from roundtrip.scenario_file import load_scenario
from roundtrip.tle import from_tle

START = datetime(2026, 6, 1, tzinfo=UTC)
DAYS = 30
STATIONS = (
    Station("Berlin", 52.52, 13.40, 40, 10),
    Station("Svalbard", 78.23, 15.39, 450, 10),
    Station("Chengdu", 30.57, 104.07, 500, 10),
    Station("Quito", -0.18, -78.47, 2850, 5),
    Station("Punta Arenas", -53.16, -70.91, 30, 0),
)


def checked(line: str) -> str:
    total = sum(int(c) if c.isdigit() else c == "-" for c in line[:68]) % 10
    return f"{line[:68]}{total}"


TLE = (
    checked("1 25544U 98067A   26152.51782528  .00016717  00000-0  10270-3 0  9000"),
    checked("2 25544  51.6400 208.9163 0006317  69.9862  25.2906 15.50377579    00"),
)


def sso(altitude_km: float = 550.0):
    return circular(
        altitude_km=altitude_km,
        inclination_deg=sun_synchronous_deg(altitude_km),
        raan_deg=30,
        phase_deg=0,
        epoch_jd=julian(START),
    )


@pytest.mark.parametrize("station", STATIONS, ids=lambda station: station.name)
@pytest.mark.parametrize("satellite", [sso(), from_tle(TLE, "test")], ids=["sso", "tle"])
def test_passes_are_those_that_skyfield_finds(station: Station, satellite) -> None:
    api = pytest.importorskip("skyfield.api")
    mine = passes(satellite, "it", station, julian(START), DAYS * 86_400.0)
    whole = [one for one in mine if not one.cut]
    scale = api.load.timescale(builtin=True)
    theirs = api.EarthSatellite.from_satrec(satellite, scale)
    place = api.wgs84.latlon(station.lat_deg, station.lon_deg, elevation_m=station.alt_m)
    begin, end = scale.from_datetime(START), scale.from_datetime(START + timedelta(days=DAYS))
    times, kinds = theirs.find_events(place, begin, end, altitude_degrees=station.min_elevation_deg)
    seconds = [(moment - begin) * 86_400 for moment in times]
    rises = [s for s, kind in zip(seconds, kinds, strict=True) if kind == 0]
    sets = [s for s, kind in zip(seconds, kinds, strict=True) if kind == 2]
    assert abs(len(whole) - len(rises)) <= 1
    assert len(mine) >= len(rises)
    for one in whole:
        if max(one.max_elevation_deg - station.min_elevation_deg, 0) < 0.05:
            continue  # a graze: its edges depend on the last metre
        assert min(abs(one.aos_s - s) for s in rises) < 1
        assert min(abs(one.los_s - s) for s in sets) < 1
    for one in whole[:10]:
        at = scale.tt_jd([begin.tt + t / 86_400 for t in (one.aos_s, one.tca_s, one.los_s)])
        elevation, _, distance = (theirs - place).at(at).altaz()
        assert distance.km[0] == pytest.approx(one.ranges_km[0], abs=1)
        assert distance.km[2] == pytest.approx(one.ranges_km[-1], abs=1)
        assert elevation.degrees[1] == pytest.approx(one.max_elevation_deg, abs=0.05)


@pytest.mark.parametrize("over_deg", [0.02, 0.4, 1.5])
def test_a_pass_that_hardly_rises_is_one(over_deg: float) -> None:
    station = STATIONS[0]
    found = passes(sso(), "it", station, julian(START), 86_400.0)
    highest = max(found, key=lambda one: one.max_elevation_deg)
    mask_deg = highest.max_elevation_deg - over_deg
    (only,) = passes(
        sso(), "it", replace(station, min_elevation_deg=mask_deg), julian(START), 86_400.0
    )
    assert only.aos_s < highest.tca_s < only.los_s
    assert only.max_elevation_deg == pytest.approx(highest.max_elevation_deg, abs=0.001)


def test_sun_synchronous_inclinations_are_the_known_ones() -> None:
    assert sun_synchronous_deg(500) == pytest.approx(97.4, abs=0.05)
    assert sun_synchronous_deg(800) == pytest.approx(98.6, abs=0.05)


def test_sun_and_shadow_share_an_orbit_as_geometry_says() -> None:
    day = np.arange(0.0, 86_400.0, 20.0)
    noon = circular(
        altitude_km=550, inclination_deg=0, raan_deg=0, phase_deg=0, epoch_jd=julian(START)
    )
    share = sunlit(noon, julian(datetime(2026, 3, 20, 14, 46, tzinfo=UTC)), day).mean()
    dark = 2 * math.asin(6378.137 / (6378.135 + 550)) / (2 * math.pi)
    assert share == pytest.approx(1 - dark, abs=0.005)
    dawn = circular(
        altitude_km=800, inclination_deg=98.6, raan_deg=339, phase_deg=0, epoch_jd=julian(START)
    )
    assert sunlit(dawn, julian(START), day).mean() == 1.0, "dusk and dawn: always in the sun"


def test_it_is_lit_between_the_earth_and_the_sun_and_dark_behind_the_earth() -> None:
    equinox = julian(datetime(2026, 3, 20, 14, 46, tzinfo=UTC))
    satellite = circular(
        altitude_km=550, inclination_deg=0, raan_deg=0, phase_deg=0, epoch_jd=equinox
    )
    half_s = math.pi * math.sqrt((6378.135 + 550) ** 3 / 398_600.8)
    assert sunlit(satellite, equinox, np.array([0.0, half_s])).tolist() == [True, False]


def test_spans_of_sunlight_are_where_it_is_lit_and_no_longer() -> None:
    noon = circular(
        altitude_km=550, inclination_deg=0, raan_deg=0, phase_deg=0, epoch_jd=julian(START)
    )
    spans = sunlit_spans(noon, julian(START), 86_400.0)
    assert len(spans) in (16, 17), "one an orbit"
    assert spans == tuple(sorted(spans))
    for start_s, end_s in spans:
        inside, outside = (
            [moment for moment in (start_s + sign, end_s - sign) if 0 < moment < 86_400]
            for sign in (0.01, -0.01)
        )
        assert sunlit(noon, julian(START), np.array(inside)).all()
        assert not sunlit(noon, julian(START), np.array(outside)).any()
    dawn = circular(
        altitude_km=800, inclination_deg=98.6, raan_deg=339, phase_deg=0, epoch_jd=julian(START)
    )
    assert sunlit_spans(dawn, julian(START), 86_400.0) == ((0.0, 86_400.0),)


def test_the_light_time_follows_the_range(tmp_path: Path) -> None:
    scenario = load_scenario(_written(tmp_path, SCENARIO))
    contact = scenario.contact[0]
    light = scenario.light_time("uplink")
    start_ns, end_ns = round(contact.start_s * 1e9), round(contact.end_s * 1e9)
    assert light.at(start_ns) == pytest.approx(contact.ranges_km[0] / 299_792.458 * 1e9, abs=2)
    assert light.at((start_ns + end_ns) // 2) < light.at(start_ns)
    assert light.at(end_ns + 10**12) == light.at(end_ns)
    owlts = {c.owlt for c in scenario.plan().contacts}
    assert owlts == {
        max(round(r / 299_792.458 * 1e9) for c in scenario.contact for r in c.ranges_km)
    }


def test_two_stations_hand_over_without_overlap(tmp_path: Path) -> None:
    second = '[[station]]\nname = "Prague"\nlat_deg = 50.1\nlon_deg = 14.4\n'
    scenario = load_scenario(_written(tmp_path, SCENARIO + second))
    spans = [(c.start_s, c.end_s) for c in scenario.contact]
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    assert {c.station for c in scenario.contact} == {"Berlin", "Prague"}
    alone = load_scenario(_written(tmp_path, SCENARIO))
    assert sum(b - a for a, b in spans) > sum(c.end_s - c.start_s for c in alone.contact)


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
start = 2026-06-01T00:00:00Z
hours = 24
[[satellite]]
name = "one"
altitude_km = 550
[[station]]
name = "Berlin"
lat_deg = 52.5
lon_deg = 13.4
"""


def _written(folder: Path, text: str) -> Path:
    path = folder / "orbit.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("lat_deg = 52.5", "lat_deg = 152.5", "station.0.lat_deg"),
        (
            "lon_deg = 13.4",
            "lon_deg = 1e9",
            "station.0.lon_deg: expected less than or equal to 360",
        ),
        ("lon_deg = 13.4", "lon_deg = 13.4\nalt_m = -6e6", "station.0.alt_m: .* -500, found -6"),
        ("altitude_km = 550", "altitude_km = 50", "satellite.0.altitude_km"),
        ("altitude_km = 550", "", "either tle or altitude_km"),
        ("altitude_km = 550", f"tle = ['{TLE[0][:68]}0', '{TLE[1]}']", "checksum"),
        ("altitude_km = 550", f"tle = ['{TLE[0][:20]}²{TLE[0][21:]}', '{TLE[1]}']", "column 21"),
        ("altitude_km = 550", f"tle = ['{TLE[0]}']", "two lines"),
        ("altitude_km = 550", f"tle = ['{TLE[1]}', '{TLE[0]}']", "line 1"),
        ("hours = 24", "hours = 0.1", "a pass of one within 0.1 h"),
        ("[[station]]\nname", "[[contact]]\nx", "orbit, satellite and station|contact"),
    ],
)
def test_a_bad_orbit_names_what_is_wrong(tmp_path: Path, old: str, new: str, match: str) -> None:
    assert old in SCENARIO
    with pytest.raises(BadConfig, match=match):
        load_scenario(_written(tmp_path, SCENARIO.replace(old, new)))


def test_old_elements_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = f"tle = ['{TLE[0]}', '{TLE[1]}']"
    old = SCENARIO.replace("altitude_km = 550", lines)
    assert warnings_of(load_scenario(_written(tmp_path, old)), "x") == []
    later = old.replace("2026-06-01", "2026-09-01")
    (warning,) = warnings_of(load_scenario(_written(tmp_path, later)), "x")
    assert "elements are 91 days" in warning or "elements are 92 days" in warning
    warn(load_scenario(_written(tmp_path, later)), "x")
    assert capsys.readouterr().err == f"warning: {warning}\n"


def test_passes_of_all_satellites_come_by_time(tmp_path: Path) -> None:
    second = '[[satellite]]\nname = "two"\naltitude_km = 550\nphase_deg = 180\n'
    found = all_passes(load_scenario(_written(tmp_path, SCENARIO + second)), "x")
    assert [one.aos_s for one in found] == sorted(one.aos_s for one in found)
    assert {one.satellite for one in found} == {"one", "two"}
    assert all(isinstance(one, Pass) and one.aos_s < one.tca_s < one.los_s for one in found)


SECOND = '[[satellite]]\nname = "two"\naltitude_km = 550\nphase_deg = 180\n'


def test_a_run_uses_the_satellite_that_the_node_is_on_or_the_first(tmp_path: Path) -> None:
    for text, expected in (
        (SCENARIO + SECOND, "one"),
        (SCENARIO + SECOND + "[node]\nsatellite = 'two'\n", "two"),
    ):
        scenario = load_scenario(_written(tmp_path, text))
        assert {contact.satellite for contact in scenario.contact} == {expected}
        mine = [one for one in all_passes(scenario, "x") if one.satellite == expected]
        assert len(scenario.contact) == len(mine)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (
            "[node]\nsatellite = 'three'\n",
            r"node\.satellite: expected the name of .*\(one, two\), found 'three'",
        ),
        (SECOND, r"satellite\.2\.name: expected a name of its own, found 'two' again"),
        (
            SCENARIO[SCENARIO.index("[[station]]") :],
            r"station\.1\.name: expected a name of its own",
        ),
    ],
)
def test_names_that_are_not_clear_are_refused(tmp_path: Path, more: str, match: str) -> None:
    with pytest.raises(BadConfig, match=match):
        load_scenario(_written(tmp_path, SCENARIO + SECOND + more))


def test_a_node_on_a_satellite_needs_one(tmp_path: Path) -> None:
    text = SCENARIO[: SCENARIO.index("[orbit]")] + "[node]\nsatellite = 'one'\n"
    with pytest.raises(BadConfig, match=r"node\.satellite: expected the name .* \(none\)"):
        load_scenario(_written(tmp_path, text))
