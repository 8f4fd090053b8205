"""Report, verdict, summary and percentiles of runs made by hand, whole, as they were kept."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ground.air import LAYERS
from ground.results import report
from ground.results.record import LoopRecord, Planned, to_json
from ground.results.report import write_report
from ground.results.summary import Run, summarise, write_results
from ground.results.verdict import print_verdict
from roundtrip.budget import Outcome
from roundtrip.contacts import FOREVER_NS
from roundtrip.framelog import Fate, FrameFate
from roundtrip.message import Health, Vitals
from roundtrip.scenario_file import check_scenario
from roundtrip.screen import Screen
from roundtrip.stages import Stage
from roundtrip.units import NS_PER_S
from tests.golden import assert_as_kept

WAY = {"rate_bps": 8_000, "one_way_delay_ms": 20}
SCENARIO = {
    "name": "kept",
    "description": "A run made by hand.",
    "link": {"uplink": WAY, "downlink": WAY | {"rate_bps": 16_000}},
    "workload": {"questions": ["?"], "count": 9},
    "contact": [
        {"start_s": 0, "end_s": 40, "station": "Svalbard", "max_elevation_deg": 41.5},
        {"start_s": 60, "end_s": 180, "station": "Quito"},
    ],
    "outage": [
        {"start_s": start, "end_s": start + 4, "kind": kind, "direction": way}
        for start, kind, way in (
            (5, "planned", "uplink"), (12, "cued", "both"), (20, "silent", "downlink"),
            (65, "stuck", "uplink"),
        )
    ],
    "node": {"energy": {"battery_wh": 1, "solar_w": 0, "floor": 0.25}},
}  # fmt: skip
HEALTH = Health("tiny", "Q8_0", 512, 2, 0, Vitals(70_000_000, 3, 250, 61_500, 0, 2_300, 812, 1))


def frame(number: int, way: str, fate: Fate) -> FrameFate:
    at_ns = number * NS_PER_S // 10
    return FrameFate(way, number, 100, at_ns, at_ns, at_ns + 10**8, at_ns + 2 * 10**8, fate, b"x")


@pytest.fixture
def mixed(answered, expired) -> list[LoopRecord]:
    """Every outcome, within the budget and past it."""
    late = answered(3, scale=4_000, outcome=Outcome.LATE)
    cut = replace(expired(4), answer="The battery is", detail="")
    refused = replace(
        expired(5, Outcome.REFUSED), reason="bad_schema", detail="`oneOf` at #", answer=None
    )
    wrong = answered(6, scale=30)
    wrong = replace(wrong, planned=Planned(6, wrong.planned.intended_ns, "6?", "No."), spent_mj=950)
    right = replace(wrong, planned=replace(wrong.planned, expected="Yes."), spent_mj=50)
    stamps = {
        stage: at for stage, at in answered(7, 9).stamps.items() if stage is not Stage.STARTED
    }
    return [
        answered(0), answered(1, scale=10), answered(2, scale=300, outcome=Outcome.PARTIAL), late,
        cut, refused, wrong, right, replace(answered(7, 9), stamps=stamps), expired(8),
    ]  # fmt: skip


def run_of(records: list[LoopRecord], **changes: object) -> Run:
    layers = {name: 11 * place + 5 for place, name in enumerate(LAYERS)}
    total = sum(layers.values())
    air = {
        "up": layers | {"total": total, "raw_text": 400},
        "down": dict.fromkeys(LAYERS, 7) | {"total": 7 * len(LAYERS), "raw_text": 90},
    }
    fields: dict[str, object] = {
        "scenario": check_scenario(SCENARIO, "test"),
        "seed": 7,
        "mode": "live",
        "records": records,
        "health": HEALTH,
        "fates": [
            frame(number, way, fate)
            for number, (way, fate) in enumerate(
                (way, fate) for way in ("uplink", "downlink") for fate in Fate
            )
        ],
        "started_unix_s": 1_000_000_000,
        "length_s": 181.5,
        "interrupted": False,
        "rejected": {"expired by our clock": 3, "message": 1},
        "charge": [(0, 1000), (10 * NS_PER_S, 500), (40 * NS_PER_S, 0)],
        "air": air,
        "node_ahead_ms": -5500,
    }
    return Run(**(fields | changes))


def page_of(run: Run, folder: Path) -> str:
    """A report, without its style."""
    write_report(run, summarise(run), folder / "report.html")
    page = (folder / "report.html").read_text()
    return re.sub(r"<style>.*?</style>", "", page, flags=re.S).replace(
        str(summarise(run)["commit"]), "COMMIT"
    )


def test_the_report_of_a_run_with_everything(mixed, tmp_path: Path) -> None:
    assert_as_kept("report.html", page_of(run_of(mixed), tmp_path))


def test_the_report_of_a_short_run_without_an_end_of_contact(answered, tmp_path: Path) -> None:
    bare = {name: SCENARIO[name] for name in ("name", "link", "workload")}
    scenario = check_scenario(bare, "test")
    assert scenario.plan().last_end_ns >= FOREVER_NS
    run = run_of(
        [answered(number, scale=3 + number) for number in range(3)],
        scenario=scenario, mode="virtual", health=None, fates=None, rejected={}, charge=(),
        air=None, node_ahead_ms=None, started_unix_s=0,
    )  # fmt: skip
    assert_as_kept("report-short.html", page_of(run, tmp_path))


def test_the_report_of_many_shows_the_slowest_and_forty_lanes(
    answered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "WATERFALL_ROWS", 4)
    records = [
        replace(
            answered(0, scale=200 + (7 * number) % 130), question_id=number,
            planned=Planned(number, 0, "?", None),
        )
        for number in range(44)
    ]  # fmt: skip
    page = page_of(run_of(records, charge=(), air=None), tmp_path)
    assert_as_kept("report-many.html", page)


def test_verdict_summary_and_lines(mixed, tmp_path: Path) -> None:
    run = run_of(mixed)
    summary = write_results(run, tmp_path)
    for name, width in (("verdict.txt", 100), ("verdict-narrow.txt", 60)):
        screen = Screen(file=io.StringIO(), width=width, color_system=None)
        print_verdict(screen, summary, mixed)
        assert_as_kept(name, screen.file.getvalue())
    summary["commit"] = ""
    assert_as_kept("summary.json", json.dumps(summary, indent=1, ensure_ascii=False))
    assert_as_kept("loop.hgrm", (tmp_path / "loop.hgrm").read_text())
    lines = [json.dumps(to_json(record, "tiny"), ensure_ascii=False) for record in mixed]
    assert_as_kept("loops.jsonl", "\n".join(lines))
