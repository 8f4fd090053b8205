"""Traces are read strictly, and a link goes by them to the nanosecond."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from link_sim.link import Cue, Deliver, Link
from roundtrip.contacts import FOREVER_NS
from roundtrip.errors import BadConfig
from roundtrip.framelog import Fate, FrameFate
from roundtrip.link_trace import Trace, TraceDelay, TraceRate, of_time, read_trace
from roundtrip.modem import Side
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import load_scenario
from roundtrip.units import NS_PER_MS, NS_PER_S

S = NS_PER_S


@pytest.fixture
def read(tmp_path: Path):
    def go(text: str) -> Trace:
        path = tmp_path / f"{random.Random(text).random()}.csv"
        path.write_text(text)
        return read_trace(str(path))

    return go


def test_a_table_is_read(read) -> None:
    trace = read("# of ours\nt_s, rate_bps,rtt_ms,loss\n10,1e6,40,0\n\n11.5,2000000,41.5,1\n")
    assert trace.starts_ns == (0, 1_500_000_000)
    assert trace.length_ns == 3 * S
    assert trace.rates_bps == (1e6, 2e6)
    assert trace.delays_ns == (20_000_000, 20_750_000)
    assert trace.losses == (0.0, 1.0)
    assert read("t_s,one_way_delay_ms\n0,1\n1,2").delays_ns == (1_000_000, 2_000_000)


def test_delivery_opportunities_are_read(read) -> None:
    trace = read("0\n1\n1\n4\n")
    assert trace.length_ns == 4 * NS_PER_MS
    assert trace.starts_ns == (0, NS_PER_MS, 3 * NS_PER_MS)
    assert trace.rates_bps == (36e6, 0.0, 12e6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1 to 1,000,000 lines, found 0"),
        ("# nothing\n\n", "found 0"),
        ("a,b\n1,2", "line 1: expected `t_s` and any of rate_bps"),
        ("t_s\n1\n2", "line 1: expected `t_s` and any of rate_bps"),
        ("t_s,rate_bps,rate_bps\n1,2,2", "line 1: expected `t_s` and any of"),
        ("t_s,throughput_mbps\n1,2", "line 1: expected `t_s` and any of"),
        ("t_s,rtt_ms,one_way_delay_ms\n1,2,1", "one_way_delay_ms or rtt_ms, found both"),
        ("t_s,loss\n1,0.5", "two rows at least, found 1"),
        ("t_s,loss\n1,0.5\n1,0.5", "line 3: t_s: expected seconds, 1e-06 or more after"),
        ("t_s,loss\n0,0.5\n1e-7,0.5", "line 3: t_s: expected seconds, 1e-06 or more after"),
        ("t_s,loss\n1,0.5\nnan,0.5", "line 3: t_s: expected seconds"),
        ("t_s,loss\n1,0.5\n2e9,0.5", "line 3: t_s: expected seconds"),
        ("#\nt_s,loss\n1,0.5\n2,1.5", "line 4: loss: expected 0 to 1, found '1.5'"),
        ("t_s,loss\n1,0.5\n2,", "line 3: loss: expected 0 to 1, found ''"),
        ("t_s,loss\n1,nan\n2,0", "line 2: loss: expected 0 to 1, found 'nan'"),
        ("t_s,rtt_ms\n1,-1\n2,0", "line 2: rtt_ms: expected 0 to 3.6e+06"),
        ("t_s,rate_bps\n1,inf\n2,0", "line 2: rate_bps: expected 0 to 1e+12"),
        ("t_s,rate_bps\n1,5e-324\n2,9", "line 2: rate_bps: expected 0, or 1 and more"),
        ("t_s,rate_bps\n1,0\n2,0", "rate_bps: expected one that is more than 0, found none"),
        ("t_s,rate_bps\n1,2,3\n2,0", "line 2: expected 2 values, found 3"),
        ('t_s,rate_bps\n1,"2\n2,0', "line 2: rate_bps"),
        ("1\n2\nx", "line 3: expected a time in ms, not before the one above, found 'x'"),
        ("1\n2\n1", "line 3: expected a time in ms"),
        ("1\n9999999999", "line 2: expected a time in ms"),
        ("1\n-2", "line 2: expected a time in ms"),
    ],
)
def test_what_is_no_trace_is_refused(read, text: str, said: str) -> None:
    with pytest.raises(BadConfig) as raised:
        read(text)
    assert said in str(raised.value)


def rate(*steps: tuple[float, float], length_s: float, repeat: bool = True, linear: bool = False):
    trace = Trace(
        tuple(round(at * S) for at, _ in steps), round(length_s * S), tuple(b for _, b in steps)
    )
    return TraceRate(trace, repeat=repeat, linear=linear)


def test_a_frame_takes_as_long_as_the_rate_lets_it() -> None:
    it = rate((0, 8_000), (1, 16_000), length_s=2)
    assert it.end_ns(0, 500) == S // 2
    assert it.end_ns(S // 2, 500) == S
    assert it.end_ns(S // 2, 1000) == S + S // 4, "half at each rate"
    assert it.end_ns(0, 3000) == 2 * S
    assert it.end_ns(0, 3500) == 2 * S + S // 2, "it begins anew"
    assert it.end_ns(100 * S, 1000) == 101 * S
    assert it.most_bps == 16_000
    assert it.mean_bps == 12_000


def test_where_nothing_leaves_a_frame_waits() -> None:
    it = rate((0, 0), (1, 8_000), (2, 0), length_s=3)
    assert it.end_ns(0, 500) == S + S // 2
    assert it.end_ns(2 * S, 1) == 4 * S + NS_PER_MS
    assert it.end_ns(S + S // 2, 1000) == 4 * S + S // 2


def test_after_its_end_nothing_leaves_unless_it_repeats() -> None:
    it = rate((0, 8_000), (1, 8_000), length_s=2, repeat=False)
    assert it.end_ns(0, 2000) == 2 * S
    assert it.end_ns(0, 2001) == FOREVER_NS
    assert it.end_ns(5 * S, 1) == FOREVER_NS
    assert it.next_change(2 * S) is None


def test_each_opportunity_lets_1500_bytes_go(read) -> None:
    trace = read("3\n5\n5\n10\n")
    it = TraceRate(trace, repeat=True, linear=False)
    now_ns, ends = 0, []
    for _ in range(8):
        now_ns = it.end_ns(now_ns, 1500)
        ends.append(now_ns / NS_PER_MS)
    assert ends == [3, 4.5, 5, 10, 13, 14.5, 15, 20]
    assert it.end_ns(6 * NS_PER_MS, 1500) == 10 * NS_PER_MS, "what nobody used is gone"


def test_in_a_straight_line_the_mean_is_that_of_the_line() -> None:
    it = rate((0, 0), (1, 16_000), length_s=2, repeat=False, linear=True)
    assert it.mean_bps == pytest.approx((8_000 + 16_000) / 2)
    assert it.end_ns(0, 1000) == pytest.approx(S, rel=0.01)
    assert it.end_ns(0, 250) == pytest.approx(S / 2, rel=0.02)
    again = rate((0, 0), (1, 16_000), length_s=2, linear=True)
    assert again.mean_bps == pytest.approx(8_000), "down to the first one again"


def test_a_modem_says_what_its_rate_was() -> None:
    it = rate((0, 8_000), (1, 16_000), (2, 0), (3, 0), length_s=4)
    assert [it.at(at * S) for at in (1, 2, 3, 4)] == [8_000, 16_000, 60, 60]
    assert it.at(2 * S - 1) == 8_000
    assert it.at(0) == 8_000
    assert [it.next_change(at) for at in (0, S - 1, S)] == [S, S, 2 * S]


@given(
    st.lists(st.integers(0, 10**8), min_size=1, max_size=6),
    st.integers(0, 20 * S),
    st.lists(st.integers(1, 65_000), min_size=1, max_size=20),
    st.booleans(),
)
def test_frames_follow_each_other_and_none_is_faster_than_the_trace(
    rates: list[int], start_ns: int, sizes: list[int], linear: bool
) -> None:
    it = rate(*enumerate([*rates, 1000]), length_s=len(rates) + 1, linear=linear)
    now_ns = start_ns
    for size in sizes:
        end_ns = it.end_ns(now_ns, size)
        assert end_ns >= now_ns
        assert end_ns - now_ns >= math.floor(8 * size * S / it.most_bps) - 2
        now_ns = end_ns
    whole = it.end_ns(start_ns, sum(sizes))
    assert abs(now_ns - whole) <= 1e-6 * (whole - start_ns) + 20 * len(sizes)


def test_columns_by_time() -> None:
    trace = Trace((0, S), 2 * S, delays_ns=(10, 20))
    for repeat, linear, found in (
        (True, False, [10, 10, 20, 20, 10, 20]),
        (False, False, [10, 10, 20, 20, 20, 20]),
        (True, True, [10, 15, 20, 15, 10, 20]),
        (False, True, [10, 15, 20, 20, 20, 20]),
    ):
        of = of_time(trace, trace.delays_ns, repeat=repeat, linear=linear)
        moments = (0, S // 2, S, 3 * S // 2, 2 * S, 3 * S)
        assert [round(of(at)) for at in moments] == found
    delay = TraceDelay(trace, repeat=True, linear=False)
    assert (delay.at(0), delay.at(S), delay.least_ns) == (10, 20, 10)
    assert delay.sent_ns(S + 25) == S + 25 - 20
    assert delay.sent_ns(S + 5) == S + 5 - 10


# -- in a scenario ---------------------------------------------------------------------------------


def scenario(tmp_path: Path, trace: str, **uplink: Any) -> Scenario:
    (tmp_path / "a.csv").write_text(trace)
    options = "".join(f"{key} = {value!r}\n" for key, value in uplink.items())
    (tmp_path / "a.toml").write_text(
        f'[link.uplink]\nrate_bps = 8_000\none_way_delay_ms = 20\ntrace = "a.csv"\n{options}'
        "[link.downlink]\nrate_bps = 8_000\none_way_delay_ms = 30\n"
        '[workload]\nquestions = ["?"]\ncount = 1\n'
    )
    return load_scenario(tmp_path / "a.toml")


def arrivals(link: Link, until_ns: int) -> list[tuple[int, int]]:
    """When what arrived, ms and bytes."""
    found = []
    while (deadline := link.deadline) is not None and deadline[0] <= until_ns:
        at_ms = deadline[0] // NS_PER_MS
        outputs = link.timeout(now_ns=deadline[0])
        found += [(at_ms, len(one.frame)) for one in outputs if isinstance(one, Deliver)]
    return found


def test_the_link_goes_by_the_trace_and_the_plan_does_not(tmp_path: Path) -> None:
    it = scenario(tmp_path, "t_s,rate_bps,one_way_delay_ms\n0,80000,5\n1,16000,500\n")
    assert it.plan().rate_bps("ground", 0) == 8_000
    link = Link(it, 1)
    link.send(Side.GROUND, bytes(1000), now_ns=0)
    link.send(Side.GROUND, bytes(1001), now_ns=S)
    assert arrivals(link, 3 * S) == [(105, 1000), (2000, 1001)]
    other = link.send(Side.NODE, bytes(100), now_ns=0)
    assert isinstance(other[0], FrameFate)
    assert other[0].arrives_ns == 130 * NS_PER_MS


def test_frames_keep_their_order_though_the_delay_falls(tmp_path: Path) -> None:
    link = Link(scenario(tmp_path, "t_s,one_way_delay_ms\n0,900\n0.1,5\n"), 1)
    for size in (50, 51, 52):
        link.send(Side.GROUND, bytes(size), now_ns=0)
    assert arrivals(link, 2 * S) == [(950, 50), (950, 51), (950, 52)]


def test_modems_say_each_second_what_the_rate_was(tmp_path: Path) -> None:
    link = Link(scenario(tmp_path, "t_s,rate_bps\n0,80000\n1,16000\n"), 1)
    seen: dict[int, int] = {}
    while (deadline := link.deadline) is not None and deadline[0] <= 4 * S:
        for output in link.timeout(now_ns=deadline[0]):
            assert isinstance(output, Cue)
            if output.side is Side.GROUND:
                seen[deadline[0] // S] = output.carrier.tx_rate_bps
    assert seen == {0: 80_000, 1: 80_000, 2: 16_000, 3: 80_000, 4: 16_000}


def test_losses_are_those_of_the_moment(tmp_path: Path) -> None:
    link = Link(scenario(tmp_path, "t_s,loss\n0,0\n1,1\n2,0.5\n"), 1)
    fates: dict[int, list[Fate]] = {0: [], 1: [], 2: []}
    for at in range(3000):
        (fate,) = link.send(Side.GROUND, b".", now_ns=at * 2 * NS_PER_MS)
        assert isinstance(fate, FrameFate)
        fates[at // 500 % 3].append(fate.fate)
    assert set(fates[0]) == {Fate.DELIVERED}
    assert set(fates[1]) == {Fate.LOST}
    assert 430 < fates[2].count(Fate.LOST) < 570


def test_at_its_end_the_link_closes_where_it_is_told_so(tmp_path: Path) -> None:
    it = scenario(tmp_path, "t_s,rate_bps\n0,80000\n1,80000\n", trace_then="end")
    assert it.contact_windows("uplink").spans == ((0, 2 * S),)
    assert it.contact_windows("downlink").spans[0][1] == FOREVER_NS
    link = Link(it, 1)
    fates = [link.send(Side.GROUND, bytes(1000), now_ns=at)[0] for at in (1, 2 * S - 1, 2 * S)]
    assert [one.fate for one in fates if isinstance(one, FrameFate)] == [
        Fate.DELIVERED, Fate.CUT_OFF, Fate.NO_CONTACT,
    ]  # fmt: skip


def test_a_trace_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"a\.csv: line 1"):
        scenario(tmp_path, "no trace")
    (tmp_path / "a.csv").unlink()
    with pytest.raises(BadConfig, match=r"a\.csv"):
        load_scenario(tmp_path / "a.toml")


STARLINK = Path(__file__).parents[4] / "shared" / "golden" / "starlink"


@pytest.mark.skipif(not STARLINK.is_dir(), reason="measured data of others is not here")
def test_a_measured_link_is_replayed(tmp_path: Path) -> None:
    """Capacity every half second, by frames that always wait: the same as in the file."""
    lines = (STARLINK / "uplink_throughput.csv").read_text().splitlines()[1:]
    measured = [float(line.split(",")[1]) * 1e6 for line in lines]
    text = "t_s,rate_bps\n" + "".join(f"{at / 2},{bps}\n" for at, bps in enumerate(measured))
    (tmp_path / "m.csv").write_text(text)
    it = TraceRate(read_trace(str(tmp_path / "m.csv")), repeat=False, linear=False)
    sent = [0] * len(measured)
    now_ns = 0
    while (now_ns := it.end_ns(now_ns, 1500)) < len(measured) * S // 2:
        sent[now_ns // (S // 2)] += 1
    for bps, frames in zip(measured, sent, strict=True):
        assert frames * 1500 * 8 * 2 == pytest.approx(bps, abs=2 * 1500 * 8)
