"""`groundloop run`, live."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.live

LONG = """
[link.uplink]
rate_bps = 1_000_000
one_way_delay_ms = 1
[link.downlink]
rate_bps = 1_000_000
one_way_delay_ms = 1
[workload]
questions = ["Go on."]
temperature = 0
count = {count}
rate_per_min = 60
max_tokens = {tokens}
[node]
model = "tiny"
threads = 1
context = 4096
"""


def written(path: Path, count: int, tokens: int = 300, more: str = "") -> Path:
    """A scenario of long answers: 300 tokens take some tenths of a second."""
    path.write_text(LONG.format(count=count, tokens=tokens) + more)
    return path


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_answers_everything_and_leaves_a_whole_folder(start, ci_scenario, tmp_path) -> None:
    out = tmp_path / "run"
    program = start("testbed", "run", str(ci_scenario), "--out", str(out))
    assert program.wait() == 0, program.output()
    assert "verdict   MET" in program.output()
    summary = json.loads((out / "summary.json").read_text())
    assert summary["outcomes"]["on_time"] == 8
    assert summary["mode"] == "live"
    assert summary["node"]["decode_tok_s"] > 10
    loops = lines_of(out / "loops.jsonl")
    assert all(loop["split"] == "frame_log" for loop in loops)
    assert all(sum(loop["phases_ns"].values()) == loop["loop_ns"] for loop in loops)
    frames = lines_of(out / "frames.jsonl")
    assert {frame["direction"] for frame in frames} == {"uplink", "downlink"}
    for name in ("scenario.toml", "latency.hlog", "report.html"):
        assert (out / name).stat().st_size > 0
    again = start("testbed", "report", str(out))
    assert again.wait() == 0
    assert "verdict   MET" in again.output()
    twice = start("testbed", "run", str(ci_scenario), "--out", str(out))
    assert twice.wait() == 1
    assert "holds a run that has ended" in twice.output()


def test_killing_the_engine_in_mid_answer_still_ends_in_an_answer(start, tmp_path) -> None:
    scenario, out = written(tmp_path / "long.toml", 2, 2000), tmp_path / "run"
    program = start("testbed", "run", str(scenario), "--out", str(out))
    engine = program.member("node.engine.child")
    program.wait_for("carrier up")
    time.sleep(0.6)
    engine.kill()
    assert program.wait() == 0, program.output()
    assert "the engine died: SIGKILL" in program.output()
    assert json.loads((out / "summary.json").read_text())["outcomes"]["on_time"] == 2


def test_an_answer_that_the_link_cuts_off_is_there_as_far_as_it_came(start, tmp_path) -> None:
    """The outage begins in the middle of the answer, by the times of a run without one."""

    def ran(name: str, cut: str = "") -> dict:
        scenario = written(
            tmp_path / f"{name}.toml", 1, 2000, "part_s = 0.1\nspeculate = false\n" + cut
        )
        start("testbed", "run", str(scenario), "--out", str(tmp_path / name)).wait()
        return lines_of(tmp_path / name / "loops.jsonl")[0]

    whole = ran("whole")
    first_s, last_s = (whole["stamps_ns"][name] / 1e9 for name in ("first_token", "finished"))
    outage = f'[[outage]]\nstart_s = {(first_s + last_s) / 2}\nend_s = 60\nkind = "silent"\n'
    part = ran("cut", outage + f"[budget]\nloop_s = {last_s + 4}\nexpire_s = {last_s + 6}\n")
    assert (whole["outcome"], part["outcome"]) == ("on_time", "expired")
    assert 100 < len(part["answer"]) < len(whole["answer"])
    assert whole["answer"].startswith(part["answer"])


def test_ctrl_c_stops_all_processes_and_writes_what_was_measured(start, tmp_path) -> None:
    scenario, out = written(tmp_path / "long.toml", 100), tmp_path / "run"
    program = start("testbed", "run", str(scenario), "--out", str(out))
    program.wait_for("#0 ")
    family = program.family()
    assert len(family) == 3, "link, node and engine"
    program.process.send_signal(signal.SIGINT)
    assert program.wait() == 99, program.output()
    assert psutil.wait_procs(family, timeout=5)[1] == []
    summary = json.loads((out / "summary.json").read_text())
    assert summary["interrupted"]
    assert summary["questions"] == 100 == sum(summary["outcomes"].values())
    assert summary["outcomes"]["on_time"] >= 1
    assert summary["expired"]["interrupted"] > 90
    assert (out / "report.html").exists()


def test_a_killed_command_leaves_no_process_behind(start, tmp_path) -> None:
    scenario = written(tmp_path / "long.toml", 100)
    program = start("testbed", "run", str(scenario), "--out", str(tmp_path / "run"))
    program.wait_for("carrier up")
    family = program.family()
    program.process.kill()
    assert psutil.wait_procs(family, timeout=15)[1] == []


def test_a_link_that_dies_ends_the_run_with_what_was_measured(start, tmp_path) -> None:
    scenario, out = written(tmp_path / "long.toml", 100), tmp_path / "run"
    program = start("testbed", "run", str(scenario), "--out", str(out))
    program.wait_for("#0 ")
    program.member("link_sim").kill()
    assert program.wait() == 99, program.output()
    assert json.loads((out / "summary.json").read_text())["interrupted"]


def test_the_roles_find_each_other_as_separate_commands(start, ci_scenario, tmp_path) -> None:
    frames = tmp_path / "frames.jsonl"
    link = start(
        "link_sim", str(ci_scenario), "--ground", "tcp://127.0.0.1:*",
        "--node", "tcp://127.0.0.1:*", "--frames", str(frames),
    )  # fmt: skip
    link.wait_for("ground")
    ports = json.loads(link.out.read_text())
    node = start(
        "node", "--scenario", str(ci_scenario), "--link", ports["node"],
        "--store", str(tmp_path / "node.sqlite"),
    )  # fmt: skip
    for name in ("first", "second"):
        out = tmp_path / name
        ground = start(
            "ground", str(ci_scenario), "--link", ports["ground"], "--out", str(out),
            "--wait", "60",
        )  # fmt: skip
        assert ground.wait() == 0, ground.output()
        summary = json.loads((out / "summary.json").read_text())
        assert summary["outcomes"]["on_time"] == 8
        assert summary["link"] is None
        assert {loop["split"] for loop in lines_of(out / "loops.jsonl")} == {"estimate"}
        report = start("testbed", "report", str(out))
        assert report.wait() == 0, report.output()
    for program in (node, link):
        program.process.terminate()
        assert program.wait() == 0, program.output()
    sizes = {name: len(lines_of(tmp_path / name)) for name in ("frames.jsonl", "frames-2.jsonl")}
    assert min(sizes.values()) > 30, "a log for each run"


def test_what_others_wrote_is_shown_and_not_obeyed(start, tmp_path) -> None:
    text = r"[/var/log/x] [red]a \u001b[2J\u202e"
    scenario, out = tmp_path / "odd.toml", tmp_path / "[bold]run"
    scenario.write_text(LONG.format(count=1, tokens=20).replace("Go on.", text))
    program = start("testbed", "run", str(scenario), "--out", str(out))
    assert program.wait() == 0, program.output()
    shown = program.output()
    assert r"[/var/log/x] [red]a \x1b[2J\u202e → " in shown
    assert "node: engine ready, 1 thread, " in shown
    assert f"folder    {out}" in shown
    assert shown.replace("\n", "").isprintable()
