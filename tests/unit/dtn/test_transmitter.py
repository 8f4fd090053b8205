from __future__ import annotations

from dtn.transmitter import Transmitter

MS = 1_000_000


def transmitter(rate_bps: int) -> Transmitter:
    it = Transmitter()
    it.retime(rate_bps, now_ns=0)
    it.restart(now_ns=0)
    return it


def test_frames_follow_one_another() -> None:
    it = transmitter(8_000)
    it.take(100, now_ns=0)
    it.take(100, now_ns=5 * MS)
    assert it.free_ns == 200 * MS
    it.take(10, now_ns=300 * MS)
    assert it.free_ns == 310 * MS


def test_a_new_rate_is_for_frames_that_have_not_begun() -> None:
    it = transmitter(8_000)
    for _ in range(3):
        it.take(100, now_ns=0)
    it.retime(16_000, now_ns=50 * MS)
    assert it.free_ns == (100 + 50 + 50) * MS, "the first is on the air"
    it.retime(4_000, now_ns=100 * MS)
    assert it.free_ns == (100 + 200 + 200) * MS, "the second begins just now"
    it.retime(4_000, now_ns=110 * MS)
    assert it.free_ns == 500 * MS


def test_nothing_waits_after_the_carrier_was_gone() -> None:
    it = transmitter(8_000)
    it.take(100, now_ns=0)
    it.retime(0, now_ns=10 * MS)
    assert it.free_ns == 100 * MS
    it.restart(now_ns=50 * MS)
    it.retime(8_000, now_ns=50 * MS)
    assert it.free_ns == 50 * MS
