"""Settings from a peer: what they may be to the last, and how a bad value is shown."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest

from roundtrip.errors import BadMessage
from roundtrip.message import Sampling, Settings
from roundtrip.settings import decode_settings, encode_settings, ids, shown, whole


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "True"),
        (1.5, "1.5"),
        (-7, "-7"),
        ((1 << 64) - 1, "18446744073709551615"),
        (1 << 64, "int"),
        (-(1 << 64), "int"),
        pytest.param(10**5000, "int", id="huge"),
        ("x" * 100, "str"),
        ([1], "list"),
        (None, "NoneType"),
    ],
)
def test_a_bad_value_is_shown_in_few_words(value: Any, text: str) -> None:
    assert shown(value) == text


def test_an_integer_is_one_of_64_bits_or_within_its_range() -> None:
    assert [whole("x", one) for one in (0, (1 << 64) - 1)] == [0, (1 << 64) - 1]
    assert whole("x", 5, most=5) == 5
    for value, most in ((-1, 5), (6, 5), (1 << 64, (1 << 64) - 1), (True, 5), (1.0, 5)):
        with pytest.raises(BadMessage, match=f"an integer from 0 to {most}"):
            whole("x", value, most=most)


MOST = {2: 1 << 20, 3: [10.0, 1.0, 1 << 20, 1.0], 4: (1 << 32) - 1, 5: 2, 6: 1 << 20}
LEAST = {2: 0, 3: [0.0, 0.0, 0, 0.0], 4: 0, 5: 0, 6: 0}


@pytest.mark.parametrize(
    ("body", "settings"),
    [
        ({}, Settings("", "", 256, Sampling(0.7, 0.8, 20, 0.0, 0), "off", 0)),
        (
            MOST,
            Settings("", "", 1 << 20, Sampling(10, 1, 1 << 20, 1, (1 << 32) - 1), "auto", 1 << 20),
        ),
        (LEAST, Settings("", "", 0, Sampling(0, 0, 0, 0, 0), "off", 0)),
    ],
)
def test_what_is_left_out_is_as_usual_and_all_may_reach_its_bounds(
    body: dict[int, Any], settings: Settings
) -> None:
    assert decode_settings(cbor2.dumps(body)) == settings
    assert decode_settings(encode_settings(settings, ())) == settings


@pytest.mark.parametrize(
    "change",
    [
        {2: (1 << 20) + 1}, {4: 1 << 32}, {5: 3}, {6: (1 << 20) + 1}, {8: 0}, {-1: 0},
        {3: [10.01, 1, 1, 1]}, {3: [1, 1.01, 1, 1]}, {3: [1, 1, (1 << 20) + 1, 1]},
        {3: [1, 1, 1, 1.01]}, {3: [1, 1, 1]}, {3: [1, 1, 1, 1, 1]},
    ],
)  # fmt: skip
def test_none_may_pass_them(change: dict[int, Any]) -> None:
    with pytest.raises(BadMessage):
        decode_settings(cbor2.dumps(MOST | change))


def test_ways_to_unpack_are_sixteen_numbers_of_a_byte_at_most() -> None:
    assert ids("x", []) == ()
    assert ids("x", [0, 255]) == (0, 255)
    assert len(ids("x", [1] * 16)) == 16
    for value in ([256], [-1], [1] * 17, (1,), "1", None):
        with pytest.raises(BadMessage, match="texts"):
            ids("x", value)
