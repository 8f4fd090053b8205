"""Every byte on the air belongs to one layer, at both ends."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dtn.agent import AgentConfig, BundleAgent, BundleReceived, Transmit
from dtn.bpsec.keys import AesKey, AesVariant, HmacKey, KeyRing, ShaVariant
from dtn.bpsec.rules import Rule
from dtn.bpsec.security import Security
from dtn.ltp.engine import LtpConfig
from dtn.tally import Makeup, Tally

KEYS = KeyRing(
    (HmacKey(ShaVariant.HMAC_256, bytes(range(32))),),
    (AesKey(AesVariant.A256GCM, bytes(range(1, 33))),),
)
PAYLOAD = b"x" * 300


class Pair:
    """Two agents and the frames between them, of which every `lost`-th is lost."""

    def __init__(self, lost: int = 0, *, secured: bool = True, compresses: bool = True) -> None:
        self.agents = [agent(1, secured, compresses), agent(2, secured, compresses)]
        self.lost = lost
        self.sent = [0, 0]
        self.came = [0, 0]
        self.frames = 0
        self.now_ns = 0

    def give(self, side: int, outputs: list) -> None:
        for output in outputs:
            if isinstance(output, BundleReceived):
                it = self.agents[side]
                self.give(side, it.accept(output.bundle.id, now_ns=self.now_ns))
            if not isinstance(output, Transmit):
                continue
            self.frames += 1
            self.sent[side] += len(output.frame)
            if not self.lost or self.frames % self.lost:
                self.came[1 - side] += len(output.frame)
                other = self.agents[1 - side]
                self.give(1 - side, other.receive(output.frame, now_ns=self.now_ns))

    def run(self, bundles: int = 5) -> None:
        for _ in range(bundles):
            _, outputs = self.agents[0].send(PAYLOAD, lifetime_ms=60_000, now_ns=self.now_ns)
            self.give(0, outputs)
            for _ in range(2000):
                self.now_ns += 1_000_000
                for side in (0, 1):
                    self.give(side, self.agents[side].timeout(now_ns=self.now_ns))


def agent(side: int, secured: bool, compresses: bool) -> BundleAgent:
    peer = f"ipn:{3 - side}.1"
    ltp = LtpConfig(side, 3 - side, mtu_bytes=128)
    rules = Security([Rule(peer, KEYS)], random_bytes=random.Random(side).randbytes)
    it = BundleAgent(
        AgentConfig(f"ipn:{side}.1", peer, ltp, 10**12, compresses=compresses),
        rng=random.Random(side),
        security=rules if secured else None,
    )
    it.carrier(tx_up=True, rx_up=True, tx_rate_bps=10**6, one_way_ns=0, now_ns=0)
    return it


@pytest.mark.parametrize("lost", [0, 3, 7])
@pytest.mark.parametrize("secured", [True, False])
@pytest.mark.parametrize("compresses", [True, False])
def test_the_layers_are_all_bytes(lost: int, secured: bool, compresses: bool) -> None:
    pair = Pair(lost, secured=secured, compresses=compresses)
    pair.run()
    ground, node = pair.agents
    assert ground.sent.total == pair.sent[0]
    assert node.sent.total == pair.sent[1]
    assert node.received.total == pair.came[1]
    assert ground.received.total == pair.came[0]
    assert ground.sent.payload == node.received.payload == 5 * len(PAYLOAD)
    assert (ground.sent.security, ground.sent.bundle) == (
        node.received.security,
        node.received.bundle,
    )
    assert node.received.unfinished == 0
    assert node.sent.payload == node.sent.segments == 0
    assert node.sent.control > 0
    assert (ground.sent.security > 0) == secured
    if secured and compresses:
        assert ground.sent.security == 5 * 16, "a tag each"
        assert ground.sent.bundle == 5 * 7
    if not lost:
        assert node.received.repeats == ground.sent.repeats


def test_what_is_sent_again_is_a_repeat() -> None:
    pair = Pair()
    ground = pair.agents[0]
    pair.lost = 1
    pair.run(1)
    assert ground.sent.payload == len(PAYLOAD)
    repeats = ground.sent.repeats
    assert repeats > 0
    pair.lost = 0
    pair.run(1)
    assert ground.sent.payload == 2 * len(PAYLOAD)
    assert ground.sent.total == pair.sent[0]


def test_data_of_a_block_that_has_not_come_whole_is_kept_apart() -> None:
    tally = Tally()
    tally.add_frame(50, 36)
    tally.add_frame(50, 0)
    tally.add_frame(12, None)
    assert tally == Tally(unfinished=36, segments=14, repeats=50, control=12)
    tally.add_whole(Makeup(10, 16, 36))
    assert tally == Tally(payload=10, security=16, bundle=10, segments=14, repeats=50, control=12)
    assert tally.total == 112


def test_a_part_of_a_block_is_shared_out() -> None:
    makeup, tally = Makeup(50, 16, 100), Tally()
    for before, after in ((0, 33), (33, 34), (34, 100)):
        tally.add_first(makeup, before, after, after - before + 14)
        assert tally.payload + tally.security + tally.bundle == after
    assert replace(tally, segments=0) == Tally(payload=50, security=16, bundle=34)
