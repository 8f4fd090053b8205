"""The report of a campaign made by hand, whole, as it was kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ground.results.histogram import new_histogram
from testbed.campaign.report import write_campaign_report
from tests.golden import assert_as_kept


def point(name: str, settings: dict[str, Any], goodput: float, **changes: Any) -> dict[str, Any]:
    low, high = max(0.0, goodput - 0.125), min(1.0, goodput + 0.0625)
    fields = {
        "point": name,
        "settings": settings,
        "runs": 12,
        "questions": 96,
        "outcomes": {"on_time": 80, "late": 6, "partial": 4, "refused": 3, "expired": 3},
        "goodput": goodput,
        "goodput_95": [low, high],
        "budget_s": 120.0,
        "objective": 0.9,
        "objective_met": goodput >= 0.9,
        "loop_ms": {"p50": [71.5, 60.0, 90.25], "p90": [900, None, 2e3], "p99": [9e3, 8e3, None]},
        "phase_means_ms": {"uplink": 125.0, "prefill": 40.0, "decode": 400.0, "downlink": 9.5},
    }
    return fields | changes


def histogram(*values_ms: float) -> Any:
    found = new_histogram()
    for value_ms in values_ms:
        found.record_value(round(value_ms * 1e6))
    return found


def written(tmp_path: Path, points: list[dict[str, Any]], times: list[list[float]]) -> str:
    summary = {
        "scenario": "kept", "runs": 12, "seed": 1, "points": points, "commit": "COMMIT",
        "schema_version": 1, "wall_s": 3.5,
    }  # fmt: skip
    histograms = {
        one["point"]: histogram(*values) for one, values in zip(points, times, strict=True)
    }
    text = write_campaign_report(tmp_path, summary, histograms).read_text()
    return re.sub(r"<style>.*?</style>", "", text, flags=re.S)


def test_a_campaign_of_several_points(tmp_path: Path) -> None:
    settings: list[dict[str, Any]] = [
        {"link.uplink.loss": 0, "link.downlink.loss": 0.1, "node.queue": 4},
        {"link.uplink.loss": 0.2, "link.downlink.loss": 0.1, "node.queue": 8},
        {"link.uplink.loss": 0.2, "link.downlink.loss": 0.1, "node.queue": 16},
    ]
    points = [
        point(f"p{number}", one, (1.0, 0.9, 0.25)[number]) for number, one in enumerate(settings)
    ]
    points[2]["phase_means_ms"] = {"uplink_wait": 3e4, "downlink_wait": 2.5, "unattributed": 1.0}
    times = [[3, 40, 41, 900], [70, 71, 72, 80_000, 130_000], [0.01, 5, 599_000]]
    assert_as_kept("campaign.html", written(tmp_path, points, times))


def test_a_campaign_of_one_point(tmp_path: Path) -> None:
    points = [point("all", {}, 0.5, budget_s=2.0, phase_means_ms={})]
    assert_as_kept("campaign-one.html", written(tmp_path, points, [[250.0]]))
