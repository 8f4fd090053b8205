"""Frames that come much later than light: no storm of repeats, and every question in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ground.results.summary import Run
from roundtrip.budget import Outcome
from roundtrip.scenario import Scenario

LINKS: dict[str, tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]], int]] = {
    # uplink, downlink, outages, and the most frames a question may cost
    "jitter of 30 s": (
        {"rate_bps": 64_000, "one_way_delay_ms": 5, "jitter_ms": 30_000, "mtu_bytes": 256},
        {"rate_bps": 64_000, "one_way_delay_ms": 5, "jitter_ms": 30_000, "mtu_bytes": 512},
        [],
        100,
    ),
    "jitter of 3 s": (
        {"rate_bps": 64_000, "one_way_delay_ms": 5, "jitter_ms": 3_000, "mtu_bytes": 256},
        {"rate_bps": 64_000, "one_way_delay_ms": 5, "jitter_ms": 3_000, "mtu_bytes": 512},
        [],
        60,
    ),
    "copies and jitter": (
        {"rate_bps": 64_000, "one_way_delay_ms": 20, "jitter_ms": 10_000, "duplication": 0.3},
        {"rate_bps": 64_000, "one_way_delay_ms": 20, "jitter_ms": 10_000, "duplication": 0.3},
        [],
        60,
    ),
    "stuck for a minute": (
        {"rate_bps": 9_600, "one_way_delay_ms": 20, "loss": 0.02, "mtu_bytes": 256},
        {"rate_bps": 64_000, "one_way_delay_ms": 20, "loss": 0.02, "mtu_bytes": 512},
        [{"start_s": 10, "end_s": 70, "kind": "stuck"}],
        60,
    ),
    "silent for a minute": (
        {"rate_bps": 9_600, "one_way_delay_ms": 20, "loss": 0.02, "mtu_bytes": 256},
        {"rate_bps": 64_000, "one_way_delay_ms": 20, "loss": 0.02, "mtu_bytes": 512},
        [{"start_s": 10, "end_s": 70, "kind": "silent"}],
        20,
    ),
}


@pytest.mark.parametrize("name", LINKS)
def test_a_question_costs_few_frames_and_is_answered_in_time(
    name: str, simulate: Callable[..., Run]
) -> None:
    uplink, downlink, outages, most = LINKS[name]
    scenario = Scenario.model_validate(
        {
            "link": {"uplink": uplink, "downlink": downlink},
            "outage": outages,
            "workload": {"questions": ["Status?" * 20], "rate_per_min": 12, "count": 20},
            "node": {"beacon_s": 0},
        }
    )
    for seed in range(5):
        run = simulate(scenario, seed)
        assert [record.outcome for record in run.records] == [Outcome.ON_TIME] * 20, f"seed {seed}"
        assert len(run.fates) <= most * 20, f"seed {seed}"
