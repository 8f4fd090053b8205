from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roundtrip.contacts import Contact, ContactPlan, LightTime, Windows

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=6)


def test_windows_are_half_open() -> None:
    windows = Windows([(10, 20)])
    assert windows.at(9) is None
    assert windows.at(10) == (10, 20)
    assert windows.at(20) is None


def test_touching_windows_become_one() -> None:
    assert Windows([(5, 9), (0, 5), (20, 20)]).spans == ((0, 9),)


def test_next_start_is_strictly_later() -> None:
    windows = Windows([(10, 20), (30, 40)])
    assert windows.next_start(9) == 10
    assert windows.next_start(10) == 30
    assert windows.next_start(30) is None


@given(SPANS, SPANS)
def test_set_algebra_agrees_with_counting_every_instant(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    a, b = Windows(first), Windows(second)
    for at in range(61):
        inside_a, inside_b = a.at(at) is not None, b.at(at) is not None
        assert (a.minus(b).at(at) is not None) == (inside_a and not inside_b)
        assert (a.intersection(b).at(at) is not None) == (inside_a and inside_b)
    assert a.overlap_ns(7, 41) == sum(a.at(at) is not None for at in range(7, 41))


def test_contact_means_both_directions() -> None:
    plan = ContactPlan(
        [
            Contact("ground", "node", 0, 100, 9600, 5),
            Contact("node", "ground", 50, 150, 9600, 5),
        ]
    )
    assert plan.both.spans == ((50, 100),)
    assert plan.last_end_ns == 150


def test_what_is_heard_was_sent_a_light_time_before() -> None:
    assert LightTime([], 30).sent_ns(100) == 70
    contacts = [Contact("", "", 0, 1000, 9600, 20, (10, 20))]
    changing = LightTime(contacts, 0)
    assert changing.sent_ns(changing.at(0)) == 0
    assert changing.least_ns == 10
