"""Pacing over a link whose rate follows the range: frames leave at the rate of the moment."""

from __future__ import annotations

import itertools

from bench.pair import Pair
from roundtrip.framelog import Fate
from roundtrip.scenario_file import check_scenario
from roundtrip.units import s_to_ns, serialisation_ns

MTU = 400
MODCODS = [
    {"name": "slow", "rate_bps": 8_000, "ebn0_db": 45},
    {"name": "middle", "rate_bps": 32_000, "ebn0_db": 45},
    {"name": "fast", "rate_bps": 128_000, "ebn0_db": 45},
]
BUDGET = {"eirp_dbw": 15, "g_over_t_db_k": 20, "frequency_hz": 8e9, "modcods": MODCODS}
"""Reaches 2,846, 1,423 and 711 km."""


def test_a_pass_is_filled_without_a_queue_at_the_modem() -> None:
    direction = {"one_way_delay_ms": 0, "mtu_bytes": MTU, "queue_bytes": 3 * MTU, "budget": BUDGET}
    scenario = check_scenario(
        {
            "link": {"uplink": direction, "downlink": direction},
            "contact": [{"start_s": 0, "end_s": 300, "ranges_km": [3500, 500, 3500]}],
            "workload": {"questions": ["?"], "count": 1},
        },
        "test",
    )
    rate = scenario.rate("uplink")
    assert len(rate.changes) == 4
    pair = Pair(scenario, 1)
    for _ in range(600):
        pair.send(bytes(5_000), priority=1)
    pair.at(s_to_ns(310), lambda: None)
    pair.clock.run(lambda: pair.clock.now_ns() >= s_to_ns(310), limit_ns=s_to_ns(320))
    (window,) = scenario.contact_windows("uplink").spans
    up = [f for f in pair.seen.frames if f.direction == "uplink"]
    assert {fate.fate for fate in up} <= {Fate.DELIVERED, Fate.CUT_OFF}, "its queue never fills"
    sent = [fate for fate in up if fate.fate is Fate.DELIVERED]
    busy_ns = 0
    for fate in sent:
        assert fate.tx_start_ns is not None
        assert fate.tx_end_ns is not None
        length_ns = serialisation_ns(fate.size_bytes, rate.at(fate.tx_start_ns))
        assert fate.tx_end_ns - fate.tx_start_ns == length_ns
        busy_ns += length_ns
        ahead_ns = fate.tx_start_ns - fate.handed_ns
        slowest_ns = serialisation_ns(MTU, min(rate.at(fate.handed_ns), rate.at(fate.tx_start_ns)))
        assert ahead_ns <= 2 * slowest_ns
    assert busy_ns > 0.97 * (window[1] - window[0])
    speeds = [rate.at(fate.tx_start_ns or 0) for fate in sent]
    order = [speed for speed, _ in itertools.groupby(speeds)]
    assert order == [8_000, 32_000, 128_000, 32_000, 8_000]


def test_the_same_seed_gives_the_same_run(shipped, simulate) -> None:
    day = shipped["xband-day"]
    few = day.model_copy(update={"workload": day.workload.model_copy(update={"count": 40})})
    first, again = (simulate(few, 3) for _ in range(2))
    assert first.records == again.records
    assert first.fates == again.fates
