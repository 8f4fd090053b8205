"""When an answer can be expected: by the plan, and by what the answers before took."""

from __future__ import annotations

import pytest

from ground.expectation import HEAD_BYTES, SUPPOSED_BYTES, SUPPOSED_NS, Expectation
from ground.results.record import NodeTimes
from roundtrip.contacts import Contact, ContactPlan
from roundtrip.units import NS_PER_S

S = NS_PER_S
LIGHT_NS = S // 10
RATE = 8_000
"""1,000 bytes a second."""


def plan(*windows: tuple[float, float]) -> ContactPlan:
    return ContactPlan(
        [
            Contact(source, dest, int(start * S), int(end * S), RATE, LIGHT_NS)
            for start, end in windows
            for source, dest in (("ground", "node"), ("node", "ground"))
        ]
    )


def air_ns(size: int) -> int:
    return size * S // 1000


FIRST_NS = air_ns(100 + HEAD_BYTES) + LIGHT_NS + SUPPOSED_NS + air_ns(SUPPOSED_BYTES) + LIGHT_NS
"""Of a question of 100 bytes when nothing is known."""


@pytest.mark.parametrize(
    ("windows", "now_s", "expected_ns"),
    [
        ([(0, 100)], 0, FIRST_NS),
        ([(0, 100)], 7, 7 * S + FIRST_NS),
        ([(50, 100)], 7, 50 * S + FIRST_NS),
        ([(0, 10), (50, 100)], 9.9, 50 * S + FIRST_NS),
        ([(0, 10), (50, 100)], 9.5, 50 * S + air_ns(SUPPOSED_BYTES) + LIGHT_NS),
        ([(0, 10)], 9.5, None),
        ([(0, 10)], 10, None),
        ([], 0, None),
    ],
)
def test_a_question_waits_for_its_contacts(
    windows: list[tuple[float, float]], now_s: float, expected_ns: int | None
) -> None:
    found = Expectation(plan(*windows)).of(100, 0, now_ns=int(now_s * S))
    assert found == expected_ns


def test_those_ahead_go_first() -> None:
    expectation = Expectation(plan((0, 100)))
    waits_ns = air_ns(3 * (100 + HEAD_BYTES))
    assert expectation.of(100, 3, now_ns=0) == FIRST_NS + waits_ns


def test_it_learns_what_the_node_takes() -> None:
    expectation = Expectation(plan((0, 1000)))
    for took_s, size in ((3, 500), (1, 100), (2, 300)):
        expectation.answered(NodeTimes(0, 0, took_s * S), size)
    known_ns = air_ns(100 + HEAD_BYTES) + 2 * LIGHT_NS + 2 * S + air_ns(300)
    assert expectation.of(100, 0, now_ns=0) == known_ns, "the medians"
    for _ in range(40):
        expectation.answered(NodeTimes(0, 0, 5 * S), 300)
    assert expectation.of(100, 0, now_ns=0) == known_ns + 3 * S, "what was long ago is forgotten"
