"""What the ground alone says of a question's stages. Times are round numbers of ns."""

from __future__ import annotations

import pytest

from dtn.agent import TransmissionStarted
from dtn.bpv7.bundle import BundleId
from dtn.ltp.segment import SessionId
from ground.results.record import NodeTimes
from ground.stamps import NOTHING_KNOWN, REPORT_BYTES, Quickest, Stamps, Way, quickest
from roundtrip.contacts import FOREVER_NS, Windows
from roundtrip.message import TICK_US
from roundtrip.scenario_file import check_scenario
from roundtrip.stages import Stage
from roundtrip.units import NS_PER_MS, NS_PER_S, NS_PER_US, ms_to_ns

MS = NS_PER_MS
QUICK = Quickest(Way(8_000, 20 * MS), Way(80_000, 30 * MS))
"""A byte takes 1 ms up, 0.1 ms down."""
OPEN = Windows([(0, FOREVER_NS)])
TIMES = NodeTimes(10 * MS, 60 * MS, 100 * MS, 5)
BUNDLE = BundleId("ipn:1.1", 1, 1)


def asked(*, started_ms: int = 200, handed_ms: int = 190, interrupted: bool = False) -> Stamps:
    """Submitted at 100 ms; its block has 100 bytes."""
    stamps = Stamps({Stage.INTENDED: 0, Stage.SUBMITTED: 100 * MS}, interrupted)
    begun = TransmissionStarted(BUNDLE, SessionId(1, 7), started_ms * MS, 100)
    assert stamps.uplink_started(begun, now_ns=handed_ms * MS)
    return stamps


def replied(stamps: Stamps, at_ms: int = 1000, quick: Quickest = QUICK):
    """In a block of 50 bytes, which take 5 ms."""
    return stamps.replied(TIMES, at_ms * MS, 50, quick, OPEN)


def test_without_a_report_delivered_is_the_earliest_that_the_link_allows() -> None:
    """Handed at 190, 100 ms of bits, 20 ms of light: 310. The reply leaves by 965."""
    found = replied(asked())
    assert found.stamps == {
        Stage.INTENDED: 0,
        Stage.SUBMITTED: 100 * MS,
        Stage.UPLINK_STARTED: 200 * MS,
        Stage.DELIVERED: 310 * MS,
        Stage.STARTED: 320 * MS,
        Stage.FIRST_TOKEN: 370 * MS,
        Stage.FINISHED: 410 * MS,
        Stage.DOWNLINK_STARTED: 410 * MS,
        Stage.ANSWERED: 1000 * MS,
    }
    assert found.uncertainty_ns == 555 * MS + TICK_US * NS_PER_US, "delivered may be as late as 865"


def test_with_a_report_delivered_is_the_latest_that_it_allows() -> None:
    stamps = asked()
    assert stamps.acknowledged(500 * MS)
    assert not stamps.acknowledged(600 * MS), "the first one counts"
    found = replied(stamps)
    latest_ns = 500 * MS - 30 * MS - REPORT_BYTES * MS // 10
    assert found.stamps[Stage.DELIVERED] == latest_ns
    assert found.stamps[Stage.DOWNLINK_STARTED] == latest_ns + 100 * MS
    assert found.uncertainty_ns == 965 * MS - (latest_ns + 100 * MS), "the reply may leave late"


def test_a_report_that_came_after_the_reply_says_nothing_new() -> None:
    stamps = asked()
    stamps.acknowledged(999 * MS)
    assert replied(stamps).stamps[Stage.DELIVERED] == 865 * MS


def test_a_modem_may_hold_the_first_frame_back() -> None:
    """As long as it can still be there by 409 ms."""
    stamps = asked(started_ms=200, handed_ms=200)
    stamps.acknowledged(440 * MS + REPORT_BYTES * MS // 10)
    found = replied(stamps, at_ms=545)
    assert found.stamps[Stage.UPLINK_STARTED] == 200 * MS
    assert found.uncertainty_ns == 90 * MS


def test_what_was_sent_before_a_restart_may_have_been_there_long_ago() -> None:
    found = replied(asked(started_ms=500, handed_ms=500, interrupted=True))
    assert found.stamps[Stage.DELIVERED] == 500 * MS, "from 220 on, but no earlier than its start"
    assert found.uncertainty_ns >= 400 * MS, "it may have left at 100"


def test_a_reply_to_a_question_that_has_not_left_again_gets_stamps_too() -> None:
    stamps = Stamps({Stage.INTENDED: 0, Stage.SUBMITTED: 100 * MS}, interrupted=True)
    found = replied(stamps)
    assert found.stamps[Stage.DELIVERED] == 120 * MS
    assert Stage.UPLINK_STARTED not in found.stamps
    assert found.uncertainty_ns == 745 * MS + TICK_US * NS_PER_US


@pytest.mark.parametrize(("answered_ms", "known"), [(445, True), (425, True), (424, False)])
def test_a_node_that_counts_from_another_delivery_is_not_believed(
    answered_ms: int, known: bool
) -> None:
    """It cannot have finished before 410, and the reply takes 35."""
    found = replied(asked(), at_ms=answered_ms)
    assert (Stage.DELIVERED in found.stamps) is known
    if known:
        assert found.stamps[Stage.DELIVERED] == 310 * MS
    else:
        assert found.uncertainty_ns == 224 * MS, "nothing but when it left is claimed"


def test_a_reply_waits_for_the_next_contact() -> None:
    contacts = Windows([(0, 300 * MS), (700 * MS, 800 * MS)])
    found = asked().replied(TIMES, 1000 * MS, 50, QUICK, contacts)
    assert found.stamps[Stage.DOWNLINK_STARTED] == 700 * MS


def test_where_nothing_is_known_of_the_link_light_and_bits_take_no_time() -> None:
    found = replied(asked(handed_ms=200), quick=NOTHING_KNOWN)
    assert found.stamps[Stage.DELIVERED] == 200 * MS
    assert found.uncertainty_ns == 700 * MS + TICK_US * NS_PER_US


def test_an_expired_question_has_left_some_time_before_it_did() -> None:
    found = asked().expired(900 * MS)
    assert found.stamps == {
        Stage.INTENDED: 0, Stage.SUBMITTED: 100 * MS, Stage.UPLINK_STARTED: 200 * MS,
    }  # fmt: skip
    assert found.uncertainty_ns == 700 * MS
    assert Stamps({Stage.INTENDED: 0}).expired(900 * MS).uncertainty_ns == 0


def test_later_sessions_change_no_stamp() -> None:
    stamps = asked()
    again = TransmissionStarted(BUNDLE, SessionId(1, 8), 300 * MS, 999)
    assert not stamps.uplink_started(again, now_ns=300 * MS)
    assert stamps.sessions == [SessionId(1, 7), SessionId(1, 8)]
    assert (stamps.own[Stage.UPLINK_STARTED], stamps.block_bytes) == (200 * MS, 100)
    assert stamps.handed_ns == 190 * MS


def test_the_quickest_of_a_scenario_is_its_highest_rate_at_its_shortest_range() -> None:
    way = {"rate_bps": 9_600, "one_way_delay_ms": 1}
    scenario = check_scenario(
        {
            "link": {"uplink": way, "downlink": way | {"rate_bps": 2_000_000}},
            "contact": [
                {"start_s": 0, "end_s": 100, "ranges_km": [2000, 600, 2000]},
                {"start_s": 200, "end_s": 300, "ranges_km": [2500, 900, 2500]},
            ],
            "workload": {"questions": ["?"], "count": 1},
        },
        "test",
    )
    found = quickest(scenario)
    light_ns = ms_to_ns(1) + round(600 / 299_792.458 * NS_PER_S)
    assert found == Quickest(Way(9_600, light_ns), Way(2_000_000, light_ns))
    assert found.up.least_ns(1_200) == NS_PER_S + light_ns
