"""Orbits and ground stations: when a satellite is above a horizon, how far away, in sun or shadow.

Positions by SGP4 (in TEME), turned into the Earth's frame by sidereal time (IAU 1982, UT1 taken for
UTC); stations on the WGS 84 ellipsoid; elevations without refraction. Vectorised over times; times
are seconds since a start. Checked against skyfield in `tests/unit/roundtrip/test_orbit.py`.
Sources: Vallado 2013 for the frames and the Sun; Hoots and Roehrich 1980 for SGP4.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sgp4.api import WGS72, Satrec, SatrecArray

from roundtrip.errors import BadConfig

Floats = NDArray[np.float64]

EARTH_RADIUS_KM = 6378.137
FLATTENING = 1 / 298.257223563
MU_KM3_S2 = 398_600.8
"""WGS 72, as SGP4 has it."""
SGP4_RADIUS_KM = 6378.135
LIGHT_KM_S = 299_792.458
DAY_S = 86_400.0
J2000 = 2_451_545.0
UNIX_EPOCH_JD = 2_440_587.5
_SGP4_EPOCH_JD = 2_433_281.5
"""1949-12-31 00:00 UTC, from which SGP4's own epochs count days."""

COARSE_S = 20.0
"""Step of the first search; a maximum between two steps is looked at more closely."""
SAMPLE_S = 5.0
"""Ranges of a pass are sampled at least this often; linear in between is good to 0.4 km."""
_BISECTIONS = 24
_NEAR_DEG = 4.0
"""How far below the horizon a sampled maximum may lie when the true one is above it."""


@dataclass(frozen=True, slots=True)
class Station:
    """A place on the Earth."""

    name: str
    lat_deg: float
    lon_deg: float
    alt_m: float
    min_elevation_deg: float


@dataclass(frozen=True, slots=True)
class Pass:
    """One time above one station's horizon. Times in s since the start."""

    satellite: str
    station: str
    aos_s: float
    tca_s: float
    los_s: float
    max_elevation_deg: float
    ranges_km: tuple[float, ...]
    """Evenly from AOS to LOS."""
    cut: bool
    """It begins before the start, or ends after the end, of what was searched."""


def julian(moment: datetime) -> float:
    """Julian date of a time; without a zone it is UTC."""
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return moment.timestamp() / DAY_S + UNIX_EPOCH_JD


def dated(jd: float) -> str:
    """A Julian date as people read it, to the minute."""
    moment = datetime.fromtimestamp((jd - UNIX_EPOCH_JD) * DAY_S, UTC)
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def circular(
    *,
    altitude_km: float,
    inclination_deg: float,
    raan_deg: float,
    phase_deg: float,
    epoch_jd: float,
    number: int = 1,
) -> Satrec:
    """A satellite on a circular orbit without drag.

    Args:
        altitude_km: above the equator's radius.
        inclination_deg, raan_deg: of the orbital plane.
        phase_deg: from the ascending node at the epoch.
        epoch_jd: Julian date of these elements.
        number: any, to tell satellites apart.
    """
    a_km = SGP4_RADIUS_KM + altitude_km
    per_minute = math.sqrt(MU_KM3_S2 / a_km**3) * 60
    satellite = Satrec()
    satellite.sgp4init(
        WGS72, "i", number, epoch_jd - _SGP4_EPOCH_JD, 0.0, 0.0, 0.0, 1e-6, 0.0,
        math.radians(inclination_deg), math.radians(phase_deg), per_minute, math.radians(raan_deg),
    )  # fmt: skip
    return satellite


def sun_synchronous_deg(altitude_km: float) -> float:
    """The inclination whose plane turns with the Sun, for a circular orbit (J2 only)."""
    ratio = (SGP4_RADIUS_KM + altitude_km) / 12_352.0
    if ratio >= 1:
        raise BadConfig("orbit", "altitude_km", "less than 5,974 for sso", f"{altitude_km:g}")
    return math.degrees(math.acos(-(ratio**3.5)))


def earth_fixed(satellites: Sequence[Satrec], start_jd: float, times_s: Floats) -> Floats:
    """Positions in the rotating frame of the Earth.

    Returns:
        (satellites, times, 3) km; NaN where SGP4 finds the satellite decayed.
    """
    jd, fraction = _split(start_jd, times_s)
    errors, teme, _ = SatrecArray(list(satellites)).sgp4(jd, fraction)
    teme[errors != 0] = np.nan
    theta = sidereal_angle(jd, fraction)
    cos, sin = np.cos(theta), np.sin(theta)
    fixed: Floats = np.empty_like(teme)
    fixed[..., 0] = cos * teme[..., 0] + sin * teme[..., 1]
    fixed[..., 1] = -sin * teme[..., 0] + cos * teme[..., 1]
    fixed[..., 2] = teme[..., 2]
    return fixed


def sidereal_angle(jd: Floats, fraction: Floats) -> Floats:
    """Greenwich mean sidereal time, rad (IAU 1982)."""
    t = ((jd - J2000) + fraction) / 36_525.0
    seconds = 67_310.54841 + (3_164_400_184.812866 + (0.093104 - 6.2e-6 * t) * t) * t
    angle: Floats = np.deg2rad(seconds / 240.0) % (2 * np.pi)
    return angle


def place(station: Station) -> tuple[Floats, Floats]:
    """A station's position in the Earth's frame, km, and its local vertical."""
    lat, lon = math.radians(station.lat_deg), math.radians(station.lon_deg)
    up = np.array([math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)])
    e2 = FLATTENING * (2 - FLATTENING)
    n_km = EARTH_RADIUS_KM / math.sqrt(1 - e2 * math.sin(lat) ** 2)
    h_km = station.alt_m / 1000
    position = up * (n_km + h_km)
    position[2] = (n_km * (1 - e2) + h_km) * math.sin(lat)
    return position, up


def look(positions: Floats, station: Station) -> tuple[Floats, Floats]:
    """Elevation in degrees and range in km of positions (..., 3) from a station."""
    origin, up = place(station)
    away = positions - origin
    range_km = np.sqrt((away * away).sum(axis=-1))
    return np.degrees(np.arcsin(np.clip(away @ up / range_km, -1, 1))), range_km


def azimuth(positions: Floats, station: Station) -> Floats:
    """Degrees clockwise from north of positions (..., 3) from a station."""
    origin, _ = place(station)
    away = positions - origin
    lat, lon = math.radians(station.lat_deg), math.radians(station.lon_deg)
    east = np.array([-math.sin(lon), math.cos(lon), 0.0])
    north = np.array(
        [-math.sin(lat) * math.cos(lon), -math.sin(lat) * math.sin(lon), math.cos(lat)]
    )
    found: Floats = np.degrees(np.arctan2(away @ east, away @ north)) % 360
    return found


def passes(
    satellite: Satrec, name: str, station: Station, start_jd: float, length_s: float
) -> list[Pass]:
    """All passes of a satellite over a station, in order."""

    def above(times_s: Floats) -> Floats:
        elevation, _ = look(earth_fixed([satellite], start_jd, times_s)[0], station)
        return np.nan_to_num(elevation, nan=-90.0) - station.min_elevation_deg

    count = max(3, math.ceil(length_s / COARSE_S) + 1)
    grid = np.linspace(0.0, length_s, count)
    height = above(grid)
    edges = [0.0, *_crossings(above, grid, height), length_s]
    peaks = _hidden_peaks(above, grid, height)
    spans = [
        (a, b)
        for a, b in itertools.pairwise(edges)
        if b > a and above(np.array([(a + b) / 2]))[0] > 0
    ]
    spans = sorted([*spans, *peaks])
    return [_pass(satellite, name, station, start_jd, length_s, a, b) for a, b in spans]


def _crossings(above: Any, grid: Floats, height: Floats) -> list[float]:
    at = np.nonzero((height[:-1] > 0) != (height[1:] > 0))[0]
    if not len(at):
        return []
    low, high, rising = grid[at].copy(), grid[at + 1].copy(), height[at + 1] > 0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        after = (above(middle) > 0) == rising
        high = np.where(after, middle, high)
        low = np.where(after, low, middle)
    return [float(moment) for moment in (low + high) / 2]


def _hidden_peaks(above: Any, grid: Floats, height: Floats) -> list[tuple[float, float]]:
    """Passes so short that no step of the grid falls into them."""
    middle = height[1:-1]
    at = np.nonzero(
        (middle >= height[:-2]) & (middle > height[2:]) & (middle <= 0) & (middle > -_NEAR_DEG)
    )[0]
    found: list[tuple[float, float]] = []
    for index in at:
        fine = np.linspace(grid[index], grid[index + 2], 201)
        edges = _crossings(above, fine, above(fine))
        if len(edges) == 2:
            found.append((edges[0], edges[1]))
    return found


def _pass(
    satellite: Satrec,
    name: str,
    station: Station,
    start_jd: float,
    length_s: float,
    aos_s: float,
    los_s: float,
) -> Pass:
    steps = max(2, math.ceil((los_s - aos_s) / SAMPLE_S) + 1)
    times = np.linspace(aos_s, los_s, steps)
    elevation, ranges = look(earth_fixed([satellite], start_jd, times)[0], station)
    top = int(np.argmax(elevation))
    fine = np.linspace(times[max(0, top - 1)], times[min(steps - 1, top + 1)], 101)
    fine_elevation, _ = look(earth_fixed([satellite], start_jd, fine)[0], station)
    best = int(np.argmax(fine_elevation))
    return Pass(
        name,
        station.name,
        aos_s,
        float(fine[best]),
        los_s,
        float(fine_elevation[best]),
        tuple(round(float(value), 3) for value in ranges),
        aos_s <= 0.0 or los_s >= length_s,
    )


def sunlit(satellite: Satrec, start_jd: float, times_s: Floats) -> NDArray[np.bool_]:
    """Whether a satellite is in sunlight: analytic Sun (to 0.01 degrees), the Earth's shadow a
    cylinder."""
    jd, fraction = _split(start_jd, times_s)
    _, teme, _ = SatrecArray([satellite]).sgp4(jd, fraction)
    sun = _sun_direction(jd + fraction)
    along = (teme[0] * sun).sum(axis=-1)
    beside = np.sqrt(np.maximum((teme[0] ** 2).sum(axis=-1) - along**2, 0.0))
    lit: NDArray[np.bool_] = (along > 0) | (beside > EARTH_RADIUS_KM)
    return lit


def sunlit_spans(
    satellite: Satrec, start_jd: float, length_s: float
) -> tuple[tuple[float, float], ...]:
    """When a satellite is in sunlight, s since the start."""

    def lit(times_s: Floats) -> Floats:
        return sunlit(satellite, start_jd, times_s).astype(np.float64)

    grid = np.linspace(0.0, length_s, max(3, math.ceil(length_s / COARSE_S) + 1))
    edges = [0.0, *_crossings(lit, grid, lit(grid)), length_s]
    return tuple(
        (a, b)
        for a, b in itertools.pairwise(edges)
        if b > a and sunlit(satellite, start_jd, np.array([(a + b) / 2]))[0]
    )


def _sun_direction(jd: Floats) -> Floats:
    """Unit vector to the Sun, mean equator of date (Vallado, algorithm 29)."""
    t = (jd - J2000) / 36_525.0
    longitude = 280.46 + 36_000.771 * t
    anomaly = np.deg2rad(357.52911 + 35_999.05034 * t)
    ecliptic = np.deg2rad(
        longitude + 1.914666471 * np.sin(anomaly) + 0.019994643 * np.sin(2 * anomaly)
    )
    tilt = np.deg2rad(23.439291 - 0.0130042 * t)
    direction: Floats = np.stack(
        [np.cos(ecliptic), np.cos(tilt) * np.sin(ecliptic), np.sin(tilt) * np.sin(ecliptic)],
        axis=-1,
    )
    return direction


def _split(start_jd: float, times_s: Floats) -> tuple[Floats, Floats]:
    """Julian dates in two parts, so that no precision is lost."""
    whole = math.floor(start_jd)
    days = (start_jd - whole) + times_s / DAY_S
    return np.full_like(times_s, whole), days
