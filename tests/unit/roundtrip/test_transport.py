"""How the agent is set up by a cue, and the words for what was not taken."""

from __future__ import annotations

import pytest

from roundtrip.modem import Carrier, Side
from roundtrip.transport import agent_config, clocks_differ, with_remedy


@pytest.mark.parametrize(("told", "epoch_ms"), [(0, None), (1, 1), (10**13, 10**13)])
@pytest.mark.parametrize("shared", [False, True])
def test_the_date_is_the_cues_and_0_is_none(told: int, epoch_ms: int | None, shared: bool) -> None:
    cue = Carrier(1, True, True, 10, 10, 0, 1400, 0, 0, "", told)
    config = agent_config(Side.NODE, cue, max_bundles=1, shared_clock=shared)
    assert (config.dtn_epoch_ms, config.shared_clock) == (epoch_ms, shared)


def test_what_is_dropped_has_a_remedy_where_something_is_wrong() -> None:
    assert "--untrusted-clock" in with_remedy("expired by our clock")
    assert "clock" in with_remedy("no age")
    assert "keys show" in with_remedy("security: no key")
    assert with_remedy("expired") == "expired", "its time was over; nothing is wrong"


def test_a_clock_that_differs_in_words() -> None:
    day_ms = 86_400_000
    assert clocks_differ(Side.NODE, -364 * day_ms) == (
        "the node's clock is 364 days behind this machine's"
    )
    assert clocks_differ(Side.GROUND, 6000) == "the ground's clock is 6 s ahead of this machine's"
