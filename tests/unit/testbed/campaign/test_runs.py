"""What a batch of a campaign comes to, and what its points come to together."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ground.results.histogram import new_histogram
from ground.results.record import LoopRecord, Planned
from node.service_time import Profile, load_profile
from roundtrip.budget import Outcome
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import check_scenario
from roundtrip.stages import Stage
from roundtrip.units import NS_PER_MS
from testbed.campaign.runs import (
    Batch,
    batches_of,
    quantile_ms,
    run_batch,
    summarise_campaign,
)
from testbed.campaign.sweep import Point, points_of

EXPIRE_MS = 9_000
WAY = {"rate_bps": 8_000, "one_way_delay_ms": 20}


@pytest.fixture
def scenario() -> Scenario:
    table = {
        "link": {"uplink": WAY, "downlink": WAY},
        "workload": {"questions": ["?"], "count": 4},
        "budget": {"loop_s": 5, "expire_s": EXPIRE_MS / 1000, "objective": 0.6},
        "seed": 10,
    }
    return check_scenario(table, "test")


@pytest.fixture
def profile(scenario: Scenario) -> Profile:
    return load_profile(scenario.node.profile)


def record(index: int, outcome: Outcome, loop_ms: int | None) -> LoopRecord:
    """A loop that begins at 0."""
    stamps = {Stage.INTENDED: 0, Stage.SUBMITTED: NS_PER_MS}
    if loop_ms is not None:
        stamps[Stage.ANSWERED] = loop_ms * NS_PER_MS
    planned = Planned(index, 0, "?", None)
    return LoopRecord(index, planned, outcome, "", stamps, 0, None, "estimate", 0)


RECORDS = (
    record(0, Outcome.ON_TIME, 1_000),
    record(1, Outcome.LATE, 6_000),
    record(2, Outcome.REFUSED, 50),
    record(3, Outcome.EXPIRED, None),
)


@pytest.fixture
def seeds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every run ends as RECORDS say; the seeds of those that ran."""
    seen: list[int] = []

    class World:
        records: Sequence[LoopRecord] = RECORDS

        def __init__(
            self, scenario: Scenario, seed: int, profile: Profile, engine: object = None
        ) -> None:
            assert engine is None
            seen.append(seed)

        def run(self) -> World:
            return self

    monkeypatch.setattr("testbed.campaign.runs.World", World)
    return seen


def test_a_question_without_an_answer_counts_as_the_time_of_giving_up(
    scenario: Scenario, profile: Profile, seeds: list[int]
) -> None:
    line = run_batch(scenario, profile, Batch(0, 5, 3), "")
    assert seeds == [15, 16, 17]
    assert (line["point"], line["first"], line["count"]) == (0, 5, 3)
    assert line["outcomes"] == {"on_time": 3, "late": 3, "partial": 0, "refused": 3, "expired": 3}
    assert line["good"] == [1, 1, 1]
    assert line["answered"] == 6
    assert line["phases_ns"] == {
        "ground_queue": 6 * NS_PER_MS, "unattributed": 3 * 6_998 * NS_PER_MS,
    }  # fmt: skip
    expected = new_histogram()
    for loop_ms in 3 * [1_000, 6_000, EXPIRE_MS, EXPIRE_MS]:
        expected.record_value(loop_ms * NS_PER_MS)
    assert line["loop"] == expected.encode().decode()


def test_an_answer_cut_by_its_deadline_is_good_too(
    scenario: Scenario, profile: Profile, seeds: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = record(2, Outcome.PARTIAL, 4_000)
    monkeypatch.setattr("testbed.campaign.runs.World.records", [RECORDS[0], part])
    assert run_batch(scenario, profile, Batch(0, 0, 1), "")["good"] == [2]


def test_the_batches_of_a_point_hold_each_run_once(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("testbed.campaign.runs.BATCH_QUESTIONS", 12)
    assert batches_of([Point((), scenario)] * 2, 7) == [
        Batch(0, 0, 3), Batch(0, 3, 3), Batch(0, 6, 1),
        Batch(1, 0, 3), Batch(1, 3, 3), Batch(1, 6, 1),
    ]  # fmt: skip
    monkeypatch.setattr("testbed.campaign.runs.BATCH_QUESTIONS", 3)
    assert batches_of([Point((), scenario)], 2) == [Batch(0, 0, 1), Batch(0, 1, 1)]


def test_a_summary_is_over_all_batches_of_each_point(
    scenario: Scenario, profile: Profile, seeds: list[int]
) -> None:
    points = points_of(scenario, ("link.uplink.loss=0,0.5",))
    batches = [Batch(1, 0, 2), Batch(0, 0, 1), Batch(1, 2, 3)]
    lines = [run_batch(points[b.point].scenario, profile, b, "") for b in batches]
    summary, histograms = summarise_campaign(points, lines)
    assert (summary["scenario"], summary["seed"]) == (scenario.name, 10)
    first, second = summary["points"]
    assert (first["point"], first["settings"]) == ("link.uplink.loss=0", {"link.uplink.loss": 0})
    assert (first["runs"], first["questions"]) == (1, 4)
    assert (second["runs"], second["questions"]) == (5, 20)
    assert histograms[second["point"]].total_count == 20
    assert second["outcomes"]["late"] == 5
    assert (second["goodput"], second["budget_s"], second["objective"]) == (0.25, 5, 0.6)
    assert second["goodput_95"][0] < 0.25 < second["goodput_95"][1]
    assert second["phase_means_ms"] == {"ground_queue": 1, "unattributed": 3_499}
    assert second["loop_ms"]["p50"][0] == pytest.approx(6_000, rel=1e-3)
    assert not second["objective_met"]


@pytest.mark.parametrize(("objective", "met"), [(0.25, True), (0.2501, False)])
def test_an_objective_is_met_where_it_is_reached(
    scenario: Scenario, profile: Profile, seeds: list[int], objective: float, met: bool
) -> None:
    points = points_of(scenario, (f"budget.objective={objective}",))
    lines = [run_batch(points[0].scenario, profile, Batch(0, 0, 1), "")]
    assert summarise_campaign(points, lines)[0]["points"][0]["objective_met"] is met


def test_a_quantile_has_the_bounds_that_its_ranks_reach() -> None:
    histogram = new_histogram()
    for value_ms in range(1, 101):
        histogram.record_value(value_ms * NS_PER_MS)
    middle, low, high = quantile_ms(histogram, 50)
    assert [middle, low, high] == pytest.approx([50, 40, 61], rel=2e-3)
    assert quantile_ms(histogram, 99)[2] is None
