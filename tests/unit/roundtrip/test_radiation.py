"""What a scenario may say of upsets."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from roundtrip.radiation import PRESETS, RadiationConfig


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        ({}, 0.0),
        ({"environment": "leo"}, PRESETS["leo"]),
        ({"environment": "saa", "times": 1000}, 1000 * PRESETS["saa"]),
        ({"flips_per_bit_day": 0.25, "times": 2}, 0.5),
        ({"flips_per_bit_day": 0.0}, 0.0),
    ],
)
def test_the_rate_is_a_presets_or_ones_own(given: dict[str, object], rate: float) -> None:
    assert RadiationConfig.model_validate(given).rate == pytest.approx(rate)


@pytest.mark.parametrize(
    "given",
    [
        {"environment": "leo", "flips_per_bit_day": 0.1},
        {"environment": "mars"},
        {"flips_per_bit_day": 1.1},
        {"flips_per_bit_day": -0.1},
        {"times": -1},
        {"environment": "saa", "times": 1e6},
        {"times": float("inf")},
        {"probe_s": 0},
        {"seed": 2**63},
        {"more": 1},
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RadiationConfig.model_validate(given)
