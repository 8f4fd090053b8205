"""Grades answers about what was seen on board, for runs whose node is on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ground.results.record import LoopRecord
from models.triage.grading import check_rule, expected_answer
from models.triage.questions import grade
from node.board.record import ShownReader
from roundtrip.errors import BadConfig
from roundtrip.scenario import Scenario


def check_rules(scenario: Scenario) -> None:
    """Whether every question's rule is one.

    Raises:
        BadConfig: one is none.
    """
    for place, question in enumerate(scenario.workload.questions):
        if question.rule:
            try:
                check_rule(question.rule)
            except ValueError as error:
                key = f"workload.questions.{place}.rule"
                raise BadConfig(scenario.name, key, str(error), question.rule[:80]) from None


def graded(record: LoopRecord, shown: Mapping[bytes, str]) -> LoopRecord:
    """The record, with whether its answer is right.

    Args:
        record: of a question that may have a rule.
        shown: texts by the first bytes of their SHA-256.
    """
    if not record.planned.rule or not record.answered or record.answer is None:
        return record
    seen = {one.what: shown[one.digest] for one in record.seen if one.digest in shown}
    expected = expected_answer(record.planned.rule, seen)
    if expected is None:
        return record
    return replace(record, graded=grade(expected, record.answer))


def grader(path: Path) -> Callable[[LoopRecord], LoopRecord]:
    """Grades by a node's record of what it showed, see `node.board.record`."""
    shown = ShownReader(path)

    def by_record(record: LoopRecord) -> LoopRecord:
        if record.planned.rule and any(one.digest not in shown.texts for one in record.seen):
            shown.update()
        return graded(record, shown.texts)

    return by_record
