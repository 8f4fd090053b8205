"""What the station sees of a pass."""

from __future__ import annotations

import pytest

from ground.sky import Sky, between
from roundtrip.command import SHIPPED
from roundtrip.passes import all_passes
from roundtrip.scenario_file import check_scenario, load_scenario

TRACK = [[0.0, 350.0, 10.0, 1000.0], [10.0, 20.0, 20.0, 800.0], [20.0, 200.0, 10.0, 1000.0]]


@pytest.mark.parametrize(
    ("now_s", "seen"),
    [
        (0, (350, 10, 1000)),
        (5, (5, 15, 900)),
        (10, (20, 20, 800)),
        (15, (290, 15, 900)),
        (99, (200, 10, 1000)),
        (-1, (350, 10, 1000)),
    ],
)
def test_between_two_points_it_takes_the_short_way_round(now_s: float, seen) -> None:
    assert tuple(between(TRACK, now_s).values()) == pytest.approx(seen)


def test_the_pass_under_way_or_the_next_is_shown() -> None:
    scenario = load_scenario(SHIPPED / "orbit-day.toml")
    first, second = all_passes(scenario, "")[:2]
    sky = Sky(scenario)
    before = sky.at(0)
    assert (before["station"], before["satellite"], before["now"]) == ("Berlin", "sso-550", None)
    assert before["aos_s"] == pytest.approx(first.aos_s, abs=0.01)
    at_top = sky.at(first.tca_s)
    assert at_top["now"]["elevation_deg"] == pytest.approx(first.max_elevation_deg, abs=0.3)
    assert at_top["now"]["range_km"] == pytest.approx(min(first.ranges_km), rel=0.01)
    assert [at_top["track"][0][2], at_top["track"][-1][2]] == pytest.approx([10, 10], abs=0.1)
    assert sky.at(first.los_s + 1)["aos_s"] == pytest.approx(second.aos_s, abs=0.01)
    assert sky.at(30 * 3600) is None


def test_without_an_orbit_there_is_nothing_to_see() -> None:
    way = {"rate_bps": 9_600, "one_way_delay_ms": 5}
    table = {
        "link": {"uplink": way, "downlink": way},
        "contact": [{"start_s": 0, "end_s": 9, "station": "Berlin"}],
        "workload": {"questions": ["?"], "count": 1, "rate_per_min": 1},
    }
    assert Sky(check_scenario(table, "x")).at(1) is None
