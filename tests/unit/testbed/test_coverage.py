"""Coverage against a search by hand through the passes, and what must hold of any constellation."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
from click.testing import CliRunner

from roundtrip.errors import BadConfig
from roundtrip.orbit import Pass, Station, passes
from testbed.commands.coverage import coverage_command
from testbed.coverage import Constellation, coverage

START_JD = 2461192.5
BERLIN = Station("Berlin", 52.5, 13.4, 0, 10)
SVALBARD = Station("Svalbard", 78.2, 15.4, 0, 10)
SERVICE_S = 20.0
STEP_S = 10.0


def found(satellites, stations, hours: float = 12.0):
    return coverage(
        satellites, stations, start_jd=START_JD, hours=hours, service_s=SERVICE_S, step_s=STEP_S,
        tail_hours=14,
    )  # fmt: skip


@functools.cache
def passes_of(satellite, station: Station) -> list[Pass]:
    return passes(satellite, "", station, START_JD, 26 * 3600.0)


def by_hand(satellites, stations, station: Station, at_s: float) -> float:
    """The earliest answer to a question, from the passes."""
    answers: list[float] = []
    for satellite in satellites:
        spans = {place.name: passes_of(satellite, place) for place in stations}
        up = next((max(p.aos_s, at_s) for p in spans[station.name] if p.los_s > at_s), None)
        if up is None:
            continue
        ready = up + SERVICE_S
        downs = [max(p.aos_s, ready) for each in spans.values() for p in each if p.los_s > ready]
        answers += [min(downs)] if downs else []
    return min(answers) - at_s


def test_every_answer_is_the_one_that_the_passes_give() -> None:
    satellites = Constellation(3, 3, 1, 550, 97.6).satrecs(START_JD)
    stations = [BERLIN, SVALBARD]
    result = found(satellites, stations)
    for index, station in enumerate(stations):
        for moment in range(0, result.answer_s.shape[1], 97):
            expected = by_hand(satellites, stations, station, moment * STEP_S)
            waited = float(result.answer_s[index, moment])
            base = max(expected, SERVICE_S)
            assert waited == pytest.approx(base, abs=2.1 * STEP_S), (station.name, moment)


def test_more_never_hurts() -> None:
    few = Constellation(4, 2, 1, 550, 97.6).satrecs(START_JD)
    more = [*few, *Constellation(6, 3, 1, 700, 60).satrecs(START_JD)]
    alone, with_more = found(few, [BERLIN]), found(more, [BERLIN])
    assert np.all(with_more.answer_s <= alone.answer_s + 0.01)
    both = found(few, [BERLIN, SVALBARD])
    assert np.all(both.answer_s[0] <= alone.answer_s[0])


def test_the_constellation_is_spread_evenly() -> None:
    satellites = Constellation(24, 6, 1, 550, 53).satrecs(START_JD)
    assert len(satellites) == 24
    nodes = sorted({round(np.degrees(s.nodeo), 6) for s in satellites})
    assert nodes == [0, 60, 120, 180, 240, 300]
    star = Constellation(4, 2, 0, 550, 90, raan_span_deg=180).satrecs(START_JD)
    assert sorted({round(np.degrees(s.nodeo), 6) for s in star}) == [0, 90]


def test_the_command_prints_and_refuses(tmp_path) -> None:
    run = CliRunner().invoke
    args = ["--satellites", "4", "--planes", "2", "--first", "2", "--hours", "2"]
    plain = run(coverage_command, args)
    assert plain.exit_code == 0
    assert "4 satellites, 2 stations" in plain.output
    fields = json.loads(run(coverage_command, [*args, "--json"]).output)
    assert set(fields["stations"]) == {"Svalbard", "Punta-Arenas"}
    assert run(coverage_command, ["--satellites", "5", "--planes", "2"]).exit_code == 2
    assert run(coverage_command, ["--inclination", "steep"]).exit_code == 2
    bad = tmp_path / "stations.toml"
    bad.write_text('[[station]]\nname = "x"\nlat_deg = 91\nlon_deg = 0\n')
    refused = run(coverage_command, ["--stations", str(bad)])
    assert isinstance(refused.exception, BadConfig)
    assert "station.0.lat_deg" in str(refused.exception)
