from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundtrip.stages import (
    PHASES,
    STAGES,
    UNATTRIBUTED,
    USUAL,
    Stage,
    in_order,
    phases_of,
    spans_of,
)


def test_each_phase_lies_between_neighbouring_stages() -> None:
    stamps = {stage: 10 * index for index, stage in enumerate(STAGES)}
    assert phases_of(stamps) == dict.fromkeys(PHASES, 10)


def test_a_question_without_tools_is_read_from_the_start() -> None:
    stamps = {stage: 10 * index for index, stage in enumerate(USUAL)}
    assert phases_of(stamps) == {name: 10 for name in PHASES if name != "tools"}


def test_spans_follow_one_another() -> None:
    stamps = {Stage.INTENDED: 0, Stage.SUBMITTED: 4, Stage.CALLED: 50, Stage.FIRST_TOKEN: 60}
    assert spans_of(stamps) == [
        ("ground_queue", 0, 4), (UNATTRIBUTED, 4, 50), ("prefill", 50, 60)
    ]  # fmt: skip


def test_a_gap_over_several_stages_is_shown_as_unattributed() -> None:
    stamps = {Stage.INTENDED: 0, Stage.SUBMITTED: 4, Stage.ANSWERED: 100}
    assert phases_of(stamps) == {"ground_queue": 4, UNATTRIBUTED: 96}


def test_stamps_out_of_order_are_clamped_between_the_exact_ones() -> None:
    stamps = {Stage.UPLINK_STARTED: 10, Stage.DELIVERED: 5, Stage.FINISHED: 90, Stage.ANSWERED: 50}
    assert list(in_order(stamps).values()) == [10, 10, 50, 50]


@given(st.dictionaries(st.sampled_from(STAGES), st.integers(0, 10**12), min_size=1))
def test_phases_always_add_up_and_are_never_negative(stamps: dict[Stage, int]) -> None:
    ordered = in_order({stage: stamps[stage] for stage in STAGES if stage in stamps})
    values = list(ordered.values())
    if Stage.ANSWERED in ordered and values[0] > values[-1]:
        return  # the ground never stamps an answer before the question
    phases = phases_of(ordered)
    assert sum(phases.values()) == values[-1] - values[0]
    assert all(duration >= 0 for duration in phases.values())


@pytest.mark.parametrize("missing", USUAL[1:-1])
def test_one_missing_stage_merges_its_two_phases(missing: Stage) -> None:
    stamps = {s: 10 * i for i, s in enumerate(USUAL) if s is not missing}
    phases = phases_of(stamps)
    assert phases[UNATTRIBUTED] == 20
    assert sum(phases.values()) == 80
