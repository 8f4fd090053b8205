"""What is fuzzed: bytes from a peer, as segments, bundles and security blocks.

Each target takes any bytes and must come back; an exception is a find. What decodes must also
encode, and decode to the same again. Run one with `make fuzz TARGET=segment SECONDS=600`; the
corpus is replayed with all other tests.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache

from dtn.agent import AgentConfig, BundleAgent, BundleReceived
from dtn.bpsec.block import BCB, BIB, decode_security, encode_security
from dtn.bpsec.keys import AesKey, AesVariant, HmacKey, KeyRing, ShaVariant
from dtn.bpsec.security import Rule, Security
from dtn.bpv7 import bundle as bundles
from dtn.bpv7.blocks import MUST_NOT_FRAGMENT, PrimaryBlock
from dtn.bpv7.bundle import Bundle, make_bundle
from dtn.bpv7.status import decode_status_report
from dtn.compressed import SERVICE, Context
from dtn.errors import BundleError, SecurityFailure, SegmentError
from dtn.ltp import segment as segments
from dtn.ltp.engine import LtpConfig, LtpEngine
from dtn.ltp.segment import DataSegment, Kind, SessionId
from roundtrip import codec
from roundtrip.errors import BadMessage
from roundtrip.message import Asked

EPOCH_MS = 800_000_000_000
FRAMES = 8
"""An input for an engine is cut into that many frames at most, by a length byte before each."""


def keys() -> KeyRing:
    """Keys that are no secret."""
    draw = random.Random(1).randbytes
    return KeyRing(
        (HmacKey(ShaVariant.HMAC_256, draw(32)),), (AesKey(AesVariant.A256GCM, draw(32)),)
    )


def security() -> Security:
    """Of one node that is both ends."""
    rules = [Rule("ipn:1.1", keys()), Rule("ipn:2.1", keys())]
    return Security(rules, random_bytes=random.Random(2).randbytes)


CONTEXT = Context("ipn:1.1", "ipn:2.1", 4)
NODE_CONFIG = AgentConfig("ipn:2.1", "ipn:1.1", LtpConfig(2, 1), EPOCH_MS)


def genuine(payload: bytes = b"what is the state?", *, age_ms: int = 0, flags: int = 0) -> Bundle:
    """A bundle to us."""
    primary = PrimaryBlock("ipn:2.1", "ipn:1.1", EPOCH_MS, 1, 60_000, flags=flags)
    return make_bundle(primary, payload, hop_limit=4, age_ms=age_ms)


def fuzz_segment(data: bytes) -> None:
    """One segment by itself, then all as frames into an engine that has sessions both ways."""
    try:
        segment = segments.decode(data)
    except SegmentError:
        pass
    else:
        assert segments.decode(segments.encode(segment)) == segment
    engine = LtpEngine(LtpConfig(1, 2, mtu_bytes=120, retry_limit=1), rng=random.Random(1))
    engine.carrier(tx_up=True, rx_up=True, one_way_ns=1000, now_ns=0)
    engine.submit(bytes(300), now_ns=0)
    now_ns, at = 0, 0
    for _ in range(FRAMES):
        if at >= len(data):
            break
        end = at + 1 + data[at]
        engine.receive(data[at + 1 : end], now_ns=now_ns)
        at, now_ns = end, now_ns + 10**9
        engine.timeout(now_ns=now_ns)
        for _ in range(64):
            if engine.next_segment(now_ns=now_ns) is None:
                break
    assert engine.pending_bytes < 1 << 20


def fuzz_compressed(data: bytes) -> None:
    """A block of the service of compressed bundles, at an agent with security and at one without:
    nothing is delivered that was not sent."""
    with suppress(BundleError):
        CONTEXT.expand(data, now_ms=EPOCH_MS)
    segment = DataSegment(Kind.RED_END_OF_BLOCK, SessionId(1, 7), SERVICE, 0, data, 5)
    for guard in (security(), None):
        agent = BundleAgent(NODE_CONFIG, rng=random.Random(1), security=guard)
        agent.carrier(tx_up=True, rx_up=True, tx_rate_bps=10**9, one_way_ns=0, now_ns=0)
        for output in agent.receive(segments.encode(segment), now_ns=0):
            if isinstance(output, BundleReceived):
                assert data in compressed(), "forged"


@cache
def compressed() -> list[bytes]:
    """What a genuine bundle may look like."""
    found: list[bytes] = []
    for age_ms in (0, 1_000):
        bundle = genuine(age_ms=age_ms, flags=MUST_NOT_FRAGMENT)
        for each in (security().protect(bundle), bundle):
            for now_ms in (EPOCH_MS, None):
                short = CONTEXT.compress(bundles.encode(each), now_ms=now_ms)
                assert short is not None
                found.append(short)
    return found


def fuzz_message(data: bytes) -> None:
    """One message of ground or node: what decodes says the same again."""
    try:
        found = codec.decode(data)
        if isinstance(found, Asked):
            if found.settings is not None:
                question = found.question(found.settings)
                assert codec.question_in(codec.encode(question)) == question
            return
    except BadMessage:
        return
    assert codec.decode(codec.encode(found)) == found


def fuzz_bundle(data: bytes) -> None:
    """Bundles end to end, and the same as a block in an agent without security."""
    try:
        found = bundles.decode_all(data)
    except BundleError:
        found = []
    for bundle in found:
        again = bundles.decode(bundles.encode(bundle))
        assert again.id == bundle.id
        assert again.payload == bundle.payload
    with suppress(BundleError):
        decode_status_report(data)
    agent = BundleAgent(AgentConfig("ipn:2.1", "ipn:1.1", LtpConfig(2, 1), EPOCH_MS), rng=_rng())
    _as_block(agent, data)


def fuzz_bpsec(data: bytes) -> None:
    """A security block's content, alone and in place of the genuine ones of a secured bundle."""
    try:
        block = decode_security(data)
    except BundleError:
        pass
    else:
        assert decode_security(encode_security(block)) == block
    secured = security().protect(genuine())
    for type_code in (BIB, BCB):
        blocks = tuple(
            replace(b, data=data) if b.type_code == type_code else b for b in secured.blocks
        )
        forged = Bundle(secured.primary, blocks)
        if forged == secured:
            continue
        try:
            opened = security().open(bundles.decode(bundles.encode(forged)))
        except (SecurityFailure, BundleError):
            continue
        assert opened.payload == genuine().payload, "opened to something that nobody sent"
    config = AgentConfig("ipn:2.1", "ipn:1.1", LtpConfig(2, 1), EPOCH_MS)
    _as_block(BundleAgent(config, rng=_rng(), security=security()), data)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "segment": fuzz_segment,
    "bundle": fuzz_bundle,
    "bpsec": fuzz_bpsec,
    "compressed": fuzz_compressed,
    "message": fuzz_message,
}


def _rng() -> random.Random:
    return random.Random(3)


def _as_block(agent: BundleAgent, data: bytes) -> None:
    agent.carrier(tx_up=True, rx_up=True, tx_rate_bps=10**9, one_way_ns=0, now_ns=0)
    if data:
        block = DataSegment(Kind.RED_END_OF_BLOCK, SessionId(1, 1), 1, 0, data, 5)
        agent.receive(segments.encode(block), now_ns=10**6)
        agent.timeout(now_ns=10**9)
