"""Bundle agents and what goes between them, for tests."""

from __future__ import annotations

import random
from dataclasses import replace

from dtn.agent import (
    AgentConfig,
    AgentOutput,
    BundleAgent,
    Transmit,
)
from dtn.bpv7.blocks import PrimaryBlock
from dtn.bpv7.bundle import Bundle, encode, make_bundle
from dtn.ltp.engine import LtpConfig
from dtn.ltp.segment import DataSegment, Kind, SessionId
from dtn.ltp.segment import encode as encode_segment

MS = 1_000_000
S = 1_000 * MS
EPOCH_MS = 800_000_000_000
RATE_BPS = 8_000
"""1 ms a byte."""
LIFETIME_MS = 60_000


def agent(number: int = 1, **changes: int) -> BundleAgent:
    """Agent 1 or 2; frames of 120 bytes take 120 ms."""
    names = [f.name for f in LtpConfig.__dataclass_fields__.values()]
    ltp = LtpConfig(
        number,
        3 - number,
        **(
            {"mtu_bytes": 120, "echo_segments": 0}
            | {k: v for k, v in changes.items() if k in names}
        ),
    )
    config = AgentConfig(f"ipn:{number}.1", f"ipn:{3 - number}.1", ltp, EPOCH_MS)
    config = replace(config, **{k: v for k, v in changes.items() if k not in names})
    return BundleAgent(config, rng=random.Random(number))


def up(it: BundleAgent, now_ns: int = 0) -> list[AgentOutput]:
    return it.carrier(
        tx_up=True, rx_up=True, tx_rate_bps=RATE_BPS, one_way_ns=5 * MS, now_ns=now_ns
    )


def down(it: BundleAgent, now_ns: int) -> list[AgentOutput]:
    return it.carrier(tx_up=False, rx_up=False, tx_rate_bps=0, one_way_ns=5 * MS, now_ns=now_ns)


def frames(outputs: list[AgentOutput]) -> list[bytes]:
    return [output.frame for output in outputs if isinstance(output, Transmit)]


def others(outputs: list[AgentOutput]) -> list[AgentOutput]:
    return [output for output in outputs if not isinstance(output, Transmit)]


def drain(
    it: BundleAgent, now_ns: int, until: str = "transmitter"
) -> tuple[list[AgentOutput], int]:
    """Call timeout while the transmitter alone is waited for."""
    outputs: list[AgentOutput] = []
    while (deadline := it.deadline) is not None and deadline[1] == until:
        now_ns = max(now_ns, deadline[0])
        outputs += it.timeout(now_ns=now_ns)
    return outputs, now_ns


def give(it: BundleAgent, sent: list[bytes], now_ns: int) -> list[AgentOutput]:
    return [output for frame in sent for output in it.receive(frame, now_ns=now_ns)]


def as_frame(*bundles: Bundle, number: int = 77) -> bytes:
    """Bundles in one block in one segment from engine 1, as if the MTU were large."""
    block = b"".join(encode(bundle) for bundle in bundles)
    segment = DataSegment(Kind.RED_END_OF_BLOCK, SessionId(1, number), 1, 0, block, 5)
    return encode_segment(segment)


def bundle_to_2(sequence: int = 1, **changes: object) -> Bundle:
    primary = PrimaryBlock("ipn:2.1", "ipn:1.1", EPOCH_MS, sequence, LIFETIME_MS)
    return make_bundle(replace(primary, **changes), b"payload", hop_limit=4)
