"""What docs/versus.md says of results, and what `make versus` says that is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.versus import contenders, page
from bench.versus.links import CASES
from roundtrip.errors import EnvironmentFault

CLEAN, TRACED = (next(case for case in CASES if case.name == name) for name in ("clean", "traced"))
ALONE = {"inference_s": 0.5, "question_bytes": 800.0, "answer_bytes": 125.0}


def row(contender: str, p50_s: float, p90_s: float | None, in_time: int = 9) -> dict[str, Any]:
    return {
        "contender": contender, "asked": 10, "in_time": in_time, "right": 9, "p50_s": p50_s,
        "p90_s": p90_s, "p99_s": None, "bytes_per_answer": 5.0, "twice": 0,
        "loops_s": [p50_s, None],
    }  # fmt: skip


@pytest.fixture
def said(tmp_path: Path) -> str:
    results = [
        row("groundloop", 1.0, 2.0, 10), row("groundloop, UDP", 0.1, 0.1),
        row("openai", 1.5, 2.5), row("groundloop, again", 2.0, 3.0),
        row("SSH", 1.6, None), row("MQTT QoS 2", 1.97, 2.4),
    ]  # fmt: skip
    kept = {"link": "clean", "machine": "it", "took_s": 90, "alone": ALONE, "results": results}
    (tmp_path / "clean.json").write_text(json.dumps(kept))
    return page.page_of(tmp_path, tmp_path / "pictures")


def test_each_is_compared_with_the_groundloop_that_ran_beside_it(said: str) -> None:
    assert "| clean | 9 of 10 | 9 (openai) | 3 | 2.4 (MQTT QoS 2) |" in said
    (_, behind), (_, rest) = (said.split("| | groundloop | the other |\n"), said.split("## clean"))
    assert behind.split("\n\n")[0].splitlines() == [
        "|---|---|---|---|",
        "| clean | p50 | 2 | 1.6 (SSH) |",
        "| clean | p90 | 3 | 2.4 (MQTT QoS 2) |",
    ]
    assert "| SSH | 90 % | 90 % | 1.6 | > 120 | > 120 | 5 | 0 |" in rest


def test_the_limit_is_light_and_texts_and_inference(said: str) -> None:
    limit = "The limit is 0.613 s (light 0.012, texts 0.101, inference 0.5)"
    assert f"{limit}; groundloop's p50 by it: 1.63 and 3.26." in said


def test_a_trace_has_its_own_light_and_rate(tmp_path: Path) -> None:
    file = tmp_path / "it.csv"
    file.write_text("t_s,rate_bps,rtt_ms\n0,6400,10\n1,8000,30\n2,9600,50\n")
    way = {"trace": str(file), "one_way_delay_ms": 1, "rate_bps": 1}
    light_s, texts_s, _ = page.limit_of(replace(TRACED, up=way, down=CLEAN.down), ALONE)
    assert light_s == pytest.approx(0.015 + 0.006)
    assert texts_s == pytest.approx(0.8 + 0.001)


def test_what_is_missing_is_named_with_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contenders, "ip_program", lambda: "ip")
    monkeypatch.setattr(contenders.shutil, "which", lambda program: None)
    contenders.check(["groundloop", "openai"])
    with pytest.raises(EnvironmentFault, match=r"no program ssh.*; install openssh-client openssh"):
        contenders.check(["groundloop", "SSH"])
