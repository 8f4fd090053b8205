"""A loop as a line of `loops.jsonl`, there and back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dtn.ltp.segment import SessionId
from ground.results.record import LoopRecord, NodeTimes, Planned, from_json, to_json
from roundtrip.budget import Outcome
from roundtrip.stages import Stage
from roundtrip.units import NS_PER_MS


@pytest.fixture
def whole(answered) -> LoopRecord:
    """One that leaves nothing at its default."""
    record = answered(3)
    return replace(
        record,
        question_id=0xABC,
        planned=replace(record.planned, expected="Yes."),
        reason="why",
        detail="which",
        settled_ns=record.settled_ns + 5,
        split="frame_log",
        spent_mj=17,
        exposed=True,
        model="qwen3 Q4_K_M",
        node_times=NodeTimes(4 * NS_PER_MS, 9 * NS_PER_MS, 15 * NS_PER_MS, 123),
        uplink_sessions=(SessionId(1, 5), SessionId(1, 6)),
    )


def test_all_that_is_known_of_a_loop_reads_back(whole: LoopRecord) -> None:
    assert from_json(json.loads(json.dumps(to_json(whole, "tiny"))), "test") == whole


def test_when_the_last_tool_answered_reads_back(answered) -> None:
    record = answered(3)
    times = NodeTimes(4 * NS_PER_MS, 9 * NS_PER_MS, 15 * NS_PER_MS, 123, 8 * NS_PER_MS)
    assert times.prefill_ns == NS_PER_MS
    stamps = dict(record.stamps) | {Stage.CALLED: record.stamps[Stage.FIRST_TOKEN]}
    record = replace(record, node_times=times, stamps=stamps)
    line = json.loads(json.dumps(to_json(record, "tiny")))
    assert line["node_called_ns"] == 8 * NS_PER_MS
    assert line["phases_ns"]["tools"] > 0
    assert from_json(line, "test") == record


def test_a_line_has_these_names(whole: LoopRecord) -> None:
    stamps = {stage.value: at_ns for stage, at_ns in whole.stamps.items()}
    assert to_json(whole, "tiny") == {
        "format": "groundloop-loop/1",
        "question_id": "0000000000000abc",
        "index": 3,
        "question": "Question 3?",
        "expected": "Yes.",
        "outcome": "on_time",
        "reason": "why",
        "detail": "which",
        "answer": "Yes.",
        "exposed": True,
        "correct": True,
        "loop_ns": 36 * NS_PER_MS,
        "in_contact_ns": 36 * NS_PER_MS,
        "stamps_ns": stamps,
        "phases_ns": whole.phases_ns,
        "settled_ns": whole.settled_ns,
        "split": "frame_log",
        "split_uncertainty_ns": 5,
        "uplink_sessions": [[1, 5], [1, 6]],
        "downlink_session": [2, 203],
        "node_ns": [4 * NS_PER_MS, 9 * NS_PER_MS, 15 * NS_PER_MS],
        "node_delivered_us": 123,
        "node_rss_peak_bytes": 70_000_000,
        "node_spent_mj": 17,
        "gen_ai.request.model": "tiny",
        "gen_ai.response.model": "qwen3 Q4_K_M",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 6,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.server.time_to_first_token": 0.005,
        "gen_ai.server.request.duration": 0.011,
    }


@pytest.mark.parametrize("outcome", [Outcome.EXPIRED, Outcome.REFUSED])
def test_of_a_loop_without_an_answer_nothing_is_made_up(expired, outcome: Outcome) -> None:
    bare = expired(1, outcome)
    line = to_json(bare, "tiny")
    assert not {"expected", "answer", "detail", "correct", "node_ns"} & set(line)
    assert (line["loop_ns"], line["downlink_session"]) == (None, None)
    assert from_json(line, "test") == bare
    told = replace(bare, node_times=NodeTimes(7, 7, 7, 9), detail="which", answer="Y")
    line = to_json(told, "tiny")
    assert not [key for key in line if key.startswith("gen_ai")]
    assert from_json(line, "test") == told


@pytest.mark.parametrize(
    ("outcome", "expected", "correct"),
    [
        (Outcome.ON_TIME, "Yes.", True),
        (Outcome.PARTIAL, "No.", False),
        (Outcome.LATE, "Yes.", True),
        (Outcome.ON_TIME, None, None),
        (Outcome.REFUSED, "Yes.", None),
        (Outcome.EXPIRED, "Yes.", None),
    ],
)
def test_an_answer_is_right_where_it_can_be_said(
    answered, outcome: Outcome, expected: str | None, correct: bool | None
) -> None:
    record = answered(0, outcome=outcome, planned=Planned(0, 0, "?", expected))
    assert record.correct is correct


def test_a_loop_lasts_from_when_it_was_meant_to_begin_to_its_answer(answered, expired) -> None:
    late = answered(2)
    late = replace(late, stamps={**late.stamps, Stage.ANSWERED: 5 * 10**9})
    assert (late.loop_ns, expired(2).loop_ns) == (3 * 10**9, None)


def test_why_there_is_no_answer_is_said_with_what_is_known_besides(expired) -> None:
    assert expired(0).why == "expired"
    assert replace(expired(0), reason="too_long", detail="9 tokens").why == "too_long: 9 tokens"


def test_a_title_is_the_last_line_of_a_question() -> None:
    assert Planned(0, 0, "a\nb\nThe question? \n", None).title == "The question?"
    assert Planned(0, 0, "The question?", None).title == "The question?"
