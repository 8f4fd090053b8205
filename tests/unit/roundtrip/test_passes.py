"""How passes become contacts."""

from __future__ import annotations

import pytest

from roundtrip.config import SatelliteConfig
from roundtrip.orbit import Pass
from roundtrip.passes import LEAST_CONTACT_S, handed_over, satrec_of


def a_pass(aos_s: float, los_s: float, station: str = "Berlin") -> Pass:
    middle_s = (aos_s + los_s) / 2
    return Pass("it", station, aos_s, middle_s, los_s, 40.0, (900.0, 600.0, 900.0), False)


def spans(*found: Pass) -> list[tuple[float, float, str]]:
    return [(one.start_s, one.end_s, one.station) for one in handed_over(found)]


def test_a_station_keeps_the_satellite_until_los() -> None:
    assert spans(a_pass(10, 100), a_pass(50, 130, "Prague"), a_pass(140, 150)) == [
        (10, 100, "Berlin"),
        (100, 130, "Prague"),
        (140, 150, "Berlin"),
    ]


def test_a_pass_that_is_cut_has_the_ranges_of_what_is_left() -> None:
    whole, rest = handed_over([a_pass(0, 75), a_pass(50, 100)])
    assert whole.ranges_km == (900.0, 600.0, 900.0), "as they were found"
    assert rest.ranges_km == (600.0, 660.0, 720.0, 780.0, 840.0, 900.0), "one each 5 s"


@pytest.mark.parametrize(
    ("left_s", "is_one"), [(-20, False), (0, False), (LEAST_CONTACT_S, False), (1.5, True)]
)
def test_what_is_left_of_a_pass_may_be_too_short(left_s: float, is_one: bool) -> None:
    found = spans(a_pass(10, 100), a_pass(50, 100 + left_s, "Prague"), a_pass(110, 200))
    assert ((100, 100 + left_s, "Prague") in found) is is_one
    assert len(found) == 2 + is_one, "and the next one is not held up by it"


@pytest.mark.parametrize(("lasts_s", "is_one"), [(LEAST_CONTACT_S, False), (1.001, True)])
def test_a_pass_may_be_too_short_by_itself(lasts_s: float, is_one: bool) -> None:
    assert len(spans(a_pass(10, 10 + lasts_s))) == is_one


def test_a_satellite_has_the_number_one_unless_it_is_told_another() -> None:
    config = SatelliteConfig(name="it", altitude_km=550, inclination_deg=51.6)
    assert satrec_of(config, 2_461_000.5, "a test").satnum == 1
    assert satrec_of(config, 2_461_000.5, "a test", 7).satnum == 7
