from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ground.air import LAYERS
from ground.results.record import from_json, to_json
from ground.results.report import LEFT, RIGHT, WIDTH, write_report
from ground.results.summary import Run, summarise, write_results
from ground.results.verdict import BAR, print_verdict
from roundtrip.budget import Outcome
from roundtrip.errors import BadInput
from roundtrip.framelog import Fate, FrameFate
from roundtrip.message import Health, Vitals
from roundtrip.scenario_file import check_scenario
from roundtrip.screen import Screen
from roundtrip.stages import Stage

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


HOSTILE = "[/var/log/x] <b>&\"' \x1b[31m\x00\u202e\nnext"


def test_text_of_others_is_text_in_the_report_and_holds_no_control_characters(
    expired, tmp_path: Path
) -> None:
    lost = replace(expired(1), reason=HOSTILE)
    scenario = SCENARIO.model_copy(update={"name": HOSTILE, "description": HOSTILE})
    health = Health(HOSTILE, HOSTILE, 512, 2, 0)
    run = make_run([lost], scenario=scenario, health=health, rejected={HOSTILE: 1})
    write_report(run, write_results(run, tmp_path), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.replace("\n", "").isprintable()
    assert "[/var/log/x] &lt;b&gt;&amp;&#34;&#39; \\x1b[31m\\x00\\u202e next" in page
    assert (tmp_path / "latency.hlog").read_text().replace("\n", "").isprintable()


@pytest.mark.parametrize("count", [1, 2])
def test_the_report_counts_in_words(answered, expired, tmp_path: Path, count: int) -> None:
    cut = [replace(expired(n), answer="x" * count) for n in range(count)]
    run = make_run([*(answered(n) for n in range(count)), *cut])
    write_report(run, summarise(run), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    s = "" if count == 1 else "s"
    assert f"{count} loop{s} from" in page
    assert f"{count} question{s} without an answer" in page
    assert f"expired, {count} character{s} came" in page
    assert f"50.0% of {2 * count} questions answered within 120 s" in page


def test_the_verdict_is_plain_text(answered, expired) -> None:
    out = io.StringIO()
    run = make_run([answered(0), expired(1)])
    print_verdict(Screen(file=out, width=100), summarise(run), list(run.records))
    assert "verdict   MISSED: 50.0% answered on time, objective 95.0%" in out.getvalue()
    assert "no answer ████" in out.getvalue()
    assert "budget" in out.getvalue()
    assert "[" not in out.getvalue()


@pytest.mark.parametrize("kind", ["planned", "cued", "silent", "stuck"])
def test_every_kind_of_outage_is_drawn(answered, tmp_path: Path, kind: str) -> None:
    table = SCENARIO.model_dump(exclude_none=True, mode="json")
    outage = {"start_s": 0.1, "end_s": 0.5, "kind": kind, "direction": "uplink"}
    run = make_run([answered(0)], scenario=check_scenario(table | {"outage": [outage]}, "test"))
    write_report(run, summarise(run), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert f"<title>{kind}: 0.1 to 0.5 s</title>" in page
    assert f"{kind} outage" in page
    assert f".{kind} {{ fill: var(--{kind})" in page


def test_what_became_of_a_question_stands_beside_its_bar(expired, tmp_path: Path) -> None:
    lost = replace(expired(0), reason="no_time, " + "x" * 80, detail="needs <9> s")
    run = make_run([lost], health=Health("m", "Q8_0", 512, 2, 0, Vitals(rss_bytes=7, threads=1)))
    write_report(run, summarise(run), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    waterfall = page[page.index("Waterfall of phases") : page.index("<h2>Contacts")]
    found = re.search(r'class="bad" x="([\d.]+)" y="12">(.*?)<', waterfall)
    assert found is not None
    x, text = float(found[1]), found[2]
    assert text.startswith("expired: no time, xx")
    assert len(text) == 34
    assert "x: needs &lt;9&gt; s</title>" in waterfall
    bars = re.findall(r'<rect class="[a-z_]+" x="([\d.]+)" y="2.00" width="([\d.]+)"', waterfall)
    assert x == pytest.approx(max(float(left) + float(width) for left, width in bars) + 6, abs=0.5)
    assert x <= 766
    assert "<td>memory at the end, bytes</td><td>7</td>" in page
    assert "<td>threads</td><td>2</td>" in page
    assert "None" not in page


def test_a_loop_beyond_the_last_bucket_has_a_bar_of_its_own(answered) -> None:
    records = [answered(0), answered(1, scale=110_000)]
    console = Screen(file=io.StringIO(), width=80)
    print_verdict(console, summarise(make_run(records)), records)
    lines = console.file.getvalue().splitlines()
    (last,) = (line for line in lines if line.lstrip().startswith(">"))
    assert last.split() == [">", "3600", "s", "█" * BAR, "1"]
    assert [line.split()[-1] for line in lines if "≤ 3600 s" in line] == ["0"]


def test_what_was_dropped_is_in_summary_verdict_and_report_with_the_remedy(
    answered, tmp_path: Path
) -> None:
    dropped = {"expired by our clock": 3, "message: [red] <b>": 1}
    run = make_run([answered(0)], rejected=dropped, node_ahead_ms=-5500)
    summary = write_results(run, tmp_path)
    assert summary["rejected"] == dropped
    assert summary["node"]["clock_ahead_s"] == -5.5
    console = Screen(file=io.StringIO(), width=80)
    print_verdict(console, summary, [])
    lines = console.file.getvalue().splitlines()
    assert any(line.startswith("not taken 3 × expired by our clock; set both") for line in lines)
    assert "not taken 1 × message: [red] <b>" in lines
    write_report(run, summary, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<td>expired by our clock</td><td>3</td><td>set both" in page
    assert "<td>message: [red] &lt;b&gt;</td><td>1</td><td>–</td>" in page
    assert summarise(make_run([]))["node"]["clock_ahead_s"] is None


def test_the_report_shows_what_the_bytes_on_the_air_were_for(answered, tmp_path: Path) -> None:
    layers = dict.fromkeys(LAYERS, 0) | {"text": 40, "security": 32, "total": 72, "raw_text": 144}
    run = make_run([answered(0), answered(1)], air={"up": layers, "down": layers | {"text": 0}})
    summary = summarise(run)
    assert summary["air"]["up"]["text"] == 40
    write_report(run, summary, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    widths = re.findall(r'class="air-(\w+)" x="([\d.]+)" y="0.00" width="([\d.]+)"', page)
    drawn = {name: (float(x), float(width)) for name, x, width in widths}
    room = WIDTH - LEFT - RIGHT
    assert drawn["text"] == pytest.approx((LEFT, room * 40 / 144), abs=0.01)
    assert drawn["security"][0] == pytest.approx(LEFT + room * 40 / 144, abs=0.01)
    assert "security: 32 bytes, 16.0 a question" in page
    assert "<td>20.0</td>" in page
    write_report(make_run([answered(0)]), summary, tmp_path / "without.html")
    assert "bytes on the air" not in (tmp_path / "without.html").read_text()


def test_the_charge_of_the_battery_is_drawn_from_empty_below_to_full_above(
    answered, tmp_path: Path
) -> None:
    table = SCENARIO.model_dump(exclude_none=True, mode="json")
    table["node"]["energy"] = {"battery_wh": 1, "solar_w": 0, "floor": 0.25}
    charge = [(0, 1000), (10 * 10**9, 500), (40 * 10**9, 0)]
    run = make_run([answered(0)], scenario=check_scenario(table, "test"), charge=charge)
    write_report(run, summarise(run), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    chart = page[page.index("Charge of the battery over time") :]
    chart = chart[: chart.index("</svg>")]
    marks = re.findall(r'y="([\d.]+)" text-anchor="end">(\d+)%<', chart)
    assert [(float(y) - 4, share) for y, share in marks] == [(120, "0"), (60, "50"), (0, "100")]
    curve = re.search(r'class="curve" points="([^"]*)"', chart)
    assert curve is not None
    points = [tuple(map(float, point.split(","))) for point in curve[1].split()]
    assert [y for _, y in points] == [0, 60, 120]
    (first, _), (second, _), (last, _) = points
    assert (second - first) / (last - first) == pytest.approx(0.25, abs=1e-3)
    assert 'class="budget"' in chart
    assert 'y1="90.0" y2="90.0"' in chart, "the floor"


def test_a_run_that_was_over_when_it_began_has_a_report(tmp_path, expired) -> None:
    """As the day of a station with one question, refused at once."""
    loop = expired(1)
    at_ns = loop.planned.intended_ns
    only = replace(loop, stamps={Stage.INTENDED: at_ns}, settled_ns=at_ns, outcome=Outcome.REFUSED)
    write_results(make_run([only]), tmp_path)
    assert (tmp_path / "report.html").exists()


def test_a_run_has_ended_when_all_of_it_is_there(tmp_path, answered, monkeypatch) -> None:
    """Killed while it is written, it goes on: `summary.json` is what says that it is over."""
    monkeypatch.setattr("ground.results.report.write_report", _dies)
    with pytest.raises(KeyboardInterrupt):
        write_results(make_run([answered(0)]), tmp_path)
    assert not (tmp_path / "summary.json").exists()
    monkeypatch.undo()
    write_results(make_run([answered(0)]), tmp_path)
    names = {"summary.json", "loops.jsonl", "latency.hlog", "loop.hgrm", "report.html"}
    assert {path.name for path in tmp_path.iterdir()} == names


def _dies(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_uploads_took_of_the_uplink_is_told(answered, tmp_path: Path) -> None:
    """Frames of a second each; one of a question is handed in half a second before the one of an
    upload that is on the air is out, and goes after it."""
    s = 10**9

    def frame(number: int, handed_ns: int, start_ns: int, *, bulk: bool) -> FrameFate:
        end_ns = start_ns + s
        return FrameFate(
            "uplink", number, 1000, handed_ns, start_ns, end_ns, end_ns, Fate.DELIVERED, b"", bulk
        )

    fates = [
        frame(0, 0, 0, bulk=False),
        frame(1, s, s, bulk=True),
        frame(2, 3 * s // 2, 2 * s, bulk=False),
        frame(3, 3 * s, 3 * s, bulk=False),
        frame(4, 4 * s, 4 * s, bulk=True),
        replace(frame(5, 9 * s // 2, 5 * s, bulk=False), tx_start_ns=None, fate=Fate.QUEUE_FULL),
    ]
    run = make_run([answered(0)], fates=fates)
    summary = write_results(run, tmp_path)
    assert summary["link"]["uplink"]["bulk"] == {
        "frames": 2, "bytes": 2000, "air_s": 2.0,
        "held_up": {"frames": 1, "s": 0.5, "most_s": 0.5},
    }  # fmt: skip
    page = (tmp_path / "report.html").read_text()
    assert "Uploads had the uplink for 2.00 s, with 2,000 bytes in 2 frames." in page
    assert "Other frames waited for one of them 1 time, 500.0 ms at most" in page
