from __future__ import annotations

import pytest

from link_sim.rendezvous import SILENT_NS, Answer, Rendezvous, Start
from roundtrip.modem import Hello, Side
from roundtrip.units import NS_PER_MS

GROUND, NODE = Side.GROUND, Side.NODE
RUN = 5


def met() -> Rendezvous:
    """Ground `g` and node `n` in run 5 since 10 ns."""
    place = Rendezvous()
    assert place.hello(NODE, b"n", Hello(None, None), now_ns=0) is Answer.NOTHING
    assert place.hello(GROUND, b"g", Hello(RUN, None), now_ns=10) == Start(RUN, 0, 0)
    return place


def keep_alive(place: Rendezvous, now_ns: int) -> None:
    place.hello(GROUND, b"g", Hello(RUN, now_ns), now_ns=now_ns)
    place.hello(NODE, b"n", Hello(RUN, None), now_ns=now_ns)


def test_a_run_starts_when_both_are_there_in_either_order() -> None:
    met()
    place = Rendezvous()
    assert place.hello(GROUND, b"g", Hello(RUN, None), now_ns=0) is Answer.NOTHING
    assert place.hello(NODE, b"n", Hello(None, None), now_ns=10) == Start(RUN, 0, 0)


def test_who_has_heard_it_is_left_alone_and_who_has_not_gets_a_cue() -> None:
    place = met()
    assert place.hello(GROUND, b"g", Hello(RUN, 7), now_ns=20) is Answer.NOTHING
    assert place.hello(NODE, b"n", Hello(RUN, None), now_ns=20) is Answer.NOTHING
    assert place.hello(GROUND, b"g", Hello(RUN, None), now_ns=30) is Answer.CUE
    assert place.hello(NODE, b"n", Hello(RUN - 1, None), now_ns=30) is Answer.CUE


@pytest.mark.parametrize("side", [GROUND, NODE])
def test_a_second_user_is_told_that_it_is_busy_until_the_first_is_silent(side: Side) -> None:
    place = met()
    keep_alive(place, 100)
    hello = Hello(RUN + 1, None) if side is GROUND else Hello(None, None)
    assert place.hello(side, b"x", hello, now_ns=99 + SILENT_NS) is Answer.BUSY
    assert place.peer(side) != b"x"
    assert place.hello(side, b"x", hello, now_ns=100 + SILENT_NS) is not Answer.BUSY
    assert place.peer(side) == b"x"


def test_a_new_ground_starts_a_new_run_at_zero_whatever_the_nodes_clock_says() -> None:
    place = met()
    late = 50 * SILENT_NS
    place.hello(NODE, b"n", Hello(RUN, None), now_ns=late)
    assert place.hello(GROUND, b"x", Hello(6, None), now_ns=late) == Start(6, 0, 0)


def test_a_ground_that_was_killed_goes_on_with_its_run() -> None:
    place = met()
    late = 50 * SILENT_NS
    place.hello(NODE, b"n", Hello(RUN, None), now_ns=late)
    assert place.hello(GROUND, b"x", Hello(RUN, 77), now_ns=late) is Answer.CUE


def test_a_restarted_relay_takes_up_the_grounds_clock_and_date_only() -> None:
    for order in ((GROUND, NODE), (NODE, GROUND)):
        place = Rendezvous()
        hellos = {GROUND: Hello(RUN, 1234, 9), NODE: Hello(RUN, None)}
        first, second = order
        assert place.hello(first, b"a", hellos[first], now_ns=0) is Answer.NOTHING
        assert place.hello(second, b"b", hellos[second], now_ns=0) == Start(RUN, 1234, 9)


def test_the_clock_has_gone_on_since_the_ground_told_it() -> None:
    place = Rendezvous()
    place.hello(GROUND, b"g", Hello(RUN, 1000), now_ns=50)
    assert place.hello(NODE, b"n", Hello(RUN, None), now_ns=80) == Start(RUN, 1030, 0)


def test_a_new_run_has_the_date_at_which_it_starts_and_an_old_one_keeps_its_own() -> None:
    for elapsed_ns, dtn_epoch_ms in ((None, 1003), (5, 1000)):
        place = Rendezvous()
        place.hello(GROUND, b"g", Hello(RUN, elapsed_ns, 1000), now_ns=0)
        start = place.hello(NODE, b"n", Hello(None, None, 77), now_ns=3 * NS_PER_MS)
        assert isinstance(start, Start)
        assert start.dtn_epoch_ms == dtn_epoch_ms


def test_a_ground_without_a_date_starts_a_run_without_one() -> None:
    place = Rendezvous()
    place.hello(GROUND, b"g", Hello(RUN, None), now_ns=0)
    start = place.hello(NODE, b"n", Hello(None, None), now_ns=3 * NS_PER_MS)
    assert start == Start(RUN, 0, 0)


def test_no_run_starts_with_a_node_that_is_silent() -> None:
    place = Rendezvous()
    place.hello(NODE, b"n", Hello(None, None), now_ns=0)
    assert place.hello(GROUND, b"g", Hello(RUN, None), now_ns=SILENT_NS) is Answer.NOTHING
    assert place.hello(NODE, b"m", Hello(None, None), now_ns=SILENT_NS) == Start(RUN, 0, 0)


def test_a_ground_without_a_run_is_not_heard() -> None:
    place = Rendezvous()
    assert place.hello(GROUND, b"g", Hello(None, None), now_ns=0) is Answer.NOTHING
    assert place.peer(GROUND) is None
