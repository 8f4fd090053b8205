"""The passes of a scenario's satellites over its stations, and the contacts that follow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from sgp4.api import Satrec

from roundtrip.config import ContactConfig, Direction, OrbitConfig, SatelliteConfig
from roundtrip.contacts import Windows
from roundtrip.errors import BadConfig
from roundtrip.link_budget import Ladder, Step
from roundtrip.orbit import (
    UNIX_EPOCH_JD,
    Pass,
    Station,
    azimuth,
    circular,
    dated,
    earth_fixed,
    julian,
    look,
    passes,
    sun_synchronous_deg,
    sunlit_spans,
)
from roundtrip.scenario import Scenario
from roundtrip.tle import end_of_orbit, from_tle
from roundtrip.units import s_to_ns

TRACK_POINTS = 61
TRUSTED_DAYS = 14
"""Beyond it a two-line element set is off by more than a few km along its track."""
MAX_SEARCH_H = 100_000
"""Hours times stations times satellites that are searched for passes: a minute of computing."""
LEAST_CONTACT_S = 1.0
"""What is shorter is no contact."""
DRIFT_KM_PER_DAY = 1.5
"""Of a low orbit, typically (Vallado and Cefola 2012: 1 to 3 km a day)."""


def satrec_of(config: SatelliteConfig, start_jd: float, source: str, number: int = 1) -> Satrec:
    """A satellite of a scenario.

    Raises:
        BadConfig: its elements are none.
    """
    if config.tle:
        return from_tle(config.tle, f"{source}: satellite {config.name}")
    altitude_km = config.altitude_km or 0.0
    tilt = config.inclination_deg
    return circular(
        altitude_km=altitude_km,
        inclination_deg=sun_synchronous_deg(altitude_km) if tilt == "sso" else float(tilt),
        raan_deg=config.raan_deg,
        phase_deg=config.phase_deg,
        epoch_jd=start_jd,
        number=number,
    )


def all_passes(scenario: Scenario, source: str) -> list[Pass]:
    """Of every satellite over every station, by AOS.

    Raises:
        BadConfig: the scenario has no orbit, or a satellite none that SGP4 knows.
    """
    return _passes_of(scenario, scenario.satellite, source)


def _passes_of(
    scenario: Scenario, satellites: Sequence[SatelliteConfig], source: str
) -> list[Pass]:
    if scenario.orbit is None:
        raise BadConfig(source, "orbit", "[orbit], [[satellite]] and [[station]]", "none")
    start_jd = julian(scenario.orbit.start)
    length_s = scenario.orbit.hours * 3600
    most = MAX_SEARCH_H / max(1, len(satellites) * len(scenario.station))
    if scenario.orbit.hours > most:
        many = f"{len(satellites)} satellites over {len(scenario.station)} stations"
        raise BadConfig(
            source, "orbit.hours", f"at most {most:g} with {many}", f"{length_s / 3600:g}"
        )
    found: list[Pass] = []
    for number, config in enumerate(satellites, 1):
        satellite = satrec_of(config, start_jd, source, number)
        if config.tle:
            _check_lasts(satellite, scenario.orbit, f"{source}: satellite {config.name}")
        for place in scenario.station:
            station = Station(**place.model_dump())
            found += passes(satellite, config.name, station, start_jd, length_s)
    return sorted(found, key=lambda one: one.aos_s)


def _check_lasts(satellite: Satrec, orbit: OrbitConfig, source: str) -> None:
    """Elements must hold for all of the orbit's hours, and from their epoch to these."""
    start_jd = julian(orbit.start)
    end_jd = end_of_orbit(satellite, start_jd, orbit.hours * 3600)
    if end_jd is None:
        return
    if end_jd < satellite.jdsatepoch + satellite.jdsatepochF:
        expected = f"a start after {dated(end_jd)}: before it the elements hold no orbit"
        raise BadConfig(source, "orbit.start", expected, dated(start_jd))
    when = f"{dated(end_jd)}, when by its elements the orbit has decayed"
    if start_jd >= end_jd:
        raise BadConfig(source, "orbit.start", f"a time before {when}", dated(start_jd))
    hours = (end_jd - start_jd) * 24
    expected = f"at most {hours:.2f}, until {when}"
    raise BadConfig(source, "orbit.hours", expected, f"{orbit.hours:g}")


def contacts_of(scenario: Scenario, source: str) -> tuple[ContactConfig, ...]:
    """The contacts of the node's satellite: a station keeps it until LOS, then the next has it.

    Raises:
        BadConfig: as `all_passes`, or there is no pass at all.
    """
    mine = scenario.node_satellite
    contacts = handed_over(_passes_of(scenario, [mine] if mine else [], source))
    if not contacts:
        hours = scenario.orbit.hours if scenario.orbit else 0.0
        name = mine.name if mine else ""
        raise BadConfig(source, "orbit", f"a pass of {name} within {hours:g} h", "none")
    return contacts


def handed_over(found: Sequence[Pass]) -> tuple[ContactConfig, ...]:
    """The contacts of one satellite's passes, by AOS: a station keeps it until LOS, then the next
    has it."""
    contacts: list[ContactConfig] = []
    free_s = 0.0
    for one in found:
        start_s = max(one.aos_s, free_s)
        if one.los_s <= start_s + LEAST_CONTACT_S:
            continue
        contacts.append(
            ContactConfig(
                start_s=round(start_s, 3),
                end_s=round(one.los_s, 3),
                station=one.station,
                satellite=one.satellite,
                max_elevation_deg=round(one.max_elevation_deg, 2),
                ranges_km=_from(one, start_s),
            )
        )
        free_s = contacts[-1].end_s
    return tuple(contacts)


def sunlight_of(scenario: Scenario, source: str) -> Windows:
    """When the node's satellite is in sunlight; dark after the end of the orbit's hours.

    Raises:
        BadConfig: the scenario has no orbit, or one that SGP4 does not know.
    """
    mine = scenario.node_satellite
    if scenario.orbit is None or mine is None:
        raise BadConfig(source, "orbit", "[orbit], [[satellite]] and [[station]]", "none")
    start_jd = julian(scenario.orbit.start)
    satellite = satrec_of(mine, start_jd, source)
    spans = sunlit_spans(satellite, start_jd, scenario.orbit.hours * 3600)
    return Windows((s_to_ns(start), s_to_ns(end)) for start, end in spans)


def track_of(scenario: Scenario, one: Pass, source: str) -> list[tuple[float, float, float]]:
    """A pass as it is seen from its station: seconds since the start, azimuth and elevation in
    degrees, evenly from AOS to LOS.

    Raises:
        BadConfig: as `all_passes`.
    """
    found = seen_from(scenario, one.satellite, one.station, (one.aos_s, one.los_s), source)
    return [point[:3] for point in found]


def seen_from(
    scenario: Scenario, satellite: str, station: str, span_s: tuple[float, float], source: str
) -> list[tuple[float, float, float, float]]:
    """A satellite over a while as a station sees it: seconds since the start, azimuth and elevation
    in degrees, range in km, evenly.

    Raises:
        BadConfig: as `all_passes`.
    """
    if scenario.orbit is None:
        raise BadConfig(source, "orbit", "[orbit], [[satellite]] and [[station]]", "none")
    start_jd = julian(scenario.orbit.start)
    named = next(config for config in scenario.satellite if config.name == satellite)
    place = next(config for config in scenario.station if config.name == station)
    from_here = Station(**place.model_dump())
    times_s = np.linspace(*span_s, TRACK_POINTS)
    positions = earth_fixed([satrec_of(named, start_jd, source)], start_jd, times_s)[0]
    elevation, range_km = look(positions, from_here)
    columns = (times_s, azimuth(positions, from_here), elevation, range_km)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def rate_steps(one: Pass, direction: Direction) -> list[Step]:
    """How the rate of a direction changes over a pass."""
    start_ns, end_ns = s_to_ns(one.aos_s), s_to_ns(one.los_s)
    if direction.budget is None:
        return [Step(start_ns, end_ns, direction.rate_bps, "")]
    ladder = Ladder(direction.budget, direction.rate_bps)
    return ladder.steps(one.ranges_km, start_ns, end_ns)


def warnings_of(scenario: Scenario, source: str) -> list[str]:
    """What an operator should know of the elements' age."""
    if scenario.orbit is None:
        return []
    start_jd = julian(scenario.orbit.start)
    found: list[str] = []
    for config in scenario.satellite:
        if not config.tle:
            continue
        satellite = satrec_of(config, start_jd, source)
        days = abs(start_jd - (satellite.jdsatepoch + satellite.jdsatepochF))
        if days > TRUSTED_DAYS:
            found.append(
                f"{config.name}: elements are {days:.0f} days from orbit.start; expect "
                f"{days * DRIFT_KM_PER_DAY:.0f} km along the track, passes off by "
                f"{days * DRIFT_KM_PER_DAY / 7.5:.0f} s"
            )
    return found


def unix_s(scenario: Scenario) -> float:
    """The plan's zero as Unix time; 0 without an orbit."""
    if scenario.orbit is None:
        return 0.0
    return (julian(scenario.orbit.start) - UNIX_EPOCH_JD) * 86_400


def _from(one: Pass, start_s: float) -> tuple[float, ...]:
    """Ranges of the part of a pass from a time on."""
    if start_s <= one.aos_s:
        return one.ranges_km
    times = np.linspace(one.aos_s, one.los_s, len(one.ranges_km))
    steps = max(2, math.ceil((one.los_s - start_s) / 5) + 1)
    cut = np.interp(np.linspace(start_s, one.los_s, steps), times, one.ranges_km)
    return tuple(round(float(value), 3) for value in cut)
