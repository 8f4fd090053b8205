"""Summaries that cannot be compared are named, by file and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from roundtrip.errors import BadConfig
from testbed.campaign.compared import load_summary

RUN = {"schema_version": 1, "goodput": 0.5, "loop_ms": {"p50": 1, "p90": None}}
POINT = {"point": "all", "goodput": 0.5, "goodput_95": [0.4, None], "loop_ms": {"p50": [1, 1, 2]}}
CAMPAIGN = {"schema_version": 1, "kind": "campaign", "points": [POINT]}


def written(folder: Path, summary: Any) -> Path:
    (folder / "summary.json").write_text("\ufeff" + json.dumps(summary))
    return folder


@pytest.mark.parametrize("summary", [RUN, CAMPAIGN])
def test_a_run_and_a_campaign_can_be_compared(tmp_path: Path, summary: dict[str, Any]) -> None:
    assert load_summary(written(tmp_path, summary)) == summary


@pytest.mark.parametrize(
    ("summary", "match"),
    [
        ([], "summary.json"),
        ({}, "schema_version: expected a value"),
        ({**RUN, "goodput": "x"}, "goodput"),
        ({**RUN, "loop_ms": []}, "loop_ms"),
        ({**RUN, "loop_ms": {"p50": "1 s"}}, r"loop_ms\.p50"),
        ({**CAMPAIGN, "points": []}, "points"),
        ({**CAMPAIGN, "points": [{**POINT, "goodput_95": [1, 2, 3, 4]}]}, r"points\.0\.goodput_95"),
        ({**CAMPAIGN, "points": [{**POINT, "loop_ms": {"p50": []}}]}, r"points\.0\.loop_ms\.p50"),
    ],
)
def test_anything_else_is_named(tmp_path: Path, summary: Any, match: str) -> None:
    with pytest.raises(BadConfig, match=match):
        load_summary(written(tmp_path, summary))
