"""Time in contact is counted by the modem's cues."""

from __future__ import annotations

import pytest

from ground.contact_watch import ContactWatch


@pytest.fixture
def watch() -> ContactWatch:
    """In contact from 10 to 20, and from 50 on."""
    it = ContactWatch()
    for up, at_ns in ((False, 5), (True, 10), (False, 20), (False, 30), (True, 50)):
        it.cue(up, at_ns)
    return it


@pytest.mark.parametrize(
    ("start_ns", "end_ns", "found"),
    [(0, 0, 0), (0, 10, 0), (0, 60, 20), (12, 18, 6), (15, 55, 10), (20, 50, 0), (50, 99, 49)],
)
def test_what_lies_between_cues_is_contact(watch, start_ns: int, end_ns: int, found: int) -> None:
    assert watch.in_contact_ns(start_ns, end_ns) == found


def test_a_loss_that_goes_on_counts_up_to_the_end(watch: ContactWatch) -> None:
    assert watch.is_up
    watch.cue(False, 70)
    assert not watch.is_up
    assert watch.in_contact_ns(60, 90) == 10
    assert watch.in_contact_ns(75, 90) == 0
    assert watch.in_contact_ns(55, 65) == 10


def test_before_a_restart_nothing_is_known(watch: ContactWatch) -> None:
    assert watch.in_contact_ns(0, 60) == 20
    watch.resumed(40)
    assert watch.in_contact_ns(39, 60) is None
    assert watch.in_contact_ns(40, 60) == 10


def test_before_the_first_cue_there_is_no_contact() -> None:
    assert not ContactWatch().is_up
    assert ContactWatch().in_contact_ns(0, 9) == 0
