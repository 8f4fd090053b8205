"""What the station says and counts of what it did not take."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest

from ground.progress import Progress
from ground.station import Station
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario
from roundtrip.screen import Screen
from roundtrip.transport import MAX_REASONS

CI = Path(__file__).parents[2] / "data" / "ci.toml"


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def station(said: io.StringIO, tmp_path: Path) -> Station:
    scenario: Scenario = load_scenario(CI)
    console = Screen(file=said, width=200)
    progress = Progress(console, scenario.plan(), 120, 3)
    return Station(scenario, 1, "tcp://x", tmp_path / "l", progress, asyncio.Event(), None)


def test_what_is_not_taken_is_said_once_with_the_remedy_and_counted(
    station: Station, said: io.StringIO
) -> None:
    for reason in ("expired by our clock", "expired by our clock", "message: [/red] x"):
        station.rejected(reason)
    first, second = said.getvalue().splitlines()
    assert first.startswith("not taken: expired by our clock; set both")
    assert second == "not taken: message: [/red] x", "text is text"
    assert station._asked.rejected == {"expired by our clock": 2, "message: [/red] x": 1}


def test_a_peer_that_words_reasons_without_end_fills_neither_memory_nor_screen(
    station: Station, said: io.StringIO
) -> None:
    for number in range(1000):
        station.rejected(f"message: {number}")
    assert len(said.getvalue().splitlines()) == MAX_REASONS + 1
    assert station._asked.rejected["others"] == 1000 - MAX_REASONS


def test_a_nodes_clock_is_said_and_kept(station: Station, said: io.StringIO) -> None:
    station.clocks_differ(-86_400_000 * 9)
    assert said.getvalue().startswith("the node's clock is 9 days behind this machine's; set both")
    assert station._asked.node_ahead_ms == -86_400_000 * 9
