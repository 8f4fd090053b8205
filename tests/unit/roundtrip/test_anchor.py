"""A plan's clock after a restart, with a wall clock that shows anything."""

from __future__ import annotations

import pytest

from roundtrip.anchor import Anchor, Reading
from roundtrip.units import NS_PER_MS, NS_PER_S
from roundtrip.words import long_duration

EPOCH_MS = 800_000_000_000
HOUR_MS = 3_600_000
ANCHOR = Anchor("boot 1", 50 * NS_PER_S, EPOCH_MS)
"""The plan's zero."""


def at(seconds: int, *, host: str = "boot 1", wrong_ms: int = 0) -> Reading:
    """The clocks so many seconds after the plan's zero."""
    monotonic_ns = (50 if host == "boot 1" else 1) * NS_PER_S + seconds * NS_PER_S
    return Reading(host, monotonic_ns, EPOCH_MS + seconds * 1000 + wrong_ms)


@pytest.mark.parametrize("by_date", [False, True])
@pytest.mark.parametrize(
    ("wrong_ms", "note"),
    [
        (0, ""),
        (4_999, ""),
        (-4_999, ""),
        (HOUR_MS, "set forward by 60 min"),
        (-48 * HOUR_MS, "set back by 2 days"),
        (-900_000_000_000, "set back by"),
    ],
)
def test_on_the_same_boot_no_step_of_the_wall_clock_matters(
    wrong_ms: int, note: str, by_date: bool
) -> None:
    resumed = ANCHOR.resumed(at(100, wrong_ms=wrong_ms), last_ns=90 * NS_PER_S, by_date=by_date)
    assert resumed.elapsed_ns == 100 * NS_PER_S
    assert note in resumed.note
    assert bool(note) == bool(resumed.note)


def test_an_unknown_date_is_no_step() -> None:
    anchor = Anchor("boot 1", 50 * NS_PER_S, 0)
    resumed = anchor.resumed(at(100), last_ns=0, by_date=True)
    assert (resumed.elapsed_ns, resumed.note) == (100 * NS_PER_S, "")


def test_after_a_reboot_the_date_tells_where_it_may_and_can() -> None:
    after, last_ns = at(600, host="boot 2"), 90 * NS_PER_S
    by_date = ANCHOR.resumed(after, last_ns=last_ns, by_date=True)
    assert by_date.elapsed_ns == 600 * NS_PER_S
    assert "last seen 8 min ago" in by_date.note
    left_out = ANCHOR.resumed(after, last_ns=last_ns, by_date=False)
    assert left_out.elapsed_ns == last_ns
    assert "goes on where it was last seen" in left_out.note


@pytest.mark.parametrize(
    ("anchor", "now"),
    [
        (ANCHOR, at(600, host="boot 2", wrong_ms=-HOUR_MS)),
        (ANCHOR, at(89, host="boot 2")),
        (Anchor("boot 1", 0, 0), at(600, host="boot 2")),
        (Anchor("", 50 * NS_PER_S, 0), at(600, host="")),
        (ANCHOR, Reading("boot 1", 0, EPOCH_MS)),
    ],
    ids=["set back", "just before", "no date", "no boot id", "another CLOCK_MONOTONIC"],
)
def test_the_plan_never_goes_back_behind_what_has_happened(anchor: Anchor, now: Reading) -> None:
    assert anchor.resumed(now, last_ns=90 * NS_PER_S, by_date=True).elapsed_ns == 90 * NS_PER_S


def test_a_date_before_2000_is_not_known() -> None:
    assert Reading("", 0, -1).epoch_ms(0) == 0
    assert Reading("", 0, 5000).epoch_ms(6000 * NS_PER_MS) == 0
    assert Reading("", 0, 5000).epoch_ms(2000 * NS_PER_MS) == 3000


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (0, "0 s"), (119_400, "119 s"), (120_000, "2 min"), (7_140_000, "119 min"),
        (7_200_000, "2 hours"), (172_800_000, "2 days"), (364 * 86_400_000 - 1, "364 days"),
    ],
)  # fmt: skip
def test_durations_as_people_say_them(duration_ms: int, text: str) -> None:
    assert long_duration(duration_ms) == text
