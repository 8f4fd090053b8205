"""In which pass an upload will be whole."""

from __future__ import annotations

import pytest

from ground.bulk.forecast import SHARE, Forecast, forecast
from roundtrip.contacts import FOREVER_NS, Windows
from roundtrip.units import NS_PER_S

PASSES = Windows([(100 * NS_PER_S, 200 * NS_PER_S), (300 * NS_PER_S, 400 * NS_PER_S)])
RATE = 8_000
A_SECOND = round(RATE / 8 * SHARE)


@pytest.mark.parametrize(
    ("left_s", "now_s", "expected"),
    [
        (10, 0, Forecast(1, 110 * NS_PER_S)),
        (10, 150, Forecast(1, 160 * NS_PER_S)),
        (60, 150, Forecast(2, 310 * NS_PER_S)),
        (100, 100, Forecast(1, 200 * NS_PER_S)),
        (150, 210, Forecast(1, None)),
        (1000, 0, Forecast(2, None)),
    ],
)
def test_passes_are_counted_from_the_present_one(
    left_s: int, now_s: int, expected: Forecast
) -> None:
    found = forecast(PASSES, left_s * A_SECOND, RATE, now_ns=now_s * NS_PER_S)
    assert found == expected


def test_a_link_that_is_always_open_is_one_pass() -> None:
    found = forecast(Windows([(0, FOREVER_NS)]), A_SECOND, RATE, now_ns=0)
    assert found == Forecast(1, NS_PER_S)
