"""Repair before a time-out: segments sent a second time on an idle link, checkpoints within a long
block."""

from __future__ import annotations

import random

from dtn.ltp.engine import BlockReceived, LtpConfig, LtpEngine
from dtn.ltp.segment import DataSegment, Kind, ReportSegment, decode, is_checkpoint

MS = 1_000_000
RATE_BPS = 960_000
"""Frames of 120 bytes take 1 ms."""


def engine(number: int = 1, *, one_way_ms: int = 300, **changes: int) -> LtpEngine:
    config = LtpConfig(number, 3 - number, **({"mtu_bytes": 120} | changes))
    made = LtpEngine(config, rng=random.Random(number))
    made.carrier(
        tx_up=True, rx_up=True, one_way_ns=one_way_ms * MS, now_ns=0,
        tx_rate_bps=RATE_BPS, rx_rate_bps=RATE_BPS,
    )  # fmt: skip
    return made


def sent(it: LtpEngine, now_ns: int = 0) -> list[bytes]:
    found: list[bytes] = []
    while (leaving := it.next_segment(now_ns=now_ns)) is not None:
        found.append(leaving[0])
    return found


def test_on_an_idle_link_a_short_block_leaves_twice_checkpoint_first() -> None:
    sender = engine()
    sender.submit(bytes(300), now_ns=0)
    frames = sent(sender)
    assert frames[len(frames) // 2 :] == frames[: len(frames) // 2][::-1]
    assert not sender.has_pending


def test_where_frames_are_long_only_the_checkpoint_leaves_twice() -> None:
    sender = engine(one_way_ms=0)
    sender.submit(bytes(300), now_ns=0)
    frames = sent(sender)
    assert len(frames) == len(set(frames)) + 1
    assert frames[-1] == frames[-2]


def test_what_waits_goes_before_what_is_repeated() -> None:
    sender = engine()
    sender.submit(bytes(100), now_ns=0)
    first = [sender.next_segment(now_ns=0) for _ in range(2)]
    sender.submit(bytes(range(100)), now_ns=0)
    following = sent(sender)
    assert all(frame is not None and frame[0] not in following[:2] for frame in first)


def test_a_loss_at_the_tail_costs_no_round_trip() -> None:
    sender, receiver = engine(1), engine(2)
    session = sender.submit(bytes(300), now_ns=0)
    frames = sent(sender)
    half = len(frames) // 2
    outputs = []
    for frame in frames[: half - 1] + frames[half:]:
        outputs += receiver.receive(frame, now_ns=5)
    assert BlockReceived(session, bytes(300), 5) in outputs


def test_what_the_peer_has_is_not_sent_again() -> None:
    sender, receiver = engine(1), engine(2)
    session = sender.submit(bytes(300), now_ns=0)
    once: list[bytes] = []
    while not (once and is_checkpoint(decode(once[-1]).kind)):
        leaving = sender.next_segment(now_ns=0)
        assert leaving is not None
        once.append(leaving[0])
    for frame in once[1:]:
        receiver.receive(frame, now_ns=1)
    for frame in sent(receiver, 1):
        sender.receive(frame, now_ns=2)
    again = [s for s in map(decode, sent(sender, 2)) if isinstance(s, DataSegment)]
    lost = decode(once[0])
    assert isinstance(lost, DataSegment)
    assert max(segment.offset + len(segment.data) for segment in again) == len(lost.data)
    assert sum(len(segment.data) for segment in again) == 2 * len(lost.data), "that, and twice"
    assert again[0].session == session


def test_a_long_block_asks_what_is_missing_on_the_way() -> None:
    sender, receiver = engine(1, echo_segments=0), engine(2)
    block = random.Random(1).randbytes(300_000)
    session = sender.submit(block, now_ns=0)
    frames = sent(sender)
    kinds = [segment.kind for segment in map(decode, frames) if isinstance(segment, DataSegment)]
    assert kinds.count(Kind.RED_CHECKPOINT) == 4, "every 64 KiB"
    assert kinds[-1] == Kind.RED_END_OF_BLOCK
    assert max(map(len, frames)) <= 120
    for index, frame in enumerate(frames):
        if index % 10:
            receiver.receive(frame, now_ns=1)
    answers = sent(receiver, 1)
    reports = [s for s in map(decode, answers) if isinstance(s, ReportSegment)]
    assert [r.lower for r in reports] == sorted(r.lower for r in reports)
    assert (reports[0].lower, reports[-1].upper) == (0, len(block))
    received: list[object] = []
    for turn in range(10):
        for frame in answers:
            sender.receive(frame, now_ns=2 + turn)
        for frame in sent(sender, 2 + turn):
            received += receiver.receive(frame, now_ns=2 + turn)
        answers = sent(receiver, 2 + turn)
    assert [o.block for o in received if isinstance(o, BlockReceived)] == [block]
    assert session.originator == 1
