"""How soon a question is answered, anywhere in a day: constellations over ground networks.

A question comes up at a station at any moment. It goes up to whichever satellite serves it best:
the first that has it answered and within sight of any station. So the time to the answer is
waiting for a satellite, light, what the satellite takes, and where it has set meanwhile, waiting
for its next station. Stations share their answers; satellites do not talk to each other.
Vectorised over satellites, stations and times; sampled in steps, so each figure is good to a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sgp4.api import Satrec

from roundtrip.orbit import Station, circular, earth_fixed, place, sun_synchronous_deg

LIGHT_KM_S = 299_792.458
CHUNK_SAMPLES = 400_000
"""Positions worked on at once; bounds the memory."""


@dataclass(frozen=True, slots=True)
class Constellation:
    """Satellites on circular orbits, spread evenly (Walker delta)."""

    satellites: int
    planes: int
    phasing: int
    """Walker's F: 0 to planes - 1."""
    altitude_km: float
    inclination_deg: float
    """Negative: sun-synchronous."""
    raan_span_deg: float = 360.0
    """Over which the planes are spread; 180 makes a star."""

    def satrecs(self, start_jd: float) -> list[Satrec]:
        """All satellites."""
        tilt = self.inclination_deg
        if tilt < 0:
            tilt = sun_synchronous_deg(self.altitude_km)
        each = self.satellites // self.planes
        return [
            circular(
                altitude_km=self.altitude_km,
                inclination_deg=tilt,
                raan_deg=self.raan_span_deg * plane / self.planes,
                phase_deg=360 * (slot / each + self.phasing * plane / self.satellites),
                epoch_jd=start_jd,
                number=plane * each + slot + 1,
            )
            for plane in range(self.planes)
            for slot in range(each)
        ]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What came out."""

    stations: tuple[str, ...]
    answer_s: NDArray[np.float32]
    """(stations, moments): from question to answer; inf where it did not come in time."""
    in_sight: NDArray[np.float64]
    """(stations,): share of the time with a satellite in sight."""
    step_s: float

    def share_within(self, budget_s: float) -> NDArray[np.float64]:
        """(stations,): questions answered within a budget."""
        return np.asarray((self.answer_s <= budget_s).mean(axis=1), dtype=np.float64)

    def quantile(self, q: float) -> float:
        """Over all stations and moments, s; inf where too few were answered."""
        ordered = np.sort(self.answer_s, axis=None)
        return float(ordered[max(0, math.ceil(q * ordered.size) - 1)])


def coverage(
    satellites: Sequence[Satrec],
    stations: Sequence[Station],
    *,
    start_jd: float,
    hours: float,
    service_s: float,
    step_s: float,
    tail_hours: float,
) -> Coverage:
    """The time from question to answer at every station, every `step_s`.

    Args:
        satellites, stations: at least one of each.
        start_jd: Julian date of the first question.
        hours: for how long questions come.
        service_s: uplink, inference and downlink, without light time.
        step_s: of the sampling.
        tail_hours: how long after the last question answers still count.
    """
    asked = math.ceil(hours * 3600 / step_s)
    count = asked + math.ceil((tail_hours * 3600 + service_s) / step_s)
    times = np.arange(count, dtype=np.float64) * np.float64(step_s)
    best = np.full((len(stations), asked), np.inf, dtype=np.float32)
    seen = np.zeros((len(stations), asked), dtype=bool)
    later = math.ceil(service_s / step_s)
    light_s = 2 * _typical_light_s(satellites[0], start_jd)
    now = np.arange(asked, dtype=np.int32)
    for visible in _visibility(satellites, stations, start_jd, times):
        anywhere = _next(np.asarray(visible.any(axis=0)))
        for index in range(len(stations)):
            if not visible[index].any():
                continue
            seen[index] |= visible[index, :asked]
            up = _next(visible[index])[:asked]
            ready = np.minimum(up + later, count - 1)
            down = np.where(up < count, anywhere[ready], count)
            waited = (up - now + np.maximum(down - ready, 0)) * step_s + service_s + light_s
            waited = np.where((down < count) & (up + later < count), waited, np.inf)
            np.minimum(best[index], waited.astype(np.float32), out=best[index])
    return Coverage(tuple(station.name for station in stations), best, seen.mean(axis=1), step_s)


def _visibility(
    satellites: Sequence[Satrec],
    stations: Sequence[Station],
    start_jd: float,
    times: NDArray[np.float64],
) -> Iterator[NDArray[np.bool_]]:
    """For each satellite (stations, times): whether it is above the mask."""
    places = [place(station) for station in stations]
    origins = np.array([origin for origin, _ in places], dtype=np.float32)
    ups = np.array([up for _, up in places], dtype=np.float32)
    heights = (origins * ups).sum(axis=1)[:, None]
    squares = (origins * origins).sum(axis=1)[:, None]
    sines = np.sin(np.radians([station.min_elevation_deg for station in stations]))
    sines = sines.astype(np.float32)[:, None]
    each = max(1, CHUNK_SAMPLES // len(times))
    for first in range(0, len(satellites), each):
        chunk = earth_fixed(satellites[first : first + each], start_jd, times)
        for fixed in np.nan_to_num(chunk.astype(np.float32), nan=0.0):
            above = ups @ fixed.T - heights
            square = (fixed * fixed).sum(axis=1)[None, :] - 2 * (origins @ fixed.T) + squares
            yield (above > 0) & (above * above >= sines * sines * square)


def _next(flags: NDArray[np.bool_]) -> NDArray[np.int32]:
    """For each index the next one, or itself, with its flag set; the length where there is none."""
    at = np.where(flags, np.arange(len(flags), dtype=np.int32), np.int32(len(flags)))
    return np.minimum.accumulate(at[::-1])[::-1]


def _typical_light_s(satellite: Satrec, start_jd: float) -> float:
    """One way at about 45 degrees of elevation."""
    position = earth_fixed([satellite], start_jd, np.zeros(1))[0, 0]
    return float((np.linalg.norm(position) - 6371.0) * 1.35 / LIGHT_KM_S)
