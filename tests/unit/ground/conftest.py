from __future__ import annotations

from collections.abc import Callable

import pytest

from dtn.ltp.segment import SessionId
from ground.results.record import LoopRecord, NodeTimes, Planned
from roundtrip.budget import Outcome
from roundtrip.stages import USUAL, Stage
from roundtrip.units import NS_PER_MS


@pytest.fixture
def answered() -> Callable[..., LoopRecord]:
    """An answered loop whose eight phases take 1, 2, ... 8 ms times `scale`."""

    def make(index: int = 0, scale: int = 1, **changes: object) -> LoopRecord:
        at, stamps = 1_000_000_000 * index, {}
        for step, stage in enumerate(USUAL):
            at += step * scale * NS_PER_MS
            stamps[stage] = at
        fields: dict[str, object] = {
            "question_id": index,
            "planned": Planned(index, stamps[Stage.INTENDED], f"Question {index}?", None),
            "outcome": Outcome.ON_TIME,
            "reason": "",
            "stamps": stamps,
            "settled_ns": at,
            "in_contact_ns": 36 * scale * NS_PER_MS,
            "split": "estimate",
            "uncertainty_ns": 5,
            "answer": "Yes.",
            "finish_reason": "stop",
            "prompt_tokens": 10,
            "output_tokens": 6,
            "node_times": NodeTimes(4 * NS_PER_MS, 9 * NS_PER_MS, 15 * NS_PER_MS),
            "node_rss_peak_bytes": 70_000_000,
            "uplink_sessions": (SessionId(1, 100 + index),),
            "downlink_session": SessionId(2, 200 + index),
        }
        return LoopRecord(**(fields | changes))

    return make


@pytest.fixture
def expired() -> Callable[..., LoopRecord]:
    """A loop without an answer."""

    def make(index: int = 0, outcome: Outcome = Outcome.EXPIRED) -> LoopRecord:
        intended = 1_000_000_000 * index
        return LoopRecord(
            index,
            Planned(index, intended, "?", None),
            outcome,
            "expired",
            {Stage.INTENDED: intended, Stage.SUBMITTED: intended + NS_PER_MS},
            intended + 600_000_000_000,
            None,
            "estimate",
            0,
        )

    return make
