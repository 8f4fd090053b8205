"""Anyone's log of loops: what is enough, what is taken, and one line for what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ground.results.histogram import histograms, to_hlog
from ground.results.load import load_run
from ground.results.loop_log import EVENTS, KEYS, LoopLog, read_log
from ground.results.record import FORMAT, LoopRecord, to_json
from ground.results.summary import SCORED, Run, summarise, write_results
from roundtrip.budget import Budget, Outcome
from roundtrip.errors import BadInput
from roundtrip.scenario_file import check_scenario, to_toml
from roundtrip.stages import Stage
from tests.unit.ground.results.test_sentence import loop, lost
from tests.unit.ground.results.test_summary import SCENARIO

S = 1_000_000_000
BUDGET = Budget(120 * S, 600 * S, 0.95)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., LoopLog]:
    def write_and_read(*lines: str | dict[str, Any], name: str = "log.jsonl") -> LoopLog:
        path = tmp_path / name
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        path.write_bytes(text.encode())
        return read_log(path, BUDGET)

    return write_and_read


@pytest.mark.parametrize(
    ("intended", "answered"),
    [
        ({"intended_s": 5}, {"answered_s": 6.5}),
        ({"intended_ns": 5 * S}, {"answered_ns": 6_500_000_000}),
        ({"sent_s": 5}, {"answered_ns": 6_500_000_000}),
        ({"intended_s": 5, "sent_s": 6}, {"answered_s": 6.5}),
        ({"stamps_ns": {"intended": 5 * S}}, {"answered_s": 6.5}),
        ({}, {"stamps_ns": {"intended": 0, "delivered": 10, "answered": 1_500_000_000}}),
        ({"intended": "2026-06-01T09:30:05Z"}, {"answered": "2026-06-01T09:30:06.5+00:00"}),
        ({"intended_s": 5, "sent_s": None}, {"answered_s": 6.5, "reason": None}),
    ],
)
def test_two_times_are_enough_in_any_form(
    read: Callable[..., LoopLog], intended: dict[str, Any], answered: dict[str, Any]
) -> None:
    (record,) = read(intended | answered).records
    assert (record.loop_ns, record.outcome) == (1_500_000_000, Outcome.ON_TIME)
    assert record.planned.intended_ns == 0
    assert (Stage.SUBMITTED in record.stamps) == bool(
        intended.get("sent_s") and "intended_s" in intended
    )


def test_a_question_without_an_answer_counts_as_expired(read: Callable[..., LoopLog]) -> None:
    log = read(
        {"intended_s": 1},
        {"sent_s": 2, "answered_s": None, "outcome": "refused", "reason": "queue_full"},
        {"sent_s": 3, "outcome": "refused"},
    )
    assert [(r.outcome.value, r.reason) for r in log.records] == [
        ("expired", "expired"), ("refused", "queue_full"), ("refused", "refused"),
    ]  # fmt: skip
    assert histograms(log.records, BUDGET)["loop"].get_max_value() == pytest.approx(600 * S, 1e-3)


@pytest.mark.parametrize(
    ("given_as", "loop_s", "judged"),
    [
        ("late", 120.0, "on_time"),
        ("on_time", 120.1, "late"),
        ("partial", 119, "partial"),
        ("partial", 121, "late"),
    ],
)
def test_the_budget_says_what_is_in_time(
    read: Callable[..., LoopLog], given_as: str, loop_s: float, judged: str
) -> None:
    (record,) = read({"intended_s": 0, "answered_s": loop_s, "outcome": given_as}).records
    assert record.outcome.value == judged


@pytest.mark.parametrize(
    ("fields", "correct"),
    [
        ({}, None),
        ({"correct": False}, False),
        ({"correct": True}, True),
        ({"correct": True, "expected": "a", "answer": "b"}, False),
        ({"expected": "a", "answer": "a"}, True),
    ],
)
def test_right_or_wrong(
    read: Callable[..., LoopLog], tmp_path: Path, fields: dict[str, Any], correct: bool | None
) -> None:
    (record,) = read({"intended_s": 0, "answered_s": 1} | fields).records
    assert record.correct is correct
    again, _ = written(read({"intended_s": 0, "answered_s": 1} | fields), tmp_path)
    assert again.records[0].correct is correct


def test_csv_has_the_same_fields_and_an_empty_value_is_none(read: Callable[..., LoopLog]) -> None:
    log = read(
        "question_id, sent_s ,answered_s,question,stamps_ns.delivered,node_ns,mood",
        '7,1.5,3.5,"Nominal, or [not]?",2000000000,"[1, 2, 3]",good',
        "",
        '8,2.5,,"two',
        'lines",,,',
        name="LOG.CSV",
    )
    first, second = log.records
    assert first.planned.text == "Nominal, or [not]?"
    assert first.stamps[Stage.DELIVERED] == 500_000_000
    assert first.node_times is not None
    assert (first.loop_ns, second.answered) == (2 * S, False)
    assert second.planned.text == "two\nlines"
    assert log.ignored == ["mood"]


@pytest.mark.parametrize("end", ["\r\n", "\n", "\n\n", ""])
def test_bom_and_line_ends_of_others_are_taken(tmp_path: Path, end: str) -> None:
    for name, lines in (
        ("log.jsonl", ['{"sent_s": 1, "answered_s": 2}', '{"sent_s": 2}']),
        ("log.csv", ["sent_s,answered_s", "1,2", "2,"]),
    ):
        path = tmp_path / name
        path.write_bytes(b"\xef\xbb\xbf" + ((end or "\n").join(lines) + end).encode())
        assert [r.loop_ns for r in read_log(path, BUDGET).records] == [S, None]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "line 2: expected JSON"),
        ("[1]", r"line 2: expected a JSON object, found \[1\]"),
        ('{"sent_s": NaN}', "line 2: expected JSON"),
        ('{"sent_s": 1e999}', "line 2"),
        ('{"sent_s": -1}', "line 2: sent_s: expected greater than or equal to 0, found -1"),
        ('{"sent_s": 1e300}', "line 2: sent_s: expected less than"),
        ('{"sent_ns": 9223372036854775808}', "line 2: sent_ns"),
        ('{"sent_ns": 1.5}', "line 2: sent_ns: expected a valid integer"),
        ('{"sent_s": true}', "line 2: sent_s: expected a number, found True"),
        ('{"sent_s": "soon"}', "line 2: sent_s: expected a valid number"),
        ('{"answered_s": 5}', "line 2: expected when it was intended or sent .*, found neither"),
        ("{}", "line 2: expected when it was intended or sent"),
        ('{"sent_s": 5, "answered_s": 4}', "line 2: answered_s: expected a time at or after sent_"),
        ('{"sent_s": 4, "intended_s": 5}', "sent_s: expected a time at or after intended_s"),
        (
            '{"stamps_ns": {"intended": 5, "delivered": 4}}',
            r"line 2: stamps_ns\.delivered: expected a time at or after stamps_ns.intended",
        ),
        ('{"stamps_ns": {"lunch": 5}}', "line 2: stamps_ns.lunch"),
        ('{"sent_s": 4, "sent_ns": 5}', "line 2: sent: expected one time, found sent_s and sent_n"),
        ('{"sent_s": 2e8}', "line 2: expected times within 126489600 s of the first"),
        ('{"sent": 4}', "line 2: sent: expected a date of RFC 3339 with its zone"),
        ('{"sent": "2026-06-01T09:30:00"}', "line 2: sent: expected a date of RFC 3339"),
        ('{"sent": "2026-06-01"}', "line 2: sent: expected a date of RFC 3339"),
        ('{"sent": "2026-06-01T09:30:00Z"}', "line 2: expected times as numbers as in the lines"),
        ('{"sent": "2026-06-01T09:30:00Z", "answered_s": 1}', "as dates alone, or as numbers al"),
        ('{"sent_s": 3, "question_id": "a"}', "question_id: expected one of its own, .*: line 1"),
        ('{"sent_s": 3, "question_id": ""}', "line 2: question_id"),
        ('{"sent_s": 3, "outcome": "lost"}', "line 2: outcome"),
        ('{"sent_s": 3, "outcome": "late"}', "outcome: expected refused or expired for a loop wi"),
        ('{"sent_s": 3, "answered_s": 4, "outcome": "expired"}', "outcome: expected on_time, lat"),
        ('{"sent_s": 3, "answered_s": 4, "in_contact_ns": 2e9}', "in_contact_ns: expected no more"),
        ('{"sent_s": 3, "format": "groundloop-loop/2"}', "line 2: format"),
        ('{"sent_s": 3, "node_ns": [3, 2, 1]}', "line 2: node_ns: expected three times in order"),
    ],
)
def test_a_wrong_line_is_named(read: Callable[..., LoopLog], line: str, said: str) -> None:
    good = {"sent_s": 1, "answered_s": 2, "question_id": "a"}
    assert len(read(good).records) == 1
    with pytest.raises(BadInput, match=said) as caught:
        read(good, line)
    assert "log.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sent_s,sent_s\n1,2", "line 1: sent_s: expected each column once, found it twice"),
        ("sent_s,answered_s\n1", "line 2: expected 2 values as in line 1, found 1"),
        ("sent_s,answered_s\n1,nan", "line 2: answered_s"),
        ("sent_s;answered_s\n1;2", "line 2: expected when it was intended or sent"),
        ('sent_s\n"1', "line 2: expected CSV"),
        ("sent_s,answered_s\n\n1,2\n5,4", "line 4: answered_s: expected a time at or after sent_s"),
        ("sent_s,node_ns\n1,[", "line 2: node_ns: expected JSON"),
        ("sent_s,stamps_ns.x\n1,1", "line 2: stamps_ns.x"),
        ("sent_s", "log.csv: expected a loop a line, found none"),
        ("", "log.csv: expected a loop a line, found none"),
    ],
)
def test_a_wrong_row_is_named(read: Callable[..., LoopLog], text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read(text, name="log.csv")


def test_what_is_no_file_of_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for data in (b"", b"\n \r\n", '{"sent_s": 1}'.encode("utf-16"), b"\x00"):
        path.write_bytes(data)
        with pytest.raises(BadInput):
            read_log(path, BUDGET)


def test_all_that_we_write_is_of_the_format(answered: Callable[..., LoopRecord]) -> None:
    line = to_json(answered(3, expected_at_ns=5, detail="which", graded=True), "tiny")
    assert line["format"] == FORMAT
    assert not set(line) - set(KEYS)
    assert set(EVENTS) <= set(KEYS)


def written(log: LoopLog, folder: Path) -> tuple[Run, dict[str, Any]]:
    """A scored log as a run's folder, read back."""
    run = Run(SCENARIO, 1, SCORED, log.records, None, None, 0, 1.0, False, {})
    write_results(run, folder)
    (folder / "scenario.toml").write_text(to_toml(SCENARIO))
    return load_run(folder)


@st.composite
def runs(draw: Callable[..., Any]) -> list[LoopRecord]:
    """Loops as a run of ours would have recorded them."""
    records = []
    for index in range(draw(st.integers(1, 12))):
        at_ns = draw(st.integers(0, 10**13))
        if draw(st.booleans()):
            outcome = draw(st.sampled_from([Outcome.REFUSED, Outcome.EXPIRED]))
            record = lost(outcome, draw(st.sampled_from(["expired", "queue_full", "no_time"])))
            stamps = {Stage.INTENDED: at_ns}
        else:
            phases = draw(st.lists(st.integers(0, 10**5), min_size=9, max_size=9))
            record = loop(dict(zip(PHASE_NAMES, phases, strict=True)))
            assert record.loop_ns is not None
            cut = draw(st.booleans())
            changes: dict[str, Any] = {"outcome": BUDGET.judge(record.loop_ns, partial=cut)}
            if draw(st.booleans()):
                changes["in_contact_ns"] = draw(st.integers(0, record.loop_ns))
            record = loop(dict(zip(PHASE_NAMES, phases, strict=True)), **changes)
            stamps = {stage: at + at_ns for stage, at in record.stamps.items()}
        records.append(moved(record, index, stamps))
    return records


PHASE_NAMES = list(loop({}).phases_ns)


def moved(record: LoopRecord, index: int, stamps: dict[Stage, int]) -> LoopRecord:
    planned = replace(record.planned, index=index, intended_ns=stamps[Stage.INTENDED])
    settled_ns = max(stamps.values())
    return replace(record, question_id=index, planned=planned, stamps=stamps, settled_ns=settled_ns)


@settings(deadline=None)
@given(runs())
def test_scoring_a_run_of_ours_gives_its_own_figures(
    tmp_path_factory: pytest.TempPathFactory, records: list[LoopRecord]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    scenario = check_scenario(SCENARIO.model_dump(exclude_none=True, mode="json"), "x")
    run = Run(scenario, 1, "virtual", records, None, None, 0, 1.0, False, {})
    summary = write_results(run, folder)
    log = read_log(folder / "loops.jsonl", BUDGET)
    assert log.ignored == []
    scored = summarise(Run(scenario, 1, SCORED, log.records, None, None, 0, 1.0, False, {}))
    for key in (
        "sentence", "outcomes", "goodput", "objective_met", "loop_ms", "uncorrected_ms",
        "in_contact_ms", "phases_ms",
    ):  # fmt: skip
        assert scored[key] == summary[key], key
    ours = to_hlog(histograms(records, BUDGET), start_s=0, length_s=1, comment="")
    theirs = to_hlog(histograms(log.records, BUDGET), start_s=0, length_s=1, comment="")
    assert theirs == ours


@pytest.mark.parametrize(
    ("question_id", "number"),
    [
        ("0000000a0000000b", 0xA0000000B), ("f" * 16, 2**64 - 1), ("0" * 15, 0), ("0" * 17, 0),
        ("a" * 15, 0), ("a" * 17, 0), ("A" * 16, 0), ("g" * 16, 0), ("mine", 0),
    ],
)  # fmt: skip
def test_a_question_id_of_ours_is_kept_and_anothers_numbered(
    read: Callable[..., LoopLog], question_id: str, number: int
) -> None:
    (record,) = read({"intended_s": 0, "answered_s": 1, "question_id": question_id}).records
    assert record.question_id == number
