"""Each reason for which the node refuses a question, reached by a real node behind a real link."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.live

BASE = """
[link.uplink]
rate_bps = 1_000_000
one_way_delay_ms = {delay}
[link.downlink]
rate_bps = 1_000_000
one_way_delay_ms = {delay}
[workload]
questions = {questions}
count = {count}
rate_per_min = {rate}
max_tokens = {tokens}
temperature = 0
{workload}
[budget]
loop_s = {loop}
expire_s = 30
objective = 0
[node]
model = "tiny"
threads = 1
context = {context}
sequences = {sequences}
speculate = false
{node}
"""
USUAL = {
    "delay": 1, "questions": '["Go on."]', "count": 1, "rate": 60, "tokens": 8,
    "workload": "", "loop": 20, "context": 8192, "sequences": 1, "node": "",
}  # fmt: skip


def run(start, tmp_path: Path, **changes):
    scenario = tmp_path / "refused.toml"
    scenario.write_text(BASE.format(**(USUAL | changes)))
    return start("testbed", "run", str(scenario), "--out", str(tmp_path / "run"))


def reasons(program, tmp_path: Path) -> list[str]:
    assert program.wait() == 0, program.output()
    lines = (tmp_path / "run" / "loops.jsonl").read_text().splitlines()
    loops = [json.loads(line) for line in lines]
    assert all(loop["outcome"] in ("refused", "on_time", "partial") for loop in loops), loops
    return [loop["reason"] for loop in loops]


def test_no_time(start, tmp_path) -> None:
    assert reasons(run(start, tmp_path, delay=600, loop=1), tmp_path) == ["no_time"]


def test_no_contact_before_deadline(start, tmp_path) -> None:
    gap = '[[outage]]\nkind = "planned"\ndirection = "downlink"\nstart_s = 0\nend_s = 4'
    program = run(start, tmp_path, loop=2, node=gap)
    assert reasons(program, tmp_path) == ["no_contact_before_deadline"]


def test_no_energy(start, tmp_path) -> None:
    low = "battery_wh = 10\nfloor = 0.5\nstart = 0.4\nsolar_w = 0"
    battery = f'profile = "rpi4-4gb"\n[node.energy]\n{low}'
    assert reasons(run(start, tmp_path, loop=4, node=battery), tmp_path) == ["no_energy"]


def test_queue_full(start, tmp_path) -> None:
    found = reasons(
        run(start, tmp_path, count=8, rate=6000, tokens=1000, node="queue = 1"), tmp_path
    )
    assert found.count("queue_full") >= 4
    assert found.count("") >= 2


def test_too_long(start, tmp_path) -> None:
    long = json.dumps(["word " * 400])
    assert reasons(run(start, tmp_path, questions=long, context=128), tmp_path) == ["too_long"]


def test_bad_schema(start, tmp_path) -> None:
    schema = 'response_schema = \'{"type": "nothing"}\''
    assert reasons(run(start, tmp_path, workload=schema), tmp_path) == ["bad_schema"]


def test_no_answer(start, tmp_path) -> None:
    thinking = 'thinking = "on"\nthink_tokens = 8'
    assert reasons(run(start, tmp_path, workload=thinking), tmp_path) == ["no_answer"]


def test_engine_failed_and_quarantined(start, tmp_path) -> None:
    program = run(start, tmp_path, count=2, rate=6, tokens=8000)
    program.wait_for("carrier up")
    for died in (1, 2):
        end = time.monotonic() + 20
        while program.output().count("context 8192") < died:  # it says so when it is up
            assert time.monotonic() < end, program.output()
            time.sleep(0.02)
        time.sleep(0.5)
        engine = program.member("node.engine.child")
        engine.send_signal(signal.SIGSEGV)
        psutil.wait_procs([engine], timeout=5)
        end = time.monotonic() + 10
        while program.output().count("the engine died") < died:
            assert time.monotonic() < end, program.output()
            time.sleep(0.02)
    assert reasons(program, tmp_path) == ["engine_failed", "quarantined"]


def test_an_answer_cut_by_its_deadline_is_partial(start, tmp_path) -> None:
    program = run(start, tmp_path, loop=2, tokens=8000)
    reasons(program, tmp_path)
    (line,) = (tmp_path / "run" / "loops.jsonl").read_text().splitlines()
    loop = json.loads(line)
    assert (loop["outcome"], loop["gen_ai.response.finish_reasons"]) == ("partial", ["deadline"])
    assert 1.0 < loop["loop_ns"] / 1e9 < 2.0
    assert loop["answer"]
