"""Grading by what the node showed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ground.results.record import LoopRecord, Planned, Seen
from node.board.record import ShownRecord
from roundtrip.budget import Outcome
from roundtrip.errors import BadConfig
from roundtrip.scenario_file import check_scenario
from testbed.grading import check_rules, graded, grader

FRAME, DIGEST = "SUN\nEPS.VBAT 30.0 V", b"\1\2\3\4"
RECORD = LoopRecord(
    7, Planned(0, 0, "Battery?", None, rule="value EPS.VBAT"), Outcome.ON_TIME, "", {}, 9, None,
    "estimate", 0, answer="EPS.VBAT is 30.0 V.", seen=(Seen("telemetry", 5, DIGEST, 12),),
)  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "right"), [("EPS.VBAT is 30.0 V.", True), ("EPS.VBAT is 30.1 V.", False)]
)
def test_an_answer_is_right_about_the_frame_that_was_seen(answer: str, right: bool) -> None:
    assert graded(replace(RECORD, answer=answer), {DIGEST: FRAME}).correct is right


def test_what_was_not_seen_cannot_be_graded() -> None:
    assert graded(RECORD, {}).correct is None
    assert graded(replace(RECORD, seen=()), {DIGEST: FRAME}).correct is None
    assert graded(replace(RECORD, outcome=Outcome.REFUSED), {DIGEST: FRAME}).correct is None


def test_without_a_rule_the_answer_that_is_expected_counts() -> None:
    planned = Planned(0, 0, "?", "No.")
    assert graded(replace(RECORD, planned=planned), {DIGEST: FRAME}).correct is False


def test_a_nodes_record_is_read_when_it_has_grown(tmp_path: Path) -> None:
    path = tmp_path / "shown.jsonl"
    grade = grader(path)
    assert grade(RECORD).correct is None
    ShownRecord(path).keep(DIGEST, FRAME)
    assert grade(RECORD).correct is True


def test_a_rule_that_is_none_names_its_question() -> None:
    way = {"rate_bps": 9600, "one_way_delay_ms": 5}
    asked = [{"text": "?", "rule": "value EPS.VBAT"}, {"text": "?", "rule": "value X"}]
    table: dict[str, object] = {
        "link": {"uplink": way, "downlink": way}, "workload": {"questions": asked, "count": 1},
    }  # fmt: skip
    with pytest.raises(BadConfig, match=r"workload\.questions\.1\.rule"):
        check_rules(check_scenario(table, "test"))
