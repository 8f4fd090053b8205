"""The Sun, the Earth's rotation and places on it, against references of others."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime

import numpy as np
import pytest

from roundtrip.orbit import (
    DAY_S,
    Station,
    _sun_direction,
    azimuth,
    circular,
    dated,
    earth_fixed,
    julian,
    look,
    place,
    sidereal_angle,
)

PLACES = (
    Station("Svalbard", 78.23, 15.39, 450, 0),
    Station("Quito", -0.18, -78.47, 2850, 0),
    Station("Punta Arenas", -53.16, -70.91, 30, 0),
)
SEASONS = (
    (datetime(2000, 3, 20, 7, 35, tzinfo=UTC), 0),
    (datetime(2000, 6, 21, 1, 48, tzinfo=UTC), 90),
    (datetime(2000, 9, 22, 17, 27, tzinfo=UTC), 180),
    (datetime(2000, 12, 21, 13, 37, tzinfo=UTC), 270),
    (datetime(2026, 3, 20, 14, 46, tzinfo=UTC), 0),
    (datetime(2026, 6, 21, 8, 25, tzinfo=UTC), 90),
    (datetime(2026, 9, 23, 0, 5, tzinfo=UTC), 180),
    (datetime(2026, 12, 21, 20, 50, tzinfo=UTC), 270),
)
"""When the Sun's ecliptic longitude is so many degrees (almanacs)."""


def by_meeus(jd: float) -> tuple[float, float]:
    """The Sun's apparent longitude, and the tilt of the ecliptic, in degrees (Meeus, Astronomical
    Algorithms, 1998, chapters 22 and 25)."""
    t = (jd - 2_451_545) / 36_525
    mean = 280.46646 + 36_000.76983 * t + 0.0003032 * t * t
    anomaly = math.radians(357.52911 + 35_999.05029 * t - 0.0001537 * t * t)
    centre = (
        (1.914602 - 0.004817 * t) * math.sin(anomaly)
        + (0.019993 - 0.000101 * t) * math.sin(2 * anomaly)
        + 0.000289 * math.sin(3 * anomaly)
    )
    node = math.radians(125.04 - 1_934.136 * t)
    tilt = 23 + 26 / 60 + 21.448 / 3600 - 46.8150 / 3600 * t
    return (mean + centre - 0.00569 - 0.00478 * math.sin(node)) % 360, tilt


def direction(longitude_deg: float, tilt_deg: float) -> list[float]:
    longitude, tilt = math.radians(longitude_deg), math.radians(tilt_deg)
    along = math.sin(longitude)
    return [math.cos(longitude), math.cos(tilt) * along, math.sin(tilt) * along]


def apart_deg(one: np.ndarray, other: list[float]) -> float:
    return math.degrees(math.asin(np.linalg.norm(np.cross(one, other))))


@pytest.mark.parametrize("year", range(1950, 2101, 25))
def test_the_sun_is_where_meeus_has_it(year: int) -> None:
    for month, day in itertools.product(range(1, 13), (1, 15)):
        jd = julian(datetime(year, month, day, tzinfo=UTC))
        (found,) = _sun_direction(np.array([jd]))
        assert apart_deg(found, direction(*by_meeus(jd))) < 0.018, (month, day)
        assert np.linalg.norm(found) == pytest.approx(1)


@pytest.mark.parametrize(("moment", "longitude_deg"), SEASONS)
def test_the_seasons_begin_when_the_almanac_says(moment: datetime, longitude_deg: int) -> None:
    (found,) = _sun_direction(np.array([julian(moment)]))
    assert apart_deg(found, direction(longitude_deg, by_meeus(julian(moment))[1])) < 0.012


@pytest.mark.parametrize(
    ("jd", "fraction", "expected_deg"),
    [
        (2_448_854.5, (12 + 14 / 60) / 24, 152.578787886),  # Vallado, example 3-5
        (2_446_895.5, 0.0, 197.693195),  # Meeus, example 12.a
        (2_446_895.5, (19 + 21 / 60) / 24, 128.7378734),  # Meeus, example 12.b
    ],
)
def test_sidereal_time_is_that_of_worked_examples(
    jd: float, fraction: float, expected_deg: float
) -> None:
    found = sidereal_angle(np.array([jd]), np.array([fraction]))
    assert np.degrees(found[0]) == pytest.approx(expected_deg, abs=2e-7)


@pytest.mark.parametrize("station", PLACES, ids=lambda station: station.name)
def test_a_station_is_where_skyfield_has_it(station: Station) -> None:
    api = pytest.importorskip("skyfield.api")
    theirs = api.wgs84.latlon(station.lat_deg, station.lon_deg, elevation_m=station.alt_m)
    assert place(station)[0] == pytest.approx(theirs.itrs_xyz.km, abs=1e-5)


@pytest.mark.parametrize("station", PLACES, ids=lambda station: station.name)
def test_azimuth_elevation_and_range_are_those_of_skyfield(station: Station) -> None:
    api = pytest.importorskip("skyfield.api")
    start = datetime(2026, 6, 1, tzinfo=UTC)
    satellite = circular(
        altitude_km=900, inclination_deg=70, raan_deg=30, phase_deg=10, epoch_jd=julian(start)
    )
    scale = api.load.timescale(builtin=True)
    times_s = np.arange(0.0, 86_400.0, 600.0)
    fixed = earth_fixed([satellite], julian(start), times_s)[0]
    theirs = api.EarthSatellite.from_satrec(satellite, scale)
    spot = api.wgs84.latlon(station.lat_deg, station.lon_deg, elevation_m=station.alt_m)
    at = scale.tt_jd(scale.from_datetime(start).tt + times_s / DAY_S)
    elevation, bearing, distance = (theirs - spot).at(at).altaz()
    found, range_km = look(fixed, station)
    assert found == pytest.approx(elevation.degrees, abs=0.03)
    assert range_km == pytest.approx(distance.km, abs=1.5)
    turn = (azimuth(fixed, station) - bearing.degrees + 180) % 360 - 180
    assert np.abs(turn[elevation.degrees < 80]).max() < 0.15


def test_a_circular_orbit_is_as_high_and_as_tilted_as_asked() -> None:
    epoch = julian(datetime(2026, 6, 1, tzinfo=UTC))
    satellite = circular(
        altitude_km=550, inclination_deg=97.6, raan_deg=75, phase_deg=33, epoch_jd=epoch, number=7
    )
    assert satellite.satnum == 7
    assert satellite.jdsatepoch + satellite.jdsatepochF == pytest.approx(epoch, abs=1e-9)
    assert satellite.bstar == satellite.ndot == satellite.nddot == 0
    assert (satellite.a - 1) * satellite.radiusearthkm == pytest.approx(550, abs=15)
    assert math.degrees(satellite.inclo) == pytest.approx(97.6)
    assert math.degrees(satellite.nodeo) == pytest.approx(75)
    assert math.degrees(satellite.mo + satellite.argpo) == pytest.approx(33)
    assert satellite.ecco < 1e-5
    height = np.linalg.norm(earth_fixed([satellite], epoch, np.arange(0, 6000.0, 60)), axis=-1)
    assert height.min() > 6378 + 530
    assert height.max() < 6378 + 570


def test_dates_and_julian_dates() -> None:
    assert julian(datetime(2000, 1, 1, 12, tzinfo=UTC)) == 2_451_545.0
    assert julian(datetime.fromisoformat("2000-01-01T12:00")) == 2_451_545.0
    assert dated(2_451_545.0) == "2000-01-01 12:00 UTC"
