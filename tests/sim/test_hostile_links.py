"""Links at the edge of what works: the least MTU under loss, copies and jitter, reports that need
several segments, a contact that comes too late."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from dtn.ltp.notices import LEAST_MTU_BYTES
from dtn.ltp.segment import Kind
from ground.results.summary import Run, summarise
from roundtrip.budget import Outcome
from roundtrip.scenario import Scenario

LONG = f"{random.Random(1).getrandbits(4 * 25_600):x}"
"""Packed it is half as long, which is as short as it gets."""
QUESTION = LONG[:12_800]


def hostile(mtu_bytes: int, question: str = QUESTION, **changes: Any) -> Scenario:
    """A third of all frames is lost, each way; others come twice, or late."""
    direction = {
        "rate_bps": 200_000,
        "one_way_delay_ms": 300,
        "mtu_bytes": mtu_bytes,
        "loss": 0.3,
        "jitter_ms": 400,
        "duplication": 0.1,
    }
    table: dict[str, Any] = {
        "node": {"context": 8_192},
        "link": {"uplink": direction, "downlink": direction},
        "workload": {"questions": [question], "count": 10, "rate_per_min": 2, "max_tokens": 400},
        "budget": {"loop_s": 110, "expire_s": 600},
    }
    return Scenario.model_validate(table | changes)


def test_reports_in_several_segments_of_which_some_are_lost(simulate: Callable[..., Run]) -> None:
    """As in ION-DTN issue 14, where the sender waits for ever for the one that was lost."""
    for seed in range(6):
        run = simulate(hostile(LEAST_MTU_BYTES, LONG), seed)
        assert [record.outcome for record in run.records] == [Outcome.ON_TIME] * 10, f"seed {seed}"
        reports = [fate for fate in run.fates if fate.head[0] == Kind.REPORT]
        assert sum(fate.size_bytes > LEAST_MTU_BYTES - 8 for fate in reports) > 10, "they are full"
        assert {fate.fate.value for fate in reports} >= {"delivered", "lost"}


def test_everything_goes_through_the_least_mtu(simulate: Callable[..., Run]) -> None:
    """Secured questions and answers, answers in parts, beacons with vitals, reports."""
    changes = {
        "workload": {"questions": [QUESTION], "count": 3, "rate_per_min": 1, "max_tokens": 400},
        "node": {"profile": "rpi5-8gb", "beacon_s": 5, "context": 8_192},
    }
    run = simulate(hostile(LEAST_MTU_BYTES, **changes), 1)
    assert [record.outcome for record in run.records] == [Outcome.ON_TIME] * 3
    assert run.health is not None
    assert run.health.vitals is not None
    assert max(fate.size_bytes for fate in run.fates) == LEAST_MTU_BYTES
    assert "too_long" not in {fate.fate.value for fate in run.fates}
    assert "bad bundle" not in run.rejected


def test_one_byte_less_is_refused_where_it_enters() -> None:
    with pytest.raises(ValidationError, match=f"greater than or equal to {LEAST_MTU_BYTES}"):
        hostile(LEAST_MTU_BYTES - 1)


def test_when_no_question_can_be_answered_the_run_ends_soundly(
    simulate: Callable[..., Run],
) -> None:
    """The only contact comes after every question has expired."""
    direction = {"rate_bps": 64_000, "one_way_delay_ms": 5}
    scenario = Scenario.model_validate(
        {
            "link": {"uplink": direction, "downlink": direction},
            "contact": [{"start_s": 5_000, "end_s": 5_001}],
            "workload": {"questions": ["Status?"], "count": 3, "rate_per_min": 6},
            "budget": {"loop_s": 20, "expire_s": 30},
        }
    )
    run = simulate(scenario, 1)
    assert [record.outcome for record in run.records] == [Outcome.EXPIRED] * 3
    assert [record.settled_ns - record.planned.intended_ns for record in run.records] == [
        30_000_000_000
    ] * 3
    assert run.fates == []
    summary = summarise(run)
    assert summary["objective_met"] is False
    assert summary["outcomes"]["expired"] == 3
