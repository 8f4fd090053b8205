"""The battery, whatever happens to it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.body.energy import Activity, Battery, PowerSection
from roundtrip.contacts import Windows
from roundtrip.node_config import EnergyConfig

HOUR_NS = 3600 * 10**9
watts = st.floats(0, 50, allow_nan=False)


@dataclass
class Change:
    wait_ns: int
    activity: Activity
    jobs: list[int] | None


changes = st.builds(
    Change,
    st.integers(0, HOUR_NS),
    st.sampled_from(list(Activity)),
    st.none() | st.lists(st.integers(0, 4), max_size=3, unique=True),
)
suns = st.lists(st.tuples(st.integers(0, 20 * HOUR_NS), st.integers(1, HOUR_NS)), max_size=8).map(
    lambda spans: Windows((start, start + length) for start, length in spans)
)
batteries = st.builds(
    Battery,
    st.builds(
        EnergyConfig,
        battery_wh=st.floats(0.01, 100),
        floor=st.floats(0, 1),
        start=st.floats(0, 1),
        solar_w=watts,
        bus_w=watts,
    ),
    st.builds(
        PowerSection,
        idle_w=watts,
        prefill_w=watts,
        decode_w=watts,
        radio_tx_w=watts,
        radio_rx_w=watts,
    ),
    suns,
)


def run(battery: Battery, script: list[Change], step_ns: int | None = None) -> Battery:
    now_ns = 0
    for change in script:
        if step_ns is not None:
            for at_ns in range(now_ns, now_ns + change.wait_ns, step_ns):
                battery.advance(at_ns)
        now_ns += change.wait_ns
        battery.serve(change.activity, change.jobs, now_ns=now_ns)
        assert battery.balanced
        assert 0 <= battery.charge_share <= 1
    return battery


@given(batteries, st.lists(changes, max_size=12))
def test_no_energy_comes_from_nowhere_or_goes_there(battery: Battery, script: list[Change]) -> None:
    run(battery, script)


@given(st.data(), st.lists(changes, max_size=6))
def test_the_steps_of_time_do_not_matter(data: st.DataObject, script: list[Change]) -> None:
    config = data.draw(st.builds(EnergyConfig, battery_wh=st.floats(0.01, 9), solar_w=watts))
    power = PowerSection(idle_w=2, prefill_w=6.5, decode_w=5, radio_tx_w=13, radio_rx_w=1.2)
    sun = data.draw(suns)
    step_ns = data.draw(st.integers(HOUR_NS // 50, HOUR_NS))
    whole = run(Battery(config, power, sun), script)
    stepped = run(Battery(config, power, sun), script, step_ns)
    assert whole.totals == stepped.totals
    assert whole.charge_j == stepped.charge_j
    for job in range(5):
        assert whole.answer_j(job) == pytest.approx(stepped.answer_j(job), abs=1e-9)


@given(batteries, st.lists(changes, max_size=6), st.floats(0, 1000))
def test_when_it_says_it_is_ready_it_is(
    battery: Battery, script: list[Change], needs_j: float
) -> None:
    run(battery, script)
    at_ns = battery.ready_ns(needs_j)
    if at_ns is None:
        return
    battery.advance(at_ns)
    assert battery.ready_ns(needs_j) == at_ns
