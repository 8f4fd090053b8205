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

from dtn.agent import AgentConfig, BundleAgent
from dtn.bpsec.block import BCB, BIB, decode_security, encode_security
from dtn.bpsec.keys import AesKey, AesVariant, HmacKey, KeyRing, ShaVariant
from dtn.bpsec.security import Rule, Security
from dtn.bpv7 import bundle as bundles
from dtn.bpv7.blocks import PrimaryBlock
from dtn.bpv7.bundle import Bundle, make_bundle
from dtn.bpv7.status import decode_status_report
from dtn.errors import BundleError, SecurityFailure, SegmentError
from dtn.ltp import segment as segments
from dtn.ltp.engine import LtpConfig, LtpEngine
from dtn.ltp.segment import DataSegment, Kind, SessionId

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


def genuine(payload: bytes = b"what is the state?") -> Bundle:
    """A bundle to us."""
    primary = PrimaryBlock("ipn:2.1", "ipn:1.1", EPOCH_MS, 1, 60_000)
    return make_bundle(primary, payload, hop_limit=4)


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
}


def _rng() -> random.Random:
    return random.Random(3)


def _as_block(agent: BundleAgent, data: bytes) -> None:
    agent.carrier(tx_up=True, rx_up=True, tx_rate_bps=10**9, one_way_ns=0, now_ns=0)
    if data:
        block = DataSegment(Kind.RED_END_OF_BLOCK, SessionId(1, 1), 1, 0, data, 5)
        agent.receive(segments.encode(block), now_ns=10**6)
        agent.timeout(now_ns=10**9)
