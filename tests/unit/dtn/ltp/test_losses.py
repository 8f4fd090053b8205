"""What share of frames is lost, and when one is worth sending twice."""

from __future__ import annotations

import random

import pytest

from dtn.ltp import losses
from dtn.ltp.losses import LEAST, SUPPOSED, Losses

MS = 1_000_000


def after(told: list[tuple[int, int, bool]]) -> Losses:
    found = Losses()
    for frames, lost, twice in told:
        found.told(frames, lost, twice=twice)
    return found


def test_to_begin_with_some_are_supposed_to_be_lost() -> None:
    assert Losses().share == pytest.approx(SUPPOSED)


def test_a_link_that_loses_nothing_is_soon_believed() -> None:
    assert after([(1, 0, False)] * 40).share > LEAST
    assert after([(1, 0, False)] * 60).share < LEAST
    assert not after([(1, 0, False)] * 60).worth_twice(1, 10**12, None), "however cheap"


def test_at_the_least_share_frames_are_still_sent_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = after([(1, 1, False), (9, 0, False)])
    monkeypatch.setattr(losses, "LEAST", seen.share)
    assert seen.worth_twice(1, 10**12, None)


def test_that_one_of_two_arrived_says_little() -> None:
    assert after([(1, 0, True)] * 44).share > after([(1, 0, False)] * 10).share


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
def test_the_share_follows_what_is_lost(share: float) -> None:
    rng = random.Random(1)
    told = [(1, int(rng.random() < share), False) for _ in range(4000)]
    assert after(told).share == pytest.approx(share, rel=0.5)
    pairs = [(1, int(rng.random() < share**2), True) for _ in range(4000)]
    assert after(pairs).share > LEAST, "where pairs are seen it is still worth to send pairs"


def test_it_forgets() -> None:
    assert after([(10, 10, False)] + [(100, 0, False)] * 20).share < LEAST
    assert after([(100, 0, False)] * 20 + [(10, 10, False)]).share > 0.03
    assert after([(1000, 0, False), (1, 1, False)]).share > 0.0038, "no more than it remembers"


@pytest.mark.parametrize(
    ("frame_ms", "repair_ms", "left_ms", "worth"),
    [
        (10, 600, None, True),
        (13, 600, None, False),
        (10, 400, None, False),
        (100, 600, 1300, False),
        (100, 600, 1199, True),
    ],
)
def test_a_frame_is_worth_it_by_rate_light_time_and_what_is_left(
    frame_ms: int, repair_ms: int, left_ms: int | None, worth: bool
) -> None:
    """2 % are lost."""
    left_ns = None if left_ms is None else left_ms * MS
    assert Losses().worth_twice(frame_ms * MS, repair_ms * MS, left_ns) is worth
