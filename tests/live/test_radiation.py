"""Upsets in a live node's memory: with what is done against them, and without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.live.scenarios import LINK

pytestmark = pytest.mark.live

SCENARIO = (
    LINK
    + """[workload]
questions_file = "{questions}"
system = "You watch the telemetry of a satellite. Answer from the frame, exactly and briefly."
temperature = 0
count = 30
rate_per_min = 180
max_tokens = 160
[node]
threads = 1
context = 1024
beacon_s = 1
[node.radiation]
{radiation}
"""
)
QUESTIONS = Path(__file__).parents[2] / "testbed" / "scenarios" / "triage.jsonl"
OFTEN = 'environment = "leo"\ntimes = 100_000'
"""Some sixteen upsets a second in the builtin's weights."""


@pytest.fixture
def run(start, tmp_path, monkeypatch):
    monkeypatch.setenv("GROUNDLOOP_CACHE", str(tmp_path / "cache"))

    def go(radiation: str) -> tuple[dict, list[dict], str]:
        path = tmp_path / "scenario.toml"
        path.write_text(SCENARIO.format(questions=QUESTIONS, radiation=radiation))
        program = start("testbed", "run", str(path), "--out", str(tmp_path / "run"))
        program.wait()
        loops = (tmp_path / "run" / "loops.jsonl").read_text().splitlines()
        summary = json.loads((tmp_path / "run" / "summary.json").read_text())
        return summary, list(map(json.loads, loops)), program.output()

    return go


def test_answers_are_right_though_bits_flip_all_the_time(run) -> None:
    """But for those that were spoilt three times, as on a busy machine, and say so."""
    summary, loops, said = run(OFTEN)
    assert all(loop["correct"] or loop.get("exposed") for loop in loops), said
    assert summary["right"] >= 27, said
    assert summary["outcomes"]["on_time"] == 30
    assert summary["node"]["vitals"]["mended"] > 20
    assert "was damaged; read again from triage-Q8_0.gguf" in said
    assert "further ones are only counted" in said


def test_without_scrubbing_they_are_not(run) -> None:
    summary, loops, said = run(f"{OFTEN}\nscrub = false")
    assert sum(not loop["correct"] and not loop.get("exposed") for loop in loops) > 3, said
    assert summary["node"]["vitals"]["mended"] == 0
