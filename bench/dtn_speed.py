"""How fast the transport is on one core: bundle codec, and LTP from sender to receiver.

Measures with the clock, so it must never be imported by the product.
"""

from __future__ import annotations

import os
import random
import time

from bench.row import Row
from dtn.bpsec.keys import AesKey, AesVariant, HmacKey, KeyRing, ShaVariant
from dtn.bpsec.security import Rule, Security
from dtn.bpv7.blocks import PrimaryBlock
from dtn.bpv7.bundle import decode, encode, make_bundle
from dtn.ltp.engine import BlockAcknowledged, BlockReceived, LtpConfig, LtpEngine

_DTN_MS = 800_000_000_000


def bundle_codec(*, payload_bytes: int = 1024, count: int = 20_000) -> float:
    """Bundles encoded and decoded per second."""
    payload = random.Random(1).randbytes(payload_bytes)
    bundles = [
        make_bundle(
            PrimaryBlock("ipn:20.1", "ipn:10.1", _DTN_MS, sequence, 3_600_000),
            payload,
            hop_limit=4,
            age_ms=sequence,
        )
        for sequence in range(count)
    ]
    start = time.perf_counter()
    for bundle in bundles:
        decode(encode(bundle))
    return count / (time.perf_counter() - start)


def secured_bundle(*, payload_bytes: int = 1024, count: int = 5_000) -> float:
    """Bundles signed, encrypted and encoded, decoded, decrypted and verified per second."""
    rng = random.Random(1)
    keys = KeyRing(
        (HmacKey(ShaVariant.HMAC_256, rng.randbytes(32)),),
        (AesKey(AesVariant.A256GCM, rng.randbytes(32)),),
    )
    rules = [Rule("ipn:10.1", keys), Rule("ipn:20.1", keys)]
    security = Security(rules, random_bytes=os.urandom)
    payload = rng.randbytes(payload_bytes)
    bundles = [
        make_bundle(
            PrimaryBlock("ipn:20.1", "ipn:10.1", _DTN_MS, sequence, 3_600_000),
            payload,
            hop_limit=4,
            age_ms=sequence,
        )
        for sequence in range(count)
    ]
    start = time.perf_counter()
    for bundle in bundles:
        security.open(decode(encode(security.protect(bundle))))
    return count / (time.perf_counter() - start)


def ltp_throughput(
    *, block_bytes: int = 1 << 20, blocks: int = 24, loss_probability: float = 0.0
) -> float:
    """Payload bits per second through sender, a channel that may lose frames, and receiver."""
    rng = random.Random(1)
    sender = LtpEngine(LtpConfig(1, 2), rng=random.Random(2))
    receiver = LtpEngine(LtpConfig(2, 1), rng=random.Random(3))
    for engine in (sender, receiver):
        engine.carrier(tx_up=True, rx_up=True, one_way_ns=0, now_ns=0)
    block = rng.randbytes(block_bytes)
    now_ns = acknowledged = 0
    start = time.perf_counter()
    for _ in range(blocks):
        sender.submit(block, now_ns=now_ns)
    while acknowledged < blocks:
        idle = True
        while (leaving := sender.next_segment(now_ns=now_ns)) is not None:
            idle = False
            if rng.random() >= loss_probability:
                for output in receiver.receive(leaving[0], now_ns=now_ns):
                    if isinstance(output, BlockReceived):
                        receiver.accept(output.session, now_ns=now_ns)
        while (leaving := receiver.next_segment(now_ns=now_ns)) is not None:
            idle = False
            if rng.random() >= loss_probability:
                outputs = sender.receive(leaving[0], now_ns=now_ns)
                acknowledged += sum(isinstance(output, BlockAcknowledged) for output in outputs)
        if idle:
            now_ns += 1_000_000_000
            sender.timeout(now_ns=now_ns)
            receiver.timeout(now_ns=now_ns)
    return blocks * block_bytes * 8 / (time.perf_counter() - start)


def rows() -> list[Row]:
    """Codec and engine, on one core."""
    rate_mbps = ltp_throughput() / 1e6
    lossy_mbps = ltp_throughput(loss_probability=0.05) / 1e6
    return [
        Row("bundle of 1 KiB, encode + decode", bundle_codec(), "/s", 15_000, at_least=True),
        Row(
            "the same with BIB-HMAC-256 and BCB-AES-256",
            secured_bundle(),
            "/s",
            5_000,
            at_least=True,
        ),
        Row("LTP, 1,400-byte frames", rate_mbps, "Mbit/s", 100, at_least=True),
        Row("LTP, 1,400-byte frames, 5 % loss", lossy_mbps, "Mbit/s", 100, at_least=True),
    ]
