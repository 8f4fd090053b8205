"""Wall clocks that are wrong, and that are set while a run goes on: nothing is lost by them, and
what cannot be kept is said at once."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.live.scenarios import LINK
from tests.live.test_udp import start_both, summary_of

pytestmark = pytest.mark.live

HOUR_S = 3600
DAY_S = 24 * HOUR_S
YEAR_S = 365 * DAY_S
COUNT = 12
SCENARIO = (
    LINK
    + """[workload]
questions = ["What is the battery voltage?"]
count = 12
rate_per_min = 3000
max_tokens = 600
temperature = 0
[budget]
loop_s = 90
expire_s = 100
[node]
model = "tiny"
threads = 1
context = 1024
sequences = 1
speculate = false
"""
)


class Machines:
    """Three machines, each with a clock of its own."""

    def __init__(self, start: Callable, folder: Path) -> None:
        self._start = start
        self._folder = folder
        self._scenario = folder / "clocks.toml"
        self._scenario.write_text(SCENARIO)
        self._ends = {"ground": "tcp://127.0.0.1:*", "node": "tcp://127.0.0.1:*"}
        self.link = self.start_link()
        self.link.wait_for("ground")
        self._ends = json.loads(self.link.out.read_text())

    def start_link(self, clock_s: int = 0):
        return self._start(
            "link_sim", str(self._scenario),
            "--ground", self._ends["ground"], "--node", self._ends["node"], clock_s=clock_s,
        )  # fmt: skip

    def start_node(self, clock_s: int = 0, *flags: str):
        """As in the README: without the scenario."""
        return self._start(
            "node", "--link", self._ends["node"], "--model", "tiny", "--threads", "1",
            "--store", str(self._folder / "node.sqlite"), *flags, clock_s=clock_s,
        )  # fmt: skip

    def start_ground(self, clock_s: int = 0, *flags: str):
        return self._start(
            "ground", str(self._scenario), "--link", self._ends["ground"], "--wait", "60",
            "--out", str(self._folder / "run"), *flags, clock_s=clock_s,
        )  # fmt: skip

    def wait_for_unanswered(self, number: int) -> None:
        """Wait until the node has taken so many questions that it has not answered."""
        with closing(sqlite3.connect(self._folder / "node.sqlite")) as db:
            end = time.monotonic() + 30
            while time.monotonic() < end:
                query = "SELECT count(*) FROM questions WHERE reply IS NULL"
                if db.execute(query).fetchone()[0] >= number:
                    return
        raise AssertionError(f"no {number} questions wait")

    def assert_all_on_time(self, ground) -> None:
        assert ground.wait() == 0, ground.output()
        summary = summary_of(self._folder)
        assert summary["outcomes"]["on_time"] == COUNT, ground.output()
        usual = {"reply to a question that is not open", "node knows no such settings"}
        assert set(summary["rejected"]) <= usual


@pytest.fixture
def machines(start, tmp_path) -> Machines:
    return Machines(start, tmp_path)


def kill(program) -> None:
    program.process.kill()
    program.process.wait()


@pytest.mark.parametrize(
    ("node_s", "ground_s", "said"),
    [
        (-YEAR_S, 0, "node: the ground's clock is 365 days ahead of this machine's"),
        (YEAR_S, 0, "node: the ground's clock is 365 days behind this machine's"),
        (-40 * YEAR_S, 0, "days ahead of this machine's"),
        (0, -40 * YEAR_S, "a time before 2000; bundles carry no date and go by their age"),
        (150 * YEAR_S, 100 * YEAR_S, "days behind this machine's"),
    ],
    ids=["node behind", "node ahead", "node in 1986", "ground in 1986", "next centuries"],
)
def test_two_ends_with_any_clocks_just_work(machines, node_s, ground_s, said) -> None:
    node, ground = machines.start_node(node_s), machines.start_ground(ground_s)
    machines.assert_all_on_time(ground)
    output = ground.output() + node.output()
    assert output.count(said) == 1, output


def test_untrusted_clocks_work_over_a_relay_too(machines) -> None:
    machines.start_node(-YEAR_S, "--untrusted-clock")
    machines.assert_all_on_time(machines.start_ground(-40 * YEAR_S, "--untrusted-clock"))


@pytest.mark.parametrize("step_s", [0, HOUR_S, -HOUR_S, -40 * YEAR_S])
def test_a_node_without_a_plan_is_killed_and_its_clock_is_set(machines, step_s) -> None:
    node, ground = machines.start_node(), machines.start_ground()
    node.wait_for("engine ready")
    engine = node.member("node.engine.child")
    engine.suspend()
    machines.wait_for_unanswered(5)
    kill(node)
    engine.kill()
    machines.start_node(step_s)
    machines.assert_all_on_time(ground)


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
def test_a_ground_and_its_relay_are_killed_and_their_clock_is_set(machines, step_s) -> None:
    machines.start_node()
    ground = machines.start_ground()
    ground.wait_for("#1 ")
    kill(ground)
    kill(machines.link)
    time.sleep(0.3)
    machines.start_link(step_s)
    ground = machines.start_ground(step_s)
    machines.assert_all_on_time(ground)
    way = "forward" if step_s > 0 else "back"
    assert f"clock was set {way} by" in ground.output()
    assert summary_of(machines._folder)["loop_ms"]["max"] < 90_000, "by the clock it began with"


def test_over_udp_a_clock_that_is_a_year_behind_is_told_at_both_ends(start, tmp_path) -> None:
    node, ground = start_both(start, tmp_path, "127.0.0.1", node_clock_s=-YEAR_S)
    assert ground.wait() == 99, ground.output()
    summary = summary_of(tmp_path)
    assert summary["outcomes"]["expired"] == 12
    assert summary["rejected"]["expired by our clock"] >= 12
    assert summary["node"]["clock_ahead_s"] == pytest.approx(-YEAR_S, abs=10)
    assert "the node's clock is 365 days behind this machine's; set both, or" in ground.output()
    assert "not taken: expired by our clock; set both, or start the end" in ground.output()
    assert "the ground's clock is 365 days ahead of this machine's; set both" in node.output()
    assert "expired by our clock" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize("clock_s", [-YEAR_S, -40 * YEAR_S])
def test_over_udp_the_end_without_a_clock_says_so_and_all_is_well(start, tmp_path, clock_s) -> None:
    flags = ("--untrusted-clock",) if clock_s == -YEAR_S else ()
    node, ground = start_both(start, tmp_path, "127.0.0.1", node_clock_s=clock_s, node_flags=flags)
    assert ground.wait() == 0, ground.output() + node.output()
    assert summary_of(tmp_path)["rejected"] == {}
    assert ("before 2000" in node.output()) is not bool(flags)


def test_over_udp_a_node_keeps_its_clock_over_a_restart(start, tmp_path) -> None:
    node, ground = start_both(start, tmp_path, "127.0.0.1", patience=12)
    ground.wait_for("#1 ")
    kill(node)
    command = node.process.args[node.process.args.index("-m") + 1 :]
    start(*command, clock_s=2)
    assert ground.wait() == 0, ground.output()
    with closing(sqlite3.connect(tmp_path / "node.sqlite")) as db:
        rows = db.execute("SELECT delivered_ns FROM questions ORDER BY rowid")
        delivered = [row[0] for row in rows]
    assert delivered == sorted(delivered)
