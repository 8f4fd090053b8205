from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from ground.results.record import from_json, to_json
from ground.results.report import duration_text, write_report
from ground.results.summary import Run, summarise, write_results
from roundtrip.budget import Outcome
from roundtrip.config import OutageConfig
from roundtrip.errors import BadInput
from roundtrip.message import Health
from roundtrip.scenario_file import check_scenario

SCENARIO = check_scenario(
    {
        "name": "test",
        "description": "<script>alert(1)</script>",
        "link": {
            "uplink": {"rate_bps": 8_000, "one_way_delay_ms": 20},
            "downlink": {"rate_bps": 16_000, "one_way_delay_ms": 30},
        },
        "workload": {"questions": ["?"], "count": 3},
    },
    "test",
)


def make_run(records, **changes) -> Run:
    fields = {
        "scenario": SCENARIO,
        "seed": 1,
        "mode": "live",
        "records": records,
        "health": Health("tiny", "Q8_0", 512, 2, 0),
        "fates": [],
        "started_unix_s": 1_000_000_000,
        "length_s": 60.0,
        "interrupted": False,
        "rejected": {},
    }
    return Run(**(fields | changes))


def test_goodput_is_over_all_questions_asked(answered, expired) -> None:
    late = answered(2, outcome=Outcome.LATE)
    partial = answered(3, outcome=Outcome.PARTIAL)
    summary = summarise(make_run([answered(0), expired(1), late, partial]))
    assert summary["outcomes"] == {
        "on_time": 1, "late": 1, "partial": 1, "refused": 0, "expired": 1,
    }  # fmt: skip
    assert summary["goodput"] == 0.5
    assert not summary["objective_met"]
    assert summary["expired"] == {"expired": 1}
    assert summary["loop_ms"]["max"] == 600_000
    assert summary["phases_ms"]["prefill"]["p50"] == 5.0
    assert summary["node"]["prefill_tok_s"] == pytest.approx(10 / 0.005)
    assert summary["node"]["decode_tok_s"] == pytest.approx(6 / 0.006)


def test_a_wrong_answer_is_no_goodput(answered) -> None:
    from dataclasses import replace

    right = answered(0)
    right = replace(right, planned=replace(right.planned, expected="Yes."))
    wrong = replace(right, answer="No.")
    summary = summarise(make_run([right, wrong]))
    assert (summary["graded"], summary["right"], summary["goodput"]) == (2, 1, 0.5)


def test_summary_has_the_keys_that_readers_rely_on(answered) -> None:
    summary = summarise(make_run([answered(0)]))
    assert set(summary) >= {
        "schema_version", "scenario", "mode", "seed", "commit", "questions", "outcomes", "goodput",
        "loop_ms", "uncorrected_ms", "in_contact_ms", "phases_ms", "budget_s", "objective",
        "objective_met", "node", "link",
    }  # fmt: skip
    assert set(summary["loop_ms"]) == {"p50", "p90", "p99", "max"}
    node = {"model", "quant", "prefill_tok_s", "decode_tok_s", "rss_peak_mb"}
    assert set(summary["node"]) >= node
    assert set(summary["link"]["uplink"]) == {"frames", "bytes", "dropped"}


def test_a_loop_reads_back_from_its_line(answered, expired) -> None:
    for record in (answered(1), expired(2)):
        line = json.loads(json.dumps(to_json(record, "tiny")))
        again = from_json(line, "test")
        assert again.stamps == record.stamps
        assert again.phases_ns == record.phases_ns
        assert (again.outcome, again.answer, again.node_times) == (
            record.outcome,
            record.answer,
            record.node_times,
        )


def test_a_line_that_is_none_of_ours_is_refused(answered) -> None:
    line = to_json(answered(0), "tiny")
    for change in ({"outcome": "fine"}, {"stamps_ns": {"lunch": 1}}, {"question_id": 7}):
        with pytest.raises(BadInput, match=r"loops\.jsonl: line 1"):
            from_json(line | change, "loops.jsonl: line 1")


def test_the_folder_holds_everything(answered, expired, tmp_path: Path) -> None:
    run = make_run([answered(0), answered(1, scale=200_000), expired(2)])
    summary = write_results(run, tmp_path)
    write_report(run, summary, tmp_path / "report.html")
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert len((tmp_path / "loops.jsonl").read_text().splitlines()) == 3
    assert (tmp_path / "latency.hlog").read_text().startswith("#[groundloop test")
    assert (tmp_path / "loop.hgrm").exists()


def test_the_report_is_one_offline_file_and_escapes_what_it_shows(
    answered, expired, tmp_path: Path
) -> None:
    run = make_run([answered(0), expired(1)])
    write_report(run, summarise(run), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page
    assert "MISSED" in page
    assert "budget 120 s" in page


@pytest.mark.parametrize("kinds", ["none answered", "nothing asked", "all instant"])
def test_the_report_can_show_any_run(answered, expired, tmp_path: Path, kinds: str) -> None:
    records = {
        "none answered": [expired(0)],
        "nothing asked": [],
        "all instant": [answered(0, scale=0)],
    }[kinds]
    run = make_run(records)
    write_report(run, write_results(run, tmp_path), tmp_path / "report.html")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.25, "250 µs"), (12.34, "12.3 ms"), (1500, "1.50 s")],
)
def test_durations_are_written_as_people_read_them(value: float | None, text: str) -> None:
    assert duration_text(value) == text


@pytest.mark.parametrize("kind", get_args(OutageConfig.model_fields["kind"].annotation))
def test_the_report_draws_an_outage_of_each_kind(answered, tmp_path: Path, kind: str) -> None:
    outage = OutageConfig(start_s=0.01, end_s=0.02, kind=kind, direction="uplink")
    scenario = SCENARIO.model_copy(update={"outage": (outage,)})
    run = make_run([answered()], scenario=scenario)
    write_report(run, summarise(run), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count(f"<title>{kind}: 0.0 to 0.0 s</title>") == 1
    assert f"{kind} outage" in page
    assert f".{kind} {{ fill: var(--{kind});" in page
