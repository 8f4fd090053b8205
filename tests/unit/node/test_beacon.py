from __future__ import annotations

from typing import Any

import pytest

from node.beacon import BEFORE_LOS_NS, IDLE_NS, Beacon, MeasureVitals, los_of
from roundtrip.message import Health, Vitals
from roundtrip.scenario_file import check_scenario

S = 10**9
PERIOD = 60 * S


def times(beacon: Beacon, until_ns: int) -> list[int]:
    """When beacons are made, woken only at the deadlines."""
    found: list[int] = []
    while (deadline := beacon.deadline) is not None and deadline[0] <= until_ns:
        assert beacon.take(deadline[0] - 1) == []
        assert beacon.take(deadline[0]) == [MeasureVitals()]
        assert beacon.take(deadline[0]) == []
        found.append(deadline[0])
    return found


def test_one_every_period_while_questions_come() -> None:
    beacon = Beacon(PERIOD)
    assert beacon.deadline is None
    beacon.carrier(True, 5 * S)
    found: list[int] = []
    while len(found) < 3:
        beacon.asked()
        found += times(beacon, 65 * S + len(found) * PERIOD)
    assert found == [65 * S, 125 * S, 185 * S]


def test_rarer_and_rarer_while_nothing_is_asked_but_one_an_hour() -> None:
    beacon = Beacon(PERIOD)
    beacon.carrier(True, 0)
    found = times(beacon, 14 * 86_400 * S)
    assert found[:4] == [60 * S, 180 * S, 420 * S, 900 * S]
    assert found[-1] - found[-2] == IDLE_NS
    assert len(found) < 14 * 24 + 10
    beacon.asked()
    assert beacon.deadline == (found[-1] + PERIOD, "beacon")


def test_a_period_of_more_than_an_hour_stays() -> None:
    beacon = Beacon(2 * IDLE_NS)
    beacon.carrier(True, 0)
    assert times(beacon, 7 * IDLE_NS) == [2 * IDLE_NS, 4 * IDLE_NS, 6 * IDLE_NS]


def test_none_without_a_carrier_and_one_at_once_after_it() -> None:
    beacon = Beacon(PERIOD)
    beacon.carrier(True, 0)
    beacon.carrier(False, 10 * S)
    assert beacon.deadline is None
    beacon.carrier(True, 500 * S)
    assert beacon.take(500 * S) == [MeasureVitals()]
    assert beacon.deadline == (620 * S, "beacon")


def test_one_before_loss_of_signal() -> None:
    los = 95 * S
    beacon = Beacon(PERIOD, [los])
    beacon.carrier(True, 0)
    assert times(beacon, los) == [60 * S, los - BEFORE_LOS_NS]


def test_no_period_is_no_beacon() -> None:
    beacon = Beacon(0, [95 * S])
    beacon.carrier(True, 0)
    assert beacon.deadline is None


def test_loss_of_signal_is_known_from_the_plan_less_planned_outages() -> None:
    table: dict[str, Any] = {
        "link": {
            name: {"rate_bps": 9600, "one_way_delay_ms": 1} for name in ("uplink", "downlink")
        },
        "workload": {"questions": ["Well?"], "count": 1},
    }
    assert los_of(check_scenario(table, "s")) == ()
    table["contact"] = [{"start_s": 0, "end_s": 50}]
    table["outage"] = [{"start_s": 20, "end_s": 30, "kind": "planned", "direction": "downlink"}]
    assert los_of(check_scenario(table, "s")) == (20 * S, 50 * S)


def test_the_machine_asks_for_a_measurement_and_sends_it(make_bench) -> None:
    bench = make_bench(beacon=Beacon(PERIOD))
    assert bench.node.deadline == (bench.node.deadline[0], "beacon")
    bench.now_ns += PERIOD
    assert MeasureVitals() in bench.call(bench.node.timeout)
    health = Health("tiny", "Q8_0", 512, 1, 0, Vitals(rss_bytes=7))
    bench.call(bench.node.beacon, health)
    assert bench.answers == [health]


@pytest.mark.parametrize("up", [True, False])
def test_a_machine_without_a_beacon_never_asks(bench, up: bool) -> None:
    bench.now_ns += PERIOD
    assert bench.call(bench.node.timeout) == []


def test_an_idle_node_says_how_it_does_once_an_hour() -> None:
    assert IDLE_NS == 3600 * S


def test_a_node_that_was_never_told_of_a_link_says_nothing() -> None:
    beacon = Beacon(PERIOD)
    beacon._last_ns = 0
    assert beacon.deadline is None
