from __future__ import annotations

import json

import pytest

from link_sim.link import Cue, Deliver, Link
from roundtrip.errors import BadInput
from roundtrip.framelog import Fate, FrameFate, read_log, to_line
from roundtrip.modem import Side
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import check_scenario
from roundtrip.units import NS_PER_S, ms_to_ns


def scenario(
    outages: list[dict[str, object]] | None = None,
    ranges_km: list[float] | None = None,
    budget: dict[str, object] | None = None,
) -> Scenario:
    down: dict[str, object] = {"rate_bps": 16_000} if budget is None else {"budget": budget}
    return check_scenario(
        {
            "link": {
                "uplink": {"rate_bps": 8_000, "one_way_delay_ms": 20},
                "downlink": {"one_way_delay_ms": 30} | down,
            },
            "contact": [{"start_s": 1, "end_s": 9, "ranges_km": ranges_km or []}],
            "outage": outages or [],
            "workload": {"questions": ["?"], "count": 1},
        },
        "test",
    )


def cues(link: Link, until_ns: int) -> list[tuple[int, Side, bool, bool]]:
    """Every cue as (at_ms, side, tx_up, rx_up)."""
    seen = []
    while (deadline := link.deadline) is not None and deadline[0] <= until_ns:
        for output in link.timeout(now_ns=deadline[0]):
            assert isinstance(output, Cue)
            at_ms = deadline[0] // 1_000_000
            seen.append((at_ms, output.side, output.carrier.tx_up, output.carrier.rx_up))
    return seen


def test_a_contact_opens_and_closes_for_sender_at_once_and_receiver_a_light_time_later() -> None:
    link = Link(scenario(), seed=1)
    assert [output.carrier.tx_up for output in link.start(now_ns=0)] == [False, False]
    assert cues(link, 20 * NS_PER_S) == [
        (1000, Side.GROUND, True, False),
        (1000, Side.NODE, True, False),
        (1020, Side.NODE, True, True),
        (1030, Side.GROUND, True, True),
        (9000, Side.GROUND, False, True),
        (9000, Side.NODE, False, True),
        (9020, Side.NODE, False, False),
        (9030, Side.GROUND, False, False),
    ]


def test_a_cued_outage_of_one_direction_leaves_the_other_alone() -> None:
    outage = {"start_s": 3, "end_s": 4, "kind": "cued", "direction": "uplink"}
    link = Link(scenario([outage]), seed=1)
    seen = [cue for cue in cues(link, 20 * NS_PER_S) if 2000 < cue[0] < 5000]
    assert seen == [
        (3000, Side.GROUND, False, True),
        (3020, Side.NODE, True, False),
        (4000, Side.GROUND, True, True),
        (4020, Side.NODE, True, True),
    ]


def test_the_receiver_hears_the_end_of_an_outage_while_the_range_grows() -> None:
    outage = {"start_s": 3, "end_s": 4, "kind": "cued", "direction": "downlink"}
    it = scenario([outage], ranges_km=[1000, 3000])
    seen = [cue for cue in cues(Link(it, seed=1), 20 * NS_PER_S) if 2000 < cue[0] < 5000]
    assert [cue[1:] for cue in seen if cue[1] is Side.GROUND] == [
        (Side.GROUND, True, False),
        (Side.GROUND, True, True),
    ]


def test_both_ends_are_told_of_a_new_rate_and_frames_take_it() -> None:
    budget = {
        "eirp_dbw": 10,
        "g_over_t_db_k": 20,
        "frequency_hz": 8e9,
        "modcods": [
            {"name": "slow", "rate_bps": 8_000, "ebn0_db": 45},
            {"name": "fast", "rate_bps": 16_000, "ebn0_db": 45},
        ],
    }
    it = scenario(ranges_km=[1400, 800], budget=budget)  # slow to 1,600 km, fast to 1,130
    link = Link(it, seed=1)
    (change,) = it.rate("downlink").changes
    assert 4 * NS_PER_S < change < 6 * NS_PER_S
    link.timeout(now_ns=change - 1)
    heard = []
    while (deadline := link.deadline) is not None and deadline[0] < change + NS_PER_S:
        for output in link.timeout(now_ns=deadline[0]):
            assert isinstance(output, Cue)
            cue = output.carrier
            heard.append((deadline[0] - change, output.side, cue.tx_rate_bps, cue.rx_rate_bps))
            assert (cue.tx_up, cue.rx_up) == (True, True)
    light_ns = it.light_time("downlink").at(change)
    assert heard == [
        (0, Side.NODE, 16_000, 8_000),
        (light_ns, Side.GROUND, 8_000, 16_000),
    ]
    fates = [link.send(Side.NODE, b"x" * 100, now_ns=change + at_ns)[0] for at_ns in (-1, 0)]
    lengths = [fate.tx_end_ns - fate.tx_start_ns for fate in fates if isinstance(fate, FrameFate)]
    assert lengths == [ms_to_ns(100), ms_to_ns(50)], "that of the first bit"


def test_nobody_is_told_of_a_silent_outage() -> None:
    quiet = {"start_s": 3, "end_s": 4, "kind": "silent"}
    assert cues(Link(scenario([quiet]), 1), 20 * NS_PER_S) == cues(
        Link(scenario(), 1), 20 * NS_PER_S
    )


def test_frames_cross_to_the_other_side() -> None:
    link = Link(scenario(), seed=1)
    link.start(now_ns=0)
    (fate,) = link.send(Side.GROUND, b"up", now_ns=2 * NS_PER_S)
    assert isinstance(fate, FrameFate)
    assert fate.arrives_ns == 2 * NS_PER_S + ms_to_ns(2) + ms_to_ns(20)
    outputs = link.timeout(now_ns=fate.arrives_ns)
    assert Deliver(Side.NODE, b"up") in outputs


def test_the_log_reads_back_what_was_written(tmp_path) -> None:
    link = Link(scenario(), seed=1)
    fates = [link.send(Side.NODE, b"\1" * size, now_ns=size * NS_PER_S)[0] for size in range(1, 12)]
    path = tmp_path / "frames.jsonl"
    lines = [to_line(fate) for fate in fates]
    path.write_text("\n".join([*lines[:3], lines[3][:20], "", *lines[3:], '{"cut off']))
    assert list(read_log(path)) == fates
    path.write_text("something else\n" * 10)
    with pytest.raises(BadInput, match="10 lines of something else"):
        list(read_log(path))


def test_a_line_of_the_log_is_what_json_makes_of_it() -> None:
    for end_ns, fate in ((None, Fate.NO_CONTACT), (-(10**18), Fate.DELIVERED)):
        line = to_line(FrameFate("uplink", 7, 1400, 10**18, 0, end_ns, None, fate, b'\0\xff"'))
        fields = json.loads(line)
        assert line == json.dumps(fields)
        assert (fields["tx_end_ns"], fields["fate"], fields["head"]) == (
            end_ns,
            fate.value,
            "00ff22",
        )
