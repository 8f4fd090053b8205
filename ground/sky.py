"""The pass that is under way or comes next, as its ground station sees it.

The orbit is computed once for each pass; where the satellite is now lies between two points.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from roundtrip.config import ContactConfig
from roundtrip.scenario import Scenario


class Sky:
    """The passes of a scenario.

    Args:
        scenario: may have no orbit: then there is nothing to see.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        satellites = {one.name for one in scenario.satellite}
        stations = {one.name for one in scenario.station}
        self._contacts = [
            one
            for one in scenario.contact
            if one.satellite in satellites and one.station in stations
        ]
        self._ends = [contact.end_s for contact in self._contacts]
        self._shown: dict[str, Any] | None = None
        self._of = -1

    def at(self, now_s: float) -> dict[str, Any] | None:
        """This pass or the next, with its track (s, azimuth and elevation in degrees, range in km)
        and where the satellite is now; None where there is none."""
        index = bisect_right(self._ends, now_s)
        if index >= len(self._contacts):
            return None
        contact = self._contacts[index]
        if index != self._of:
            self._of, self._shown = index, self._seen(contact)
        assert self._shown is not None
        now = between(self._shown["track"], now_s) if contact.start_s <= now_s else None
        return {**self._shown, "now": now}

    def _seen(self, contact: ContactConfig) -> dict[str, Any]:
        from roundtrip.passes import seen_from

        span_s = contact.start_s, contact.end_s
        scenario = self._scenario
        track = seen_from(scenario, contact.satellite, contact.station, span_s, scenario.name)
        place = next(one for one in scenario.station if one.name == contact.station)
        return {
            "satellite": contact.satellite,
            "station": contact.station,
            "min_elevation_deg": place.min_elevation_deg,
            "max_elevation_deg": contact.max_elevation_deg,
            "aos_s": contact.start_s,
            "los_s": contact.end_s,
            "track": [[round(value, 2) for value in point] for point in track],
        }


def between(track: list[list[float]], now_s: float) -> dict[str, float]:
    """Where a satellite is between the points of its track."""
    index = min(max(bisect_right(track, now_s, key=lambda point: point[0]), 1), len(track) - 1)
    before, after = track[index - 1], track[index]
    share = min(max((now_s - before[0]) / (after[0] - before[0]), 0.0), 1.0)
    turn = (after[1] - before[1] + 180) % 360 - 180
    return {
        "azimuth_deg": (before[1] + share * turn) % 360,
        "elevation_deg": before[2] + share * (after[2] - before[2]),
        "range_km": before[3] + share * (after[3] - before[3]),
    }
