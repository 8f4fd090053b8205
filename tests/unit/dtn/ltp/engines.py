"""Two LTP engines and the frames between them, for tests."""

from __future__ import annotations

import random

from dtn.ltp.engine import (
    LtpConfig,
    LtpEngine,
    LtpOutput,
)
from dtn.ltp.segment import (
    Segment,
    decode,
)

MS = 1_000_000
ONE_WAY_NS = 5 * MS
MARGIN_NS = 200 * MS
ANSWER_NS = 2 * ONE_WAY_NS + MARGIN_NS
"""From sending a checkpoint to its timer running out."""


def config(engine_id: int, peer_engine_id: int, **changes: int) -> LtpConfig:
    return LtpConfig(
        engine_id, peer_engine_id, **({"mtu_bytes": 120, "echo_segments": 0} | changes)
    )


def engine(engine_id: int = 1, peer_engine_id: int = 2, **changes: int) -> LtpEngine:
    made = LtpEngine(config(engine_id, peer_engine_id, **changes), rng=random.Random(engine_id))
    up(made, 0)
    return made


def up(it: LtpEngine, now_ns: int, *, tx: bool = True, rx: bool = True) -> None:
    assert it.carrier(tx_up=tx, rx_up=rx, one_way_ns=ONE_WAY_NS, now_ns=now_ns) == []


def frames(it: LtpEngine, now_ns: int) -> list[bytes]:
    found: list[bytes] = []
    while (leaving := it.next_segment(now_ns=now_ns)) is not None:
        found.append(leaving[0])
    return found


def segments(it: LtpEngine, now_ns: int) -> list[Segment]:
    return [decode(frame) for frame in frames(it, now_ns)]


def give(it: LtpEngine, sent: list[bytes], now_ns: int) -> list[LtpOutput]:
    return [output for frame in sent for output in it.receive(frame, now_ns=now_ns)]


def block_of(size_bytes: int) -> bytes:
    return random.Random(9).randbytes(size_bytes)
