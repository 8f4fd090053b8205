"""Every process killed in mid-run, and started again: each question still gets its one outcome."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.live

COUNT = 16
SCENARIO = """
[link.uplink]
rate_bps = 1_000_000
one_way_delay_ms = 20
[link.downlink]
rate_bps = 1_000_000
one_way_delay_ms = 20
[workload]
questions = ["What is the battery voltage?"]
count = 16
rate_per_min = 240
max_tokens = 8
[node]
model = "tiny"
threads = 1
context = 512
"""


class Roles:
    """Link, node and ground as commands of their own, on ports that the link found free."""

    def __init__(self, start: Callable, folder: Path) -> None:
        self._start = start
        self._folder = folder
        self.scenario = folder / "kill.toml"
        self.scenario.write_text(SCENARIO)
        self.out = folder / "run"
        self._endpoints = {"ground": "tcp://127.0.0.1:*", "node": "tcp://127.0.0.1:*"}
        self.link = self.start_link()
        self.link.wait_for("ground")
        self._endpoints = json.loads(self.link.out.read_text())
        self.node = self.start_node()
        self.ground = self.start_ground()

    def start_link(self):
        ends = self._endpoints
        return self._start(
            "link_sim", str(self.scenario), "--ground", ends["ground"], "--node", ends["node"]
        )

    def start_node(self):
        return self._start(
            "node", "--scenario", str(self.scenario), "--link", self._endpoints["node"],
            "--store", str(self._folder / "node.sqlite"),
        )  # fmt: skip

    def start_ground(self, out: Path | None = None, wait_s: str = "60"):
        return self._start(
            "ground", str(self.scenario), "--link", self._endpoints["ground"],
            "--out", str(out or self.out), "--wait", wait_s,
        )  # fmt: skip

    def loops(self) -> list[dict]:
        text = (self.out / "loops.jsonl").read_text()
        return [json.loads(line) for line in text.split("\n") if line]

    def assert_all_answered(self) -> None:
        assert self.ground.wait() == 0, self.ground.output()
        loops = self.loops()
        assert [loop["index"] for loop in loops] == list(range(COUNT))
        assert {loop["outcome"] for loop in loops} == {"on_time"}
        assert all(sum(loop["phases_ns"].values()) == loop["loop_ns"] for loop in loops)
        for program in (self.link, self.node, self.ground):
            assert "Traceback" not in program.output()


@pytest.fixture
def roles(start, tmp_path) -> Roles:
    roles = Roles(start, tmp_path)
    roles.ground.wait_for("#1 ")
    return roles


def kill(program) -> None:
    program.process.kill()
    program.process.wait()


def test_the_node_is_killed_and_comes_back(roles) -> None:
    kill(roles.node)
    time.sleep(0.5)
    roles.node = roles.start_node()
    roles.assert_all_answered()


def test_the_link_is_killed_and_comes_back(roles) -> None:
    kill(roles.link)
    time.sleep(0.5)
    roles.link = roles.start_link()
    roles.assert_all_answered()


def test_the_ground_is_killed_and_goes_on_with_its_run(roles) -> None:
    kill(roles.ground)
    time.sleep(0.5)
    roles.ground = roles.start_ground()
    roles.assert_all_answered()
    assert "going on with an interrupted run: " in roles.ground.output()
    assert max(loop["loop_ns"] for loop in roles.loops()) > 5e8, "by the clock it began with"


def test_a_second_ground_does_not_disturb_the_first(roles, tmp_path) -> None:
    second = roles.start_ground(tmp_path / "second", "0.5")
    assert second.wait() == 1
    assert "another process uses this modem" in second.output()
    roles.assert_all_answered()


def test_a_run_on_one_machine_is_killed_and_goes_on(start, tmp_path) -> None:
    scenario, out = tmp_path / "kill.toml", tmp_path / "run"
    scenario.write_text(SCENARIO)
    command = ("testbed", "run", str(scenario), "--out", str(out))
    first = start(*command)
    first.wait_for("#1 ")
    family = first.family()
    kill(first)
    psutil.wait_procs(family, timeout=10)
    again = start(*command)
    assert again.wait() == 0, again.output()
    assert json.loads((out / "summary.json").read_text())["outcomes"]["on_time"] == COUNT
    report = start("testbed", "report", str(out))
    assert report.wait() == 0, report.output()
    for line in (out / "loops.jsonl").read_text().split("\n")[:-1]:
        phases = json.loads(line)["phases_ns"]
        assert phases.get("decode", 0) > 0 or "unattributed" in phases, line
    other = start("testbed", "run", str(scenario), "--seed", "9", "--out", str(out))
    assert other.wait() == 1
    assert "holds a run that has ended" in other.output()


def test_a_folder_is_not_taken_for_another_run(start, tmp_path) -> None:
    scenario, out = tmp_path / "kill.toml", tmp_path / "run"
    scenario.write_text(SCENARIO)
    first = start("testbed", "run", str(scenario), "--out", str(out))
    first.wait_for("#1 ")
    kill(first)
    other = start("testbed", "run", str(scenario), "--seed", "9", "--out", str(out))
    assert other.wait() == 1
    assert "holds another scenario or seed" in other.output()


def test_a_folder_in_use_or_begun_or_the_operators_own_is_left_alone(start, tmp_path) -> None:
    scenario, out = tmp_path / "kill.toml", tmp_path / "run"
    scenario.write_text(SCENARIO)
    command = ("testbed", "run", str(scenario), "--out", str(out))
    first = start(*command)
    first.wait_for("#1 ")
    second = start(*command)
    assert second.wait() == 1
    assert "it holds a run of another process" in second.output()
    kill(first)
    virtual = start(*command, "--virtual")
    assert virtual.wait() == 1
    assert "it holds a run that was begun" in virtual.output()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "scenario.toml").write_text(SCENARIO)
    other = start("testbed", "run", str(mine / "scenario.toml"), "--out", str(mine))
    assert other.wait() == 1
    assert (mine / "scenario.toml").read_text() == SCENARIO


def test_a_link_whose_log_was_cut_off_still_gives_results(start, tmp_path) -> None:
    scenario, out = tmp_path / "kill.toml", tmp_path / "run"
    scenario.write_text(SCENARIO)
    command = ("testbed", "run", str(scenario), "--out", str(out))
    first = start(*command)
    first.wait_for("#2 ")
    time.sleep(1.2)
    kill(first)
    log = out / "frames.jsonl"
    log.write_bytes(log.read_bytes()[:-20])
    again = start(*command)
    assert again.wait() == 0, again.output()
    summary = json.loads((out / "summary.json").read_text())
    assert summary["outcomes"]["on_time"] == COUNT
    assert summary["node"]["model"], "what the node said before the kill is kept"


def test_ctrl_c_twice_keeps_what_was_measured(roles) -> None:
    for _ in range(2):
        roles.ground.process.send_signal(signal.SIGINT)
        time.sleep(0.03)
    assert roles.ground.wait() == 99, roles.ground.output()
    assert len(roles.loops()) == COUNT
    assert "Traceback" not in roles.ground.output()


def test_ctrl_c_before_the_link_is_up_says_so_and_the_folder_can_be_taken_again(
    start, ci_scenario, tmp_path
) -> None:
    out = tmp_path / "run"
    command = ("ground", str(ci_scenario), "--link", "tcp://127.0.0.1:9", "--out", str(out))
    for _ in range(2):
        program = start(*command, "--wait", "0")
        program.wait_for("waiting for the link")
        time.sleep(0.2)
        program.process.send_signal(signal.SIGINT)
        assert program.wait() == 1
        assert program.err.read_text() == "error: stopped before the link was up\n"
