from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from node.body.energy import Activity, Battery, PowerSection, Priority, battery_of, cycles
from node.body.energy_book import EnergyBook
from node.service_time import load_profile
from roundtrip.contacts import Windows
from roundtrip.errors import BadConfig
from roundtrip.node_config import EnergyConfig
from roundtrip.scenario_file import check_scenario

S = 10**9
POWER = PowerSection(idle_w=2, prefill_w=6, decode_w=5, radio_tx_w=10, radio_rx_w=1)


def battery(sun: Windows | None = None, **changes: Any) -> Battery:
    """1 Wh, half full, in the dark."""
    settings = {"battery_wh": 1, "floor": 0.25, "start": 0.5, "solar_w": 12} | changes
    return Battery(EnergyConfig(**settings), POWER, sun or Windows([]))


def test_idling_in_the_dark_takes_the_idle_draw() -> None:
    one = battery(bus_w=3)
    one.advance(100 * S)
    assert one.charge_j == 1800 - 100 * 5


def test_sunlight_counts_for_the_time_it_shines_within_a_step() -> None:
    one = battery(Windows([(10 * S, 20 * S)]))
    one.advance(30 * S)
    assert one.charge_j == 1800 - 30 * 2 + 10 * 12


def test_a_full_battery_spills_and_an_empty_one_owes() -> None:
    full = battery(Windows([(0, 10**15)]), start=1)
    full.advance(10 * S)
    assert (full.charge_share, full.totals.spilled_j) == (1, 100)
    empty = battery(start=0)
    empty.advance(10 * S)
    assert (empty.charge_j, empty.totals.unmet_j) == (0, 20)
    assert full.balanced
    assert empty.balanced


def test_an_answer_costs_what_was_added_to_idling() -> None:
    one = battery()
    one.serve(Activity.PREFILL, [7], now_ns=0)
    one.serve(Activity.PREFILL, None, now_ns=3 * S)
    one.serve(Activity.DECODE, [7], now_ns=3 * S)
    one.serve(Activity.DECODE, None, now_ns=13 * S)
    one.serve(Activity.RADIO_TX, [7], now_ns=20 * S)
    one.serve(Activity.RADIO_TX, None, now_ns=21 * S)
    assert one.answer_j(7) == 3 * 4 + 10 * 3 + 1 * 10
    assert one.charge_j == 1800 - 21 * 2 - one.answer_j(7)
    assert one.settle(7) == 52
    assert one.settle(7) == 0


def test_answers_decoded_together_share_what_it_costs() -> None:
    one = battery()
    one.serve(Activity.DECODE, [1, 2, 3], now_ns=0)
    one.serve(Activity.DECODE, [3], now_ns=9 * S)
    one.advance(10 * S)
    assert one.answer_j(1) == one.answer_j(2) == 9
    assert one.answer_j(3) == 9 + 3


def test_prefill_and_decode_at_once_draw_as_the_hungrier_of_both() -> None:
    one = battery()
    one.serve(Activity.DECODE, [1], now_ns=0)
    one.serve(Activity.PREFILL, [2], now_ns=0)
    one.advance(10 * S)
    assert one.charge_j == 1800 - 10 * 6
    assert one.answer_j(1) == one.answer_j(2) == 20


def test_a_beacon_on_the_air_costs_no_answer_anything() -> None:
    one = battery()
    one.serve(Activity.RADIO_TX, [], now_ns=0)
    one.advance(S)
    assert one.charge_j == 1800 - 12


def test_below_the_floor_only_high_priority_runs() -> None:
    one = battery()
    assert one.may_run(Priority.NORMAL)
    assert one.may_run(Priority.LOW, needs_j=900)
    assert not one.may_run(Priority.NORMAL, needs_j=901)
    assert one.may_run(Priority.HIGH, needs_j=1800)
    assert not one.may_run(Priority.HIGH, needs_j=1801)
    one.advance(451 * S)
    assert not one.may_run(Priority.NORMAL)
    assert one.may_run(Priority.HIGH)
    one.advance(900 * S)
    assert not one.may_run(Priority.HIGH), "empty"


def test_it_knows_when_the_floor_is_left_behind() -> None:
    one = battery(Windows([(100 * S, 200 * S)]), start=0.25)
    assert one.ready_ns() == 0
    at_ns = one.ready_ns(needs_j=100)
    assert at_ns == 100 * S + 30 * S, "200 J lost until the sun, 10 W gained in it"
    one.advance(at_ns - 1)
    assert not one.may_run(Priority.NORMAL, needs_j=100)
    one.advance(at_ns)
    assert one.may_run(Priority.NORMAL, needs_j=100)


def test_or_that_it_never_will_be() -> None:
    one = battery(Windows([(0, 10 * S)]), start=0)
    assert one.ready_ns() is None
    assert battery(start=0).ready_ns() is None


def test_a_need_beyond_the_battery_waits_for_a_full_one() -> None:
    one = battery(Windows([(0, 10**6 * S)]))
    assert one.ready_ns(needs_j=10**6) == 180 * S


def test_time_does_not_run_backwards() -> None:
    one = battery()
    one.advance(10 * S)
    one.advance(5 * S)
    assert one.charge_j == 1780


def test_an_orbit_without_a_plan_has_its_eclipse_at_the_end() -> None:
    assert cycles(95, 35, 200).spans == ((0, 60), (95, 155), (190, 250))


SCENARIO: dict[str, Any] = {
    "link": {name: {"rate_bps": 9600, "one_way_delay_ms": 1} for name in ("uplink", "downlink")},
    "workload": {"questions": ["Well?"], "count": 1},
    "node": {"profile": "rpi4-4gb", "energy": {"battery_wh": 10, "solar_w": 8}},
}
ORBIT: dict[str, Any] = {
    "orbit": {"start": datetime(2026, 6, 1, tzinfo=UTC), "hours": 24},
    "satellite": [{"name": "a", "altitude_km": 550, "raan_deg": 120}],
    "station": [{"name": "b", "lat_deg": 52, "lon_deg": 13}],
}


def test_sunlight_follows_from_the_orbit() -> None:
    power = load_profile("rpi4-4gb").power
    made = battery_of(check_scenario(SCENARIO | ORBIT, "s"), power, 0)
    assert made is not None
    made.advance(24 * 3600 * S)
    lit_s = made.totals.harvested_j / 8
    assert 0.6 < lit_s / 86_400 < 0.75, "a low orbit is dark for a third of the time"
    assert made.balanced


def test_the_sunlight_is_that_of_the_satellite_that_the_node_is_on() -> None:
    noon = {"name": "noon", "altitude_km": 550, "raan_deg": 70}
    dawn = {"name": "dawn", "altitude_km": 550, "raan_deg": 160}
    power = load_profile("rpi4-4gb").power

    def lit_s(satellites: list[dict[str, Any]], on: str) -> float:
        node = SCENARIO["node"] | {"satellite": on}
        table = SCENARIO | ORBIT | {"satellite": satellites, "node": node}
        made = battery_of(check_scenario(table, "s"), power, 0)
        assert made is not None
        made.advance(24 * 3600 * S)
        return made.totals.harvested_j / 8

    alone = {one["name"]: lit_s([one], "") for one in (noon, dawn)}
    assert alone["dawn"] > 1.2 * alone["noon"]
    for satellites in ([noon, dawn], [dawn, noon]):
        for name in alone:
            assert lit_s(satellites, name) == alone[name]
        assert lit_s(satellites, "") == alone[satellites[0]["name"]], "the first, without a name"


def test_without_an_orbit_it_is_always_light_or_as_the_cycle_says() -> None:
    power = load_profile("rpi4-4gb").power
    made = battery_of(check_scenario(SCENARIO, "s"), power, 100 * S)
    assert made is not None
    made.advance(100 * S)
    assert made.totals.harvested_j == 800
    energy = SCENARIO["node"]["energy"] | {"orbit_min": 1, "eclipse_min": 0.5}
    node = SCENARIO["node"] | {"energy": energy}
    made = battery_of(check_scenario(SCENARIO | {"node": node}, "s"), power, 120 * S)
    assert made is not None
    made.advance(120 * S)
    assert made.totals.harvested_j == 60 * 8


def test_a_question_that_is_read_once_more_is_not_written_meanwhile() -> None:
    battery = SimpleNamespace(served=[])
    battery.serve = lambda what, jobs, *, now_ns: battery.served.append((what, jobs))
    book = EnergyBook(battery)
    book.started(7, now_ns=0)
    book.first_token(7, now_ns=1)
    book.started(7, now_ns=2)
    assert [list(jobs or ()) for _, jobs in battery.served[-2:]] == [[7], []]


def test_without_energy_there_is_no_battery_and_without_watts_an_error() -> None:
    node = {"profile": "builtin"}
    assert battery_of(check_scenario(SCENARIO | {"node": node}, "s"), None, 0) is None
    with pytest.raises(BadConfig, match=r"a profile with \[power\]"):
        battery_of(check_scenario(SCENARIO, "s"), None, 0)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"battery_wh": 0}, "battery_wh"),
        ({"floor": 1.1}, "floor"),
        ({"start": -0.1}, "start"),
        ({"solar_w": -1}, "solar_w"),
        ({"eclipse_min": 96}, "energy"),
        ({"colour": 1}, "colour"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], key: str) -> None:
    node = SCENARIO["node"] | {"energy": SCENARIO["node"]["energy"] | change}
    with pytest.raises(BadConfig, match=key):
        check_scenario(SCENARIO | {"node": node}, "s")


def test_a_charge_is_told_in_thousandths() -> None:
    book = EnergyBook(SimpleNamespace(charge_share=1.0))
    assert book.charge_permille == 1000
    assert EnergyBook(None).charge_permille is None
