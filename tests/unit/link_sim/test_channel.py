from __future__ import annotations

import pytest

from link_sim.channel import Channel
from link_sim.impairments import Impairments
from roundtrip.config import Direction
from roundtrip.contacts import LightTime, Rate, Windows
from roundtrip.framelog import Fate
from roundtrip.rng import substream
from roundtrip.units import NS_PER_MS, NS_PER_S, ms_to_ns

SECOND = NS_PER_S


def channel(
    *,
    loss: float = 0.0,
    contact: tuple[int, int] = (0, 1000 * SECOND),
    cued: tuple[tuple[int, int], ...] = (),
    silent: tuple[tuple[int, int], ...] = (),
    stuck: tuple[tuple[int, int], ...] = (),
    queue_bytes: int = 1000,
    **impaired: object,
) -> Channel:
    """8 kbit/s, so 100 bytes take 100 ms; 20 ms one way."""
    config = Direction.model_validate(
        {"rate_bps": 8_000, "one_way_delay_ms": 20, "loss": loss} | impaired
    )
    return Channel(
        "uplink",
        rate=Rate([(0, 8_000)]),
        light_time=LightTime([], ms_to_ns(20)),
        queue_bytes=queue_bytes,
        mtu_bytes=200,
        contact=Windows([contact]),
        cued=Windows(cued),
        silent=Windows(silent),
        stuck=Windows(stuck),
        impairments=Impairments(config, lambda cause: substream(1, cause)),
        frame_check=config.frame_check,
    )


def test_a_frame_takes_serialisation_plus_propagation() -> None:
    link = channel()
    fate = link.send(b"x" * 100, now_ns=SECOND)
    assert fate.fate is Fate.DELIVERED
    assert fate.arrives_ns == SECOND + ms_to_ns(120)
    assert link.deadline == (fate.arrives_ns, "uplink frame")
    assert link.arrivals(now_ns=fate.arrives_ns - 1) == []
    assert link.arrivals(now_ns=fate.arrives_ns) == [b"x" * 100]
    assert link.deadline is None


def test_a_second_frame_waits_for_the_transmitter() -> None:
    link = channel()
    link.send(b"a" * 100, now_ns=0)
    fate = link.send(b"b" * 50, now_ns=10 * NS_PER_MS)
    assert (fate.tx_start_ns, fate.tx_end_ns) == (ms_to_ns(100), ms_to_ns(150))


def test_a_place_in_the_queue_is_free_when_its_frame_has_left() -> None:
    link = channel(queue_bytes=250)
    sizes = (100, 150, 1)
    assert [link.send(b"x" * size, now_ns=SECOND).fate for size in sizes] == [
        Fate.DELIVERED, Fate.DELIVERED, Fate.QUEUE_FULL,
    ]  # fmt: skip
    left_ns = SECOND + ms_to_ns(100)
    assert link.send(b"x", now_ns=left_ns - 1).fate is Fate.QUEUE_FULL
    assert link.send(b"x" * 101, now_ns=left_ns).fate is Fate.QUEUE_FULL
    assert link.send(b"x" * 100, now_ns=left_ns).fate is Fate.DELIVERED


def test_the_queue_drops_from_its_tail_and_drains() -> None:
    link = channel(queue_bytes=250)
    fates = [link.send(b"x" * 100, now_ns=0).fate for _ in range(4)]
    assert fates == [Fate.DELIVERED, Fate.DELIVERED, Fate.QUEUE_FULL, Fate.QUEUE_FULL]
    assert link.send(b"x" * 100, now_ns=ms_to_ns(100)).fate is Fate.DELIVERED


@pytest.mark.parametrize(
    ("now_s", "fate"),
    [
        (0.5, Fate.NO_CONTACT),
        (1.0, Fate.DELIVERED),
        (2.0, Fate.NO_CARRIER),
        (1.95, Fate.CUT_OFF),
        (3.5, Fate.SILENT_OUTAGE),
        (3.95, Fate.SILENT_OUTAGE),
        (4.0, Fate.DELIVERED),
        (4.95, Fate.CUT_OFF),
        (5.0, Fate.NO_CONTACT),
    ],
)
def test_fate_by_contact_and_outage(now_s: float, fate: Fate) -> None:
    link = channel(
        contact=(SECOND, 5 * SECOND),
        cued=((2 * SECOND, 3 * SECOND),),
        silent=((round(3.4 * SECOND), 4 * SECOND),),
    )
    outcome = link.send(b"x" * 100, now_ns=round(now_s * SECOND))
    assert outcome.fate is fate
    assert (outcome.arrives_ns is not None) == (fate is Fate.DELIVERED)


def test_a_frame_longer_than_the_mtu_is_refused() -> None:
    assert channel().send(b"x" * 201, now_ns=0).fate is Fate.TOO_LONG


def test_loss_is_drawn_for_every_frame_whether_it_matters_or_not() -> None:
    always_open, late = channel(loss=0.5), channel(loss=0.5, contact=(50 * SECOND, 200 * SECOND))
    times = [second * SECOND for second in range(100)]
    first = [always_open.send(b"x", now_ns=now_ns).fate for now_ns in times]
    second = [late.send(b"x", now_ns=now_ns).fate for now_ns in times]
    assert second[:50] == [Fate.NO_CONTACT] * 50
    assert first[50:] == second[50:]


def test_realised_loss_is_near_its_probability() -> None:
    link = channel(loss=0.1)
    fates = [link.send(b"x", now_ns=n * 10 * NS_PER_MS).fate for n in range(20_000)]
    share = fates.count(Fate.LOST) / len(fates)
    assert abs(share - 0.1) < 4 * (0.1 * 0.9 / len(fates)) ** 0.5


def test_a_frame_that_is_cut_off_holds_the_transmitter_until_the_end() -> None:
    link = channel(contact=(0, SECOND))
    first = link.send(b"x" * 100, now_ns=ms_to_ns(950))
    assert first.fate is Fate.CUT_OFF
    assert (first.tx_start_ns, first.tx_end_ns) == (ms_to_ns(950), SECOND)
    second = link.send(b"x" * 10, now_ns=ms_to_ns(951))
    assert second.fate is Fate.CUT_OFF
    assert (second.tx_start_ns, second.tx_end_ns) == (None, None)


def test_what_a_stuck_modem_still_has_when_its_carrier_goes_is_never_on_the_air() -> None:
    """Although the carrier is there again when the modem comes to itself."""
    cued = ((2 * SECOND, 3 * SECOND),)
    link = channel(stuck=((SECOND, 4 * SECOND),), cued=cued)
    fates = [link.send(b"x" * 100, now_ns=at) for at in (SECOND + 1, 3 * SECOND + 1)]
    assert [fate.fate for fate in fates] == [Fate.CUT_OFF, Fate.DELIVERED]
    assert [fate.tx_start_ns for fate in fates] == [None, 4 * SECOND]


def test_a_stuck_modem_keeps_its_frames_until_it_is_over() -> None:
    link = channel(stuck=((SECOND, 3 * SECOND),))
    fates = [link.send(b"x" * 100, now_ns=2 * SECOND + n) for n in range(2)]
    assert [fate.fate for fate in fates] == [Fate.DELIVERED] * 2
    assert [fate.tx_start_ns for fate in fates] == [3 * SECOND, 3 * SECOND + ms_to_ns(100)]


def test_bit_errors_change_the_frame_that_arrives_and_a_checked_one_does_not_arrive() -> None:
    for checked in (False, True):
        link = channel(bit_error_rate=0.01, frame_check=checked)
        fates = [link.send(bytes(100), now_ns=n * SECOND) for n in range(50)]
        hit = [fate for fate in fates if fate.fate is Fate.CORRUPTED]
        assert len(hit) > 40
        arrived = link.arrivals(now_ns=100 * SECOND)
        assert len(arrived) == (50 - len(hit) if checked else 50)
        assert any(any(frame) for frame in arrived) is not checked


def test_copies_and_jitter_let_frames_arrive_twice_and_overtake() -> None:
    link = channel(duplication=0.5, jitter_ms=2000)
    for number in range(100):
        link.send(bytes([number]) * 10, now_ns=number * SECOND)
    arrived = [frame[0] for frame in link.arrivals(now_ns=1000 * SECOND)]
    assert 130 < len(arrived) < 170
    assert arrived != sorted(arrived)
    assert set(arrived) == set(range(100))
