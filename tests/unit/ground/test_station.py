"""What the station says and counts of what it did not take."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ground.desk import Desk
from ground.outputs import NodeHealth
from ground.progress import Progress
from ground.station import Station
from ground.store import GroundStore, StartedRun
from roundtrip.anchor import Anchor, Reading
from roundtrip.config import OrbitConfig
from roundtrip.drive import clock
from roundtrip.message import Health, Vitals
from roundtrip.modem import Hello
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario
from roundtrip.screen import Screen
from roundtrip.transport import MAX_REASONS, NO_DATE
from testbed.world_hands import GroundHands
from tests.unit.node.conftest import CUE

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


def test_the_ground_tells_the_time_of_its_run(
    station: Station, said: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "reading", lambda: Reading("here", 7_000_000_000, 20_000))
    monkeypatch.setattr(clock, "monotonic_ns", lambda: 8_000_000_000)
    store = GroundStore(tmp_path / "l")
    station._recover(store)
    assert station._hello() == Hello(station._run_id, None, 20_000), "one that has not begun"
    store.start(StartedRun(5, Anchor("here", 4_000_000_000, 17_000)))
    station._recover(store)
    store.close()
    assert station._hello() == Hello(5, 4_000_000_000, 17_000), "one that goes on"
    begun = SimpleNamespace(clock=SimpleNamespace(now_ns=lambda: 6_000_000_000))
    monkeypatch.setattr(station, "_actor", begun)
    assert station._hello() == Hello(5, 6_000_000_000, 17_000), "one that is under way"
    assert said.getvalue() == "going on with an interrupted run: 0 of 3 questions settled\n"


def test_a_clock_that_is_not_trusted_has_no_date(
    station: Station, said: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "reading", lambda: Reading("here", 7_000_000_000, 0))
    store = GroundStore(tmp_path / "l")
    for trusted, note in ((False, ""), (True, f"{NO_DATE}\n")):
        monkeypatch.setattr(station, "_trusted_clock", trusted)
        station._recover(store)
        assert station._hello() == Hello(station._run_id, None, 0)
        assert said.getvalue() == note
    store.close()


@pytest.mark.parametrize(
    ("since_s", "elapsed_ns"),
    [(-1, None), (0, 0), (1_800, 1_800 * 10**9), (7_199, 7_199 * 10**9), (7_200, None)],
)
def test_a_station_that_stands_is_where_its_plan_is_by_the_clock(
    station: Station, monkeypatch: pytest.MonkeyPatch, since_s: int, elapsed_ns: int | None
) -> None:
    start_s, monday = 1_780_272_000, "2026-06-01T00:00:00Z"
    now_ms = (start_s + since_s - clock.DTN_EPOCH_UNIX_S) * 1000
    monkeypatch.setattr(clock, "unix_s", lambda: start_s + since_s)
    monkeypatch.setattr(clock, "reading", lambda: Reading("here", 5, now_ms))
    orbit = OrbitConfig(start=monday, hours=2)
    station._scenario = station._scenario.model_copy(update={"orbit": orbit})
    assert station._hello().elapsed_ns is None, "one that ends begins its own time"
    station._desk = Desk()
    assert station._hello().elapsed_ns is None, "a workload is asked from its beginning"
    station._planned = []
    since_ms = 0 if elapsed_ns is None else since_s * 1000
    assert station._hello() == Hello(station._run_id, elapsed_ns, now_ms - since_ms)


def test_a_desk_knows_the_date_of_the_plans_zero(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ground.station.RealtimeClock", lambda origin_ns: None)
    monkeypatch.setattr("ground.station.Actor", lambda at, name, machine, perform: machine)
    for epoch_ms, zero_s in ((0, 0.0), (1_500, clock.DTN_EPOCH_UNIX_S + 1.5)):
        station._desk, station._store = Desk(), GroundStore(tmp_path / f"{epoch_ms}")
        station._begin(replace(CUE, dtn_epoch_ms=epoch_ms))
        station._store.close()
        assert station._desk.zero_unix_s == zero_s


@pytest.mark.parametrize("live", [True, False])
def test_a_node_whose_engine_died_last_is_shown_with_its_vitals(
    station: Station, live: bool
) -> None:
    """Its health says none when the engine comes up, and a run may end before a beacon."""
    station._actor = SimpleNamespace(clock=SimpleNamespace(now_ns=lambda: 0))
    world = SimpleNamespace(out=station._asked)
    hands = station if live else GroundHands(world)
    beacon = Health("tiny", "Q8_0", 512, 1, 0, Vitals(mended=3))
    hands.health(beacon)
    hands.health(Health("tiny", "Q8_0", 512, 1, 1))
    assert station._asked.health == replace(beacon, engine_restarts=1)


def test_what_a_run_that_goes_on_knew_of_its_node_is_known_again(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "reading", lambda: Reading("here", 7_000_000_000, 20_000))
    health = Health("tiny", "Q8_0", 512, 1, 0)
    store = GroundStore(tmp_path / "l")
    store.start(StartedRun(5, Anchor("here", 4_000_000_000, 17_000)))
    said = replace(health, vitals=Vitals(mended=3))
    store.apply(NodeHealth(said))
    store.apply(NodeHealth(health))
    station._recover(store)
    store.close()
    assert station._asked.health == said, "what comes up again has said nothing new"
