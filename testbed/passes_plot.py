"""Passes as they are seen from the stations: sky plots and elevation over time, one offline file.

Geometry is worked out here, in CSS pixels; the words and marks are in `passes.html.j2`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ground.results.report import LEFT, RIGHT, WIDTH, Tick, templates
from roundtrip.errors import BadInput
from roundtrip.orbit import Pass
from roundtrip.passes import track_of, unix_s
from roundtrip.scenario import Scenario

RADIUS = 200
HEIGHT = 160
COLOURS = ("#3b7dd8", "#d9609f", "#2f9e62", "#c77700", "#8a5cc2", "#22a6a1", "#d2453a", "#5b6778")
Track = list[tuple[float, float, float]]


def write_passes(scenario: Scenario, found: Sequence[Pass], path: Path) -> None:
    """Write the plot of a scenario's passes.

    Raises:
        BadInput: the file cannot be written.
    """
    tracks = [track_of(scenario, one, scenario.name) for one in found]
    stations = [
        _station(scenario, config.name, found, tracks, config.min_elevation_deg)
        for config in scenario.station
    ]
    page = templates(Path(__file__).parent).get_template("passes.html.j2")
    text = page.render(
        scenario=scenario, stations=stations, radius=RADIUS, width=WIDTH, left=LEFT, right=RIGHT
    )
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        expected = "a file that can be written"
        raise BadInput(str(path), "--plot", expected, error.strerror or str(error)) from None


def _station(
    scenario: Scenario,
    name: str,
    found: Sequence[Pass],
    tracks: Sequence[Track],
    least_deg: float,
) -> dict[str, Any]:
    mine = [(one, track) for one, track in zip(found, tracks, strict=True) if one.station == name]
    hours = scenario.orbit.hours if scenario.orbit is not None else 1.0
    scale = (WIDTH - LEFT - RIGHT) / (hours * 3600)
    drawn = []
    for number, (one, track) in enumerate(mine):
        sky = [_on_sky(azimuth, elevation) for _, azimuth, elevation in track]
        aos = datetime.fromtimestamp(unix_s(scenario), UTC) + timedelta(seconds=one.aos_s)
        drawn.append(
            {
                "number": number + 1,
                "colour": COLOURS[number % len(COLOURS)],
                "sky": " ".join(f"{x:.1f},{y:.1f}" for x, y in sky),
                "aos": sky[0],
                "los": sky[-1],
                "top": min(sky, key=lambda place: math.hypot(*place)),
                "heights": " ".join(
                    f"{LEFT + at_s * scale:.2f},{_height(elevation):.1f}"
                    for at_s, _, elevation in track
                ),
                "when": f"{aos:%Y-%m-%d %H:%M:%S}",
                "satellite": one.satellite,
                "minutes": (one.los_s - one.aos_s) / 60,
                "highest": one.max_elevation_deg,
                "ranges": f"{min(one.ranges_km):,.0f} to {max(one.ranges_km):,.0f}",
            }
        )
    step = next((s for s in (1, 2, 3, 6, 12, 24, 48, 96) if hours / s <= 12), 168)
    return {
        "name": name,
        "passes": drawn,
        "rings": [(RADIUS * (90 - degrees) / 90, f"{degrees}°") for degrees in (0, 30, 60)],
        "least": RADIUS * (90 - least_deg) / 90,
        "least_y": _height(least_deg),
        "least_deg": least_deg,
        "height": HEIGHT,
        "marks": [(_height(degrees), f"{degrees}°") for degrees in (0, 30, 60, 90)],
        "ticks": [
            Tick(LEFT + hour * 3600 * scale, f"{hour} h") for hour in range(0, int(hours) + 1, step)
        ],
    }


def _on_sky(azimuth_deg: float, elevation_deg: float) -> tuple[float, float]:
    """North is up and east is right, the zenith is in the middle."""
    away = RADIUS * (90 - elevation_deg) / 90
    angle = math.radians(azimuth_deg)
    return away * math.sin(angle), -away * math.cos(angle)


def _height(elevation_deg: float) -> float:
    return HEIGHT * (1 - elevation_deg / 90)
