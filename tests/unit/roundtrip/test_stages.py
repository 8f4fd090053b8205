from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundtrip.stages import PHASES, STAGES, UNATTRIBUTED, Stage, in_order, phases_of


def test_each_phase_lies_between_neighbouring_stages() -> None:
    stamps = {stage: 10 * index for index, stage in enumerate(STAGES)}
    assert phases_of(stamps) == dict.fromkeys(PHASES, 10)


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


@pytest.mark.parametrize("missing", STAGES[1:-1])
def test_one_missing_stage_merges_its_two_phases(missing: Stage) -> None:
    stamps = {s: 10 * i for i, s in enumerate(STAGES) if s is not missing}
    phases = phases_of(stamps)
    assert phases[UNATTRIBUTED] == 20
    assert sum(phases.values()) == 80
