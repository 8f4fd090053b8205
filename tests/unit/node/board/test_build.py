"""The errands of a node, as its scenario wants them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.__main__ import UNTOLD
from node.board.build import MAX_MOMENTS, Remembered, board_of
from node.board.errands import Errands
from node.board.spacecraft import Doing
from node.scheduler import Job, Order
from roundtrip.message import GREEDY, Question
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import check_scenario
from roundtrip.units import NS_PER_S

WAY = {"rate_bps": 9600, "one_way_delay_ms": 5}


def scenario(**table: Any) -> Scenario:
    workload = {"questions": ["?"], "count": 1}
    return check_scenario(
        {"link": {"uplink": WAY, "downlink": WAY}, "workload": workload} | table, "test"
    )


def shown(found: Scenario, now_ns: int = 100 * NS_PER_S, **settings: Any) -> str:
    asked = Question(1, "?", "", 64, GREEDY, "off", 60_000, see=("telemetry",))
    settings = {"unix_ns": lambda at_ns: 10**18 + at_ns} | settings
    board = board_of(found, found.node, lambda: Doing(0.62), length_ns=10**14, **settings)
    errands = Errands(board, found.node.tools)
    (action,) = errands.begin(Order(Job(asked, 0, 0), 64, False, 0, False, None), now_ns=now_ns)
    return str(getattr(action, "detail", "") or action.order.job.question.text)


def test_the_simulator_follows_the_battery_and_the_sun() -> None:
    assert "EPS.SOC 062 %" in shown(scenario(node={"telemetry": {}}))
    energy = {"battery_wh": 1, "solar_w": 1, "orbit_min": 2, "eclipse_min": 1}
    dark = scenario(node={"telemetry": {}, "energy": energy})
    assert shown(dark, 30 * NS_PER_S).startswith("SUN\n")
    assert shown(dark, 90 * NS_PER_S).startswith("ECLIPSE\n")


def test_a_node_without_a_scenario_has_what_the_shipped_ones_ask_for() -> None:
    asked = Question(1, "?", "", 64, GREEDY, "off", 60_000, see=("telemetry",))
    board = board_of(None, UNTOLD, Doing, length_ns=10**14, unix_ns=lambda at_ns: at_ns)
    errands = Errands(board, UNTOLD.tools)
    job = Order(Job(asked, 0, 0), 64, False, 0, False, None)
    (action,) = errands.begin(job, now_ns=61 * 60 * NS_PER_S)
    assert action.order.job.question.text.startswith("ECLIPSE\nEPS.VBAT ")


def test_its_seed_makes_another_spacecraft() -> None:
    frames = {shown(scenario(node={"telemetry": {"seed": seed}})) for seed in range(3)}
    assert len(frames) == 3


def test_a_file_is_read_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "feed.csv"
    source = {"telemetry": {"source": str(path)}}
    assert shown(scenario(node=source)) == "telemetry: feed.csv: No such file or directory"
    path.write_text("time,A [V]\n1000000099,5\n1000000105,6\n")
    assert shown(scenario(node=source)) == "A 5 V\n\n?"
    assert shown(scenario(node=source), 105 * NS_PER_S) == "A 6 V\n\n?"


def test_the_time_on_board_is_the_orbits_or_that_of_who_drives_the_run() -> None:
    orbit = {
        "orbit": {"start": "2026-06-01T00:00:00Z", "hours": 1},
        "satellite": [{"name": "a", "altitude_km": 550}],
        "station": [{"name": "b", "lat_deg": 52, "lon_deg": 13}],
    }
    for table, said in (({}, "2001-09-09T01:46:45Z"), (orbit, "2026-06-01T00:00:05Z")):
        found = scenario(**table)
        board = board_of(
            found, found.node, Doing, length_ns=1, unix_ns=lambda at_ns: 10**18 + at_ns
        )
        assert board.view("time.now", 5 * NS_PER_S) == (5 * NS_PER_S, {"time": said})


def test_the_machine_is_read(tmp_path: Path) -> None:
    text = shown(scenario(node={"telemetry": {"source": "machine"}}), folder=tmp_path)
    assert text.startswith("CPU.LOAD ")


def test_what_was_shown_is_kept() -> None:
    kept: dict[bytes, str] = {}
    text = shown(scenario(node={"telemetry": {}}), keep=kept.__setitem__)
    assert [f"{one}\n\n?" for one in kept.values()] == [text]


@pytest.mark.parametrize(
    ("at_ns", "seen"), [(0, 1), (5, 1), (10, 1), (11, 1), (20, 2), (25, 2), (30, 3)]
)
def test_what_the_node_did_is_remembered(at_ns: int, seen: float) -> None:
    now = iter((1.0, 2.0, 3.0))
    doing = Remembered(lambda: Doing(next(now)))
    for moment in (10, 20, 30):
        doing(moment)
    assert doing(at_ns).charge == seen


def test_not_all_of_it() -> None:
    doing = Remembered(lambda: Doing())
    for moment in range(2 * MAX_MOMENTS):
        doing(moment)
    assert len(doing._known) == MAX_MOMENTS
