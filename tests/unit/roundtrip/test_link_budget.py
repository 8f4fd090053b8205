"""Budgets against published ones, rates of a contact against its ranges, bad budgets refused."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundtrip.errors import BadConfig
from roundtrip.link_budget import BOLTZMANN_DB, Ladder, LinkBudget, free_space_loss_db
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import PRESETS, check_scenario, load_scenario, to_toml
from roundtrip.units import NS_PER_S, s_to_ns
from testbed.campaign.sweep import points_of


def budget(**changes: object) -> LinkBudget:
    """Two modcods; at 1,000 km and 8 GHz C/N0 is 10 + 20 - 170.51 + 228.60 = 88.09 dBHz."""
    table = {
        "eirp_dbw": 10,
        "g_over_t_db_k": 20,
        "frequency_hz": 8e9,
        "symbol_rate_baud": 10e6,
        "modcods": [
            {"name": "slow", "bits_per_symbol": 0.5, "esn0_db": 0},
            {"name": "fast", "bits_per_symbol": 2, "esn0_db": 10},
        ],
    }
    return LinkBudget.model_validate(table | changes)


def test_free_space_loss_is_that_of_itu_r_p_525() -> None:
    for range_km, frequency_mhz in ((1.0, 1.0), (1815.0, 8200.0), (36_000.0, 12_000.0)):
        expected = 32.45 + 20 * math.log10(frequency_mhz) + 20 * math.log10(range_km)
        assert free_space_loss_db(range_km, frequency_mhz * 1e6) == pytest.approx(
            expected, abs=0.01
        )
    assert pytest.approx(-228.6, abs=0.01) == BOLTZMANN_DB


def test_a_published_budget_comes_out_the_same() -> None:
    """Table 1 of doi:10.1186/s13638-020-01674-9 (EURASIP JWCN 2020): 2,200 MHz, 3.4 Mbit/s, EIRP
    38.3 dBm, free space 162.2 dB, depointing 10 dB, antenna 38.2 dBi, 130 K: C/N0 81.8 dBHz, Eb/N0
    16.5 dB; with 6 dB in the demodulator and 7 dB needed 3.5 dB are left."""
    range_km = 1396.0
    assert free_space_loss_db(range_km, 2.2e9) == pytest.approx(162.2, abs=0.05)
    table = {
        "eirp_dbw": 38.3 - 30,
        "g_over_t_db_k": 38.2 - 10 * math.log10(130),
        "frequency_hz": 2.2e9,
        "losses_db": 10,
        "modcods": [{"name": "QPSK 1/2", "rate_bps": 3_400_000, "ebn0_db": 7}],
    }
    published = LinkBudget.model_validate(table)
    cn0_db_hz = published.cn0_db_hz(range_km)
    assert cn0_db_hz == pytest.approx(81.8, abs=0.1)
    assert cn0_db_hz - 10 * math.log10(3_400_000) == pytest.approx(16.5, abs=0.1)
    left_db = cn0_db_hz - 6 - published.needed_cn0_db_hz(published.modcods[0])
    assert left_db == pytest.approx(3.5, abs=0.1)


def test_a_modcod_reaches_as_far_as_its_es_n0_allows() -> None:
    it = budget()
    assert it.cn0_db_hz(1000) == pytest.approx(88.09, abs=0.01)
    slow, fast = it.modcods
    # 88.09 - 70 (10 Mbaud) = 18.09 dB at 1,000 km; 18.09 dB in range are a factor of 8.03.
    assert it.reach_km(slow) == pytest.approx(8026, rel=1e-3)
    assert it.reach_km(fast) == pytest.approx(2538, rel=1e-3)
    assert budget(margin_db=4, losses_db=2).reach_km(slow) == pytest.approx(8026 / 1.9953, rel=1e-3)
    assert (it.rate_bps(slow), it.fastest_bps) == (5_000_000, 20_000_000)


def test_the_rate_changes_where_the_range_crosses_a_reach() -> None:
    it = budget()
    reach_km = it.reach_km(it.modcods[1])
    far_km = it.reach_km(it.modcods[0])
    ranges = (far_km + 1000, far_km - 1000, reach_km - 100, reach_km + 100, far_km + 100)
    steps = Ladder(it, 10**12).steps(ranges, 0, 400)
    assert [step.rate_bps for step in steps] == [0, 5_000_000, 20_000_000, 5_000_000, 0]
    assert steps[1].start_ns == 50
    assert steps[3].start_ns == 250
    assert [steps[0].start_ns, steps[-1].end_ns] == [0, 400]
    assert [step.modcod for step in steps] == ["", "slow", "fast", "slow", ""]


def test_modcods_that_are_slower_and_need_more_are_left_out_as_are_those_too_fast() -> None:
    modcods = [
        {"name": "a", "rate_bps": 100, "ebn0_db": 0},
        {"name": "useless", "rate_bps": 90, "ebn0_db": 3},
        {"name": "b", "rate_bps": 200, "ebn0_db": 0},
    ]
    it = budget(modcods=modcods)
    assert Ladder(it, 10**12).at(1.0) == (200, "b")
    assert Ladder(it, 150).at(1.0) == (100, "a")
    between = (it.reach_km(it.modcods[2]) + it.reach_km(it.modcods[0])) / 2
    assert Ladder(it, 10**12).at(between) == (100, "a")


RANGES = st.lists(st.floats(min_value=300, max_value=20_000), min_size=2, max_size=8)


@given(ranges=RANGES, start_s=st.integers(0, 10**6), length_s=st.integers(1, 10**4))
def test_steps_cover_a_contact_and_agree_with_the_range_everywhere(
    ranges: list[float], start_s: int, length_s: int
) -> None:
    ladder = Ladder(budget(), 10**12)
    start_ns, end_ns = start_s * NS_PER_S, (start_s + length_s) * NS_PER_S
    steps = ladder.steps(ranges, start_ns, end_ns)
    assert (steps[0].start_ns, steps[-1].end_ns) == (start_ns, end_ns)
    for before, after in itertools.pairwise(steps):
        assert before.end_ns == after.start_ns
        assert before.modcod != after.modcod
    for step in steps:
        assert step.start_ns < step.end_ns
        at = ((step.start_ns + step.end_ns) / 2 - start_ns) / (end_ns - start_ns)
        where = at * (len(ranges) - 1)
        index = min(int(where), len(ranges) - 2)
        middle = ranges[index] + (ranges[index + 1] - ranges[index]) * (where - index)
        nearby = {ladder.at(middle * (1 + tiny))[0] for tiny in (-1e-6, 0, 1e-6)}
        assert step.rate_bps in nearby


def table(**direction: object) -> dict[str, object]:
    """A scenario of one contact, 3,000 to 1,000 to 3,000 km in 200 s."""
    down = {"one_way_delay_ms": 0, "budget": budget().model_dump(exclude_none=True)}
    return {
        "link": {
            "uplink": {"rate_bps": 8_000, "one_way_delay_ms": 0},
            "downlink": down | direction,
        },
        "contact": [{"start_s": 100, "end_s": 300, "ranges_km": [3000, 1000, 3000]}],
        "workload": {"questions": ["?"], "count": 1},
    }


def loaded(**direction: object) -> Scenario:
    return check_scenario(table(**direction), "test")


def test_plan_and_rate_follow_the_budget() -> None:
    scenario = loaded()
    rate = scenario.rate("downlink")
    assert [rate.at(s_to_ns(s)) for s in (0, 101, 200, 299, 999)] == [
        5_000_000, 5_000_000, 20_000_000, 5_000_000, 5_000_000,
    ]  # fmt: skip
    down = [c for c in scenario.plan().contacts if c.source == "node"]
    assert [c.rate_bits_per_sec for c in down] == [5_000_000, 20_000_000, 5_000_000]
    assert (down[0].start_time, down[-1].end_time) == (s_to_ns(100), s_to_ns(300))
    assert scenario.plan().rate_bps("node", s_to_ns(200)) == 20_000_000
    assert scenario.plan().rate_bps("ground", s_to_ns(200)) == 8_000


def test_there_is_no_contact_while_nothing_closes() -> None:
    weak = budget(eirp_dbw=-2).model_dump(exclude_none=True)  # 8,026 km become 2,016
    scenario = loaded(budget=weak)
    (span,) = scenario.plan().downlink.spans
    assert s_to_ns(149) < span[0] < s_to_ns(150)
    assert s_to_ns(250) < span[1] < s_to_ns(251)
    assert scenario.plan().uplink.spans == ((s_to_ns(100), s_to_ns(300)),)
    dead = loaded(budget=budget(eirp_dbw=-60).model_dump(exclude_none=True))
    assert dead.plan().downlink.spans == ()
    assert "link.downlink.budget closes at no moment" in dead.out_of_reach


def test_rate_bps_beside_a_budget_is_the_modems_highest() -> None:
    assert loaded().link.downlink.rate_bps == 20_000_000
    assert loaded(rate_bps=6_000_000).rate("downlink").at(s_to_ns(200)) == 5_000_000
    with pytest.raises(BadConfig, match="must not be below all modcods"):
        loaded(rate_bps=4_000_000)


def test_a_sweep_over_the_symbol_rate_is_not_held_to_the_old_rate(tmp_path: Path) -> None:
    points = points_of(loaded(), ("link.downlink.budget.symbol_rate_baud=1e7,2e7",))
    assert [p.scenario.link.downlink.rate_bps for p in points] == [20_000_000, 40_000_000]
    path = tmp_path / "again.toml"
    path.write_text(to_toml(points[1].scenario))
    assert load_scenario(path).link == points[1].scenario.link


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"modcods": []}, r"link\.downlink\.budget\.modcods"),
        ({"modcods": [{"name": "a", "rate_bps": 1}]}, r"budget\.modcods\.0.*ebn0_db, or"),
        ({"modcods": [{"name": "a", "rate_bps": 1, "esn0_db": 1}]}, "rate_bps and ebn0_db, or"),
        ({"symbol_rate_baud": None}, r"symbol_rate_baud, which modcods\.0 needs"),
        ({"frequency_hz": 8.2}, r"budget\.frequency_hz"),
        ({"eirp_dbw": float("nan")}, r"budget\.eirp_dbw"),
        ({"g_t": 3}, r"budget\.g_t.*a known key"),
    ],
)
def test_a_bad_budget_names_file_and_key(change: dict[str, object], match: str) -> None:
    bad = budget().model_dump(exclude_none=True) | change
    with pytest.raises(BadConfig, match=match) as caught:
        loaded(budget={key: value for key, value in bad.items() if value is not None})
    assert caught.value.source == "test"


@pytest.mark.parametrize("contact", [[], [{"start_s": 0, "end_s": 9}]], ids=["always", "no range"])
def test_a_budget_without_ranges_is_refused(contact: list[dict[str, object]]) -> None:
    with pytest.raises(BadConfig, match=r"link\.downlink\.budget: expected an \[orbit\]"):
        check_scenario(table() | {"contact": contact}, "test")


def test_a_direction_without_rate_and_budget_says_what_is_missing() -> None:
    both = table()
    both["link"]["uplink"] = {"one_way_delay_ms": 0}
    with pytest.raises(BadConfig, match=r"link\.uplink\.rate_bps.*a rate, or a \[budget\]"):
        check_scenario(both, "test")


def test_the_preset_has_the_modcods_of_dvb_s2(tmp_path: Path) -> None:
    """At 10 degrees from 550 km: 12 - 175.90 - 3 + 26 + 228.60 = 87.70 dBHz; less 3 of margin and
    76.99 (50 Mbaud) are 7.71 dB, which is between 8PSK 2/3 and 8PSK 3/4."""
    assert (PRESETS / "leo-xband-acm.toml").exists()
    path = tmp_path / "it.toml"
    path.write_text(
        '[link]\npreset = "leo-xband-acm"\n[workload]\nquestions = ["?"]\ncount = 1\n'
        "[[contact]]\nstart_s = 0\nend_s = 9\nranges_km = [1815, 550]\n"
    )
    scenario = load_scenario(path)
    steps = scenario.rate_steps("downlink")
    assert (steps[0].modcod, steps[0].rate_bps) == ("8PSK 2/3", 99_031_800)
    assert steps[-1].modcod == "32APSK 9/10"
    it = scenario.link.downlink.budget
    assert it is not None
    for modcod in it.modcods:  # a slip of the pen would show against Shannon's limit
        assert modcod.bits_per_symbol is not None
        assert modcod.esn0_db is not None
        limit_db = 10 * math.log10(2**modcod.bits_per_symbol - 1)
        assert 0.5 < modcod.esn0_db - limit_db < 3.7, modcod.name
