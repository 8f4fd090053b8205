"""How long it takes to simulate a day in orbit, ten thousand passes, and a large constellation."""

from __future__ import annotations

import tempfile
import time
import tomllib
from pathlib import Path

from bench.row import Row
from node.service_time import load_profile
from roundtrip.command import SHIPPED
from roundtrip.config import StationConfig
from roundtrip.orbit import Station, julian
from roundtrip.scenario_file import load_scenario
from testbed.campaign.runs import run_campaign
from testbed.campaign.sweep import points_of
from testbed.commands.coverage import STATIONS
from testbed.coverage import Constellation, coverage
from testbed.world import World

RUNS = 10_000
SCALED_RUNS = 2_000


def rows() -> list[Row]:
    """Seconds of wall-clock time."""
    one_s, two_s = (_campaign_s(SCALED_RUNS, jobs) for jobs in (1, 2))
    return [
        Row("orbit-day, 500 questions, one core", _orbit_day_s(), "s", 3, False),
        Row(f"leo-pass campaign, {RUNS:,} runs, 2 workers", _campaign_s(RUNS, 2), "s", 360, False),
        Row("the same, 2,000 runs: 1 worker / 2 workers", one_s / two_s, "ratio", 1.8, True),
        Row(
            "coverage, 100 satellites, 10 stations, 24 h", _coverage_s(100, 10, 10), "s", 10, False
        ),
        Row(
            "coverage, 2,800 satellites, 30 stations, 24 h",
            _coverage_s(2_800, 50, 30),
            "s",
            120,
            False,
        ),
    ]


def _orbit_day_s() -> float:
    scenario = load_scenario(SHIPPED / "orbit-day.toml")
    profile = load_profile(scenario.node.profile)
    begin = time.perf_counter()
    World(scenario, 1, profile).run()
    return time.perf_counter() - begin


def _campaign_s(runs: int, jobs: int) -> float:
    points = points_of(load_scenario(SHIPPED / "leo-pass.toml"), ())
    with tempfile.TemporaryDirectory() as name:
        begin = time.perf_counter()
        run_campaign(
            points, runs, Path(name), replay="", jobs=jobs, on_batch=lambda done, total: None
        )
        return time.perf_counter() - begin


def _coverage_s(satellites: int, planes: int, count: int) -> float:
    table = tomllib.loads(STATIONS.read_text(encoding="utf-8"))["station"][:count]
    stations = [Station(**StationConfig(**entry).model_dump()) for entry in table]
    start_jd = julian(load_scenario(SHIPPED / "orbit-day.toml").orbit.start)
    constellation = Constellation(satellites, planes, 1, 550.0, -1.0)
    begin = time.perf_counter()
    coverage(
        constellation.satrecs(start_jd),
        stations,
        start_jd=start_jd,
        hours=24,
        service_s=5,
        step_s=10,
        tail_hours=2,
    )
    return time.perf_counter() - begin
