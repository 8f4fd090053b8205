"""Codecs: what is encoded decodes to itself; anything else is refused with their own error."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from dtn.agent import AgentConfig, BundleAgent
from dtn.bpv7 import bundle as bundles
from dtn.bpv7.blocks import (
    PAYLOAD,
    REPORT_IF_UNPROCESSED,
    CanonicalBlock,
    PrimaryBlock,
    age_block,
    hop_count_block,
    previous_node_block,
)
from dtn.bpv7.bundle import Bundle
from dtn.errors import BundleError, SegmentError
from dtn.ltp import segment as segments
from dtn.ltp.engine import LtpConfig, LtpEngine
from dtn.ltp.segment import (
    CancelAckSegment,
    CancelSegment,
    DataSegment,
    Kind,
    ReportAckSegment,
    ReportSegment,
    Segment,
    SessionId,
)

U64 = st.integers(0, 2**64 - 1)
SERIAL = st.integers(1, 2**64 - 1)
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=8)
CRC_TYPE = st.integers(0, 2)


NODE = st.integers(1, 2**64 - 1)
NODE_NAME = st.from_regex(r"([A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-F]{2}){1,8}", fullmatch=True)
EID = st.one_of(
    st.builds("ipn:{}.{}".format, NODE, U64), st.builds("dtn://{}/{}".format, NODE_NAME, VISIBLE)
)


def _numbers(eid: str) -> st.SearchStrategy[int]:
    """In how many numbers it may be written."""
    return st.sampled_from([2, 3] if eid.startswith("ipn:") else [2])


@st.composite
def primary_blocks(draw: st.DrawFn, payload_bytes: int) -> PrimaryBlock:
    ids = (
        draw(st.one_of(EID, st.just("dtn:none"))),
        draw(EID),
        draw(st.one_of(EID, st.just("dtn:none"))),
    )
    first, second, third = [draw(_numbers(eid)) for eid in ids]
    block = PrimaryBlock(
        destination=ids[0],
        source=ids[1],
        report_to=ids[2],
        ipn_numbers=(first, second, third),
        creation_ms=draw(U64),
        sequence=draw(U64),
        lifetime_ms=draw(U64),
        flags=draw(st.sampled_from([0, 4, 0x20, 0x44, 0x4000, 2])),
        crc_type=draw(CRC_TYPE),
    )
    if draw(st.booleans()):
        offset = draw(st.integers(0, 2**60))
        total = offset + payload_bytes + draw(st.integers(0, 2**60))
        return replace(block, flags=block.flags | 1, fragment_offset=offset, total_bytes=total)
    return block


@st.composite
def whole_bundles(draw: st.DrawFn) -> Bundle:
    payload = draw(st.binary(max_size=300))
    numbers = draw(st.lists(st.integers(2, 2**64 - 1), min_size=5, max_size=5, unique=True))
    blocks = [
        age_block(draw(U64), numbers[0]),
        hop_count_block(draw(st.integers(1, 255)), draw(U64), numbers[1]),
        previous_node_block(draw(EID), numbers[2]),
        CanonicalBlock(draw(st.integers(11, 2**64 - 1)), numbers[3], draw(st.binary(max_size=40))),
        CanonicalBlock(193, numbers[4], b"", flags=draw(U64)),
    ]
    chosen = draw(st.lists(st.sampled_from(blocks), unique=True, max_size=5))
    last = CanonicalBlock(PAYLOAD, 1, payload, flags=draw(U64))
    every = [replace(block, crc_type=draw(CRC_TYPE)) for block in (*chosen, last)]
    primary = draw(primary_blocks(len(payload)))
    if not primary.may_report:
        every = [replace(block, flags=block.flags & ~REPORT_IF_UNPROCESSED) for block in every]
    return Bundle(primary, tuple(every))


@given(whole_bundles())
@settings(max_examples=150, deadline=None)
def test_bundles_come_back(bundle: Bundle) -> None:
    assert bundles.decode(bundles.encode(bundle)) == bundle


SESSION = st.builds(SessionId, U64, U64)


@st.composite
def data_segments(draw: st.DrawFn) -> DataSegment:
    kind = draw(st.sampled_from([Kind(n) for n in (0, 1, 2, 3, 4, 7)]))
    serials = (draw(SERIAL), draw(U64)) if segments.is_checkpoint(kind) else (0, 0)
    data = draw(st.binary(max_size=200))
    return DataSegment(kind, draw(SESSION), draw(U64), draw(U64), data, *serials)


@st.composite
def report_segments(draw: st.DrawFn) -> ReportSegment:
    lower = at = draw(st.integers(0, 2**62))
    claims: list[tuple[int, int]] = []
    for _ in range(draw(st.integers(1, 8))):
        start = at + draw(st.integers(1 if claims else 0, 2**40))
        at = start + draw(st.integers(1, 2**40))
        claims.append((start, at))
    upper = at + draw(st.integers(0, 2**40))
    return ReportSegment(draw(SESSION), draw(SERIAL), draw(U64), upper, lower, tuple(claims))


ANY_SEGMENT = st.one_of(
    data_segments(),
    report_segments(),
    st.builds(ReportAckSegment, SESSION, SERIAL),
    st.builds(
        CancelSegment,
        st.sampled_from([Kind.CANCEL_BY_SENDER, Kind.CANCEL_BY_RECEIVER]),
        SESSION,
        st.integers(0, 255),
    ),
    st.builds(
        CancelAckSegment,
        st.sampled_from([Kind.CANCEL_ACK_TO_SENDER, Kind.CANCEL_ACK_TO_RECEIVER]),
        SESSION,
    ),
)


@given(ANY_SEGMENT)
@settings(max_examples=300, deadline=None)
def test_segments_come_back(segment: Segment) -> None:
    assert segments.decode(segments.encode(segment)) == segment


def _damaged(data: bytes, flips: list[tuple[int, int]], cut: int) -> bytes:
    changed = bytearray(data)
    for at, bits in flips:
        changed[at % len(changed)] ^= bits
    return bytes(changed[: max(1, len(changed) - cut)])


FLIPS = st.lists(st.tuples(st.integers(0, 2_000), st.integers(1, 255)), max_size=4)


@given(whole_bundles(), FLIPS, st.integers(0, 5))
@settings(max_examples=150, deadline=None)
def test_damaged_bundles_are_refused_or_well_formed(
    bundle: Bundle, flips: list[tuple[int, int]], cut: int
) -> None:
    data = _damaged(bundles.encode(bundle), flips, cut)
    with suppress(BundleError):
        decoded = bundles.decode(data)
        assert bundles.decode(bundles.encode(decoded)) == decoded


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_junk_raises_only_the_codecs_error(junk: bytes) -> None:
    for start in (b"", b"\x9f", b"\x9f\x88\x07\x00\x00", b"\x9f\x89\x07\x00\x02\x82\x02\x82"):
        with suppress(BundleError):
            bundles.decode_all(start + junk)
    with suppress(SegmentError):
        segments.decode(junk)
    for kind in range(16):
        with suppress(SegmentError):
            segments.decode(bytes((kind,)) + junk)


@given(st.lists(st.one_of(st.binary(max_size=60), ANY_SEGMENT), max_size=20), st.randoms())
@settings(max_examples=150, deadline=None)
def test_nothing_from_a_peer_raises(things: list[bytes | Segment], rng: random.Random) -> None:
    """Junk, and well-formed segments of sessions that may be ours, at an engine and an agent."""
    ltp = LtpConfig(1, 2, mtu_bytes=120, retry_limit=1, max_rx_sessions=3)
    agent = BundleAgent(AgentConfig("ipn:1.1", "ipn:2.1", ltp, 1), rng=random.Random(1))
    engine = LtpEngine(ltp, rng=random.Random(1))
    agent.carrier(tx_up=True, rx_up=True, tx_rate_bps=10**6, one_way_ns=1, now_ns=0)
    engine.carrier(tx_up=True, rx_up=True, one_way_ns=1, now_ns=0)
    agent.send(bytes(400), lifetime_ms=1_000, now_ns=0)
    sessions = [engine.submit(bytes(400), now_ns=0), SessionId(2, 1), SessionId(2, 2)]
    for now_ns in range(10):
        engine.next_segment(now_ns=now_ns)
    for step, thing in enumerate(things):
        frame = thing
        if not isinstance(frame, bytes):
            segment = replace(frame, session=rng.choice([*sessions, frame.session]))
            if isinstance(segment, DataSegment):
                segment = replace(segment, service=1, offset=segment.offset % 300)
            elif isinstance(segment, ReportSegment):
                start = rng.randrange(399)
                segment = replace(segment, lower=0, upper=400, claims=((start, 400),), checkpoint=0)
            frame = segments.encode(segment)
        now_ns = step * 10**8
        agent.receive(frame, now_ns=now_ns)
        agent.timeout(now_ns=now_ns)
        engine.receive(frame, now_ns=now_ns)
        engine.accept(sessions[1], now_ns=now_ns)
        engine.timeout(now_ns=now_ns)
        engine.next_segment(now_ns=now_ns)
