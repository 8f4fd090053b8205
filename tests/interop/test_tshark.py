"""Our own traffic before tshark's dissectors: Wireshark must find nothing wrong with it.

Two agents talk over a link that loses frames: plain, signed, and signed and encrypted. Each frame
becomes a UDP datagram of a capture. tshark 4.0 decodes LTP on port 1113 by itself, and the bundles
in its blocks. What it must find is worked out from the frames alone. An encrypted signature is
ciphertext to it, so a signature's fields are seen only where nothing is encrypted.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dtn.agent import Acknowledged, AgentConfig, BundleAgent, BundleReceived, Transmit
from dtn.bpsec.block import BCB, BIB
from dtn.bpsec.security import Rule, Security
from dtn.bpv7 import bundle
from dtn.bpv7.blocks import PAYLOAD
from dtn.ltp.engine import LtpConfig, LtpEngine
from dtn.ltp.segment import DataSegment, Kind, SessionId, decode
from roundtrip.keys import link_security, new_keys
from roundtrip.modem import Side

PORT = 1113
EPOCH_MS = 820_000_000_000
SIZES = (1, 30, 500, 1_400, 5_000, 20_000)
MTU_BYTES = 1_000
CANCEL_ACKS = {Kind.CANCEL_ACK_TO_SENDER, Kind.CANCEL_ACK_TO_RECEIVER}
STUMBLES = CANCEL_ACKS | {Kind.RED_CHECKPOINT}
HARMLESS = {
    "Unknown type code",
    *(
        f"Block is targed by B{kind}B block number {number}"
        for kind in "IC"
        for number in range(20)
    ),
}
"""What it says of a payload whose application it does not know, and of secured blocks."""
CHAT = 0x200000
"""Severity of what is worth no more than a note; later versions remark on lost segments so."""
GOOD = "1"
"""The status of a checksum that is right."""
Frames = list[tuple[bool, bytes]]
"""From engine 1, and the bytes."""


@pytest.fixture(scope="module")
def tshark() -> str:
    found = shutil.which("tshark")
    if found is None:
        reason = "tshark is not installed (apt install tshark)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return found


def security_of(mode: str, side: Side, seed: int) -> Security | None:
    """What a mode asks for; `encrypted` is what a link uses unless it is told otherwise."""
    keys = new_keys(random.Random(seed).randbytes)
    random_bytes = random.Random(seed + (side is Side.NODE)).randbytes
    if mode == "plain":
        return None
    if mode == "encrypted":
        return link_security(keys, side, random_bytes=random_bytes)
    peer = "ipn:2.1" if side is Side.GROUND else "ipn:1.1"
    rule = Rule(peer, keys.ring, sign_encrypted=True)
    if mode == "signed":
        rule = Rule(peer, keys.ring, encrypt=())
    return Security([rule], random_bytes=random_bytes)


def exchange(mode: str, *, seed: int) -> Frames:
    """Bundles both ways until all are acknowledged; some frames are lost on the way."""
    agents = []
    for number, side in ((1, Side.GROUND), (2, Side.NODE)):
        ltp = LtpConfig(number, 3 - number, mtu_bytes=MTU_BYTES)
        config = AgentConfig(f"ipn:{number}.1", f"ipn:{3 - number}.1", ltp, EPOCH_MS)
        security = security_of(mode, side, seed)
        agents.append(BundleAgent(config, rng=random.Random(seed + number), security=security))
    rng = random.Random(seed)
    frames: Frames = []
    acknowledged = now_ns = 0
    todo: list[tuple[int, Any]] = []
    for agent in (0, 1):
        up = agents[agent].carrier(
            tx_up=True, rx_up=True, tx_rate_bps=10**7, one_way_ns=1000, now_ns=0
        )
        todo += [(agent, output) for output in up]
        for size in SIZES:
            _, outputs = agents[agent].send(rng.randbytes(size), lifetime_ms=10**7, now_ns=0)
            todo += [(agent, output) for output in outputs]
    while acknowledged < 2 * len(SIZES):
        while todo:
            agent, output = todo.pop(0)
            other = 1 - agent
            if isinstance(output, Transmit):
                frames.append((agent == 0, output.frame))
                if rng.random() > 0.15:
                    heard = agents[other].receive(output.frame, now_ns=now_ns)
                    todo += [(other, one) for one in heard]
            elif isinstance(output, BundleReceived):
                accepted = agents[agent].accept(output.bundle.id, now_ns=now_ns)
                todo += [(agent, one) for one in accepted]
            acknowledged += isinstance(output, Acknowledged)
        now_ns = min((a.deadline[0] for a in agents if a.deadline), default=now_ns) + 1
        for number, agent in enumerate(agents):
            todo += [(number, one) for one in agent.timeout(now_ns=now_ns)]
    return frames


def cancellations() -> Frames:
    """Two blocks given up half way, one by its sender, one by its receiver."""
    sender, receiver = (
        LtpEngine(LtpConfig(n, 3 - n, mtu_bytes=MTU_BYTES), rng=random.Random(90 + n))
        for n in (1, 2)
    )
    for engine in (sender, receiver):
        engine.carrier(tx_up=True, rx_up=True, one_way_ns=0, now_ns=0)
    frames: Frames = []

    def leave(engine: LtpEngine) -> None:
        leaving = engine.next_segment(now_ns=0)
        assert leaving is not None
        frames.append((engine is sender, leaving[0]))
        (receiver if engine is sender else sender).receive(leaving[0], now_ns=0)

    for quitter, other in ((sender, receiver), (receiver, sender)):
        session = sender.submit(bytes(5_000), now_ns=0)
        leave(sender)
        leave(sender)
        quitter.cancel(session, now_ns=0)
        leave(quitter)
        leave(other)
        assert not sender.has_pending
        assert not receiver.has_pending
    return frames


def write_capture(path: Path, frames: Frames) -> None:
    """A pcap of UDP datagrams over IPv4 over Ethernet."""
    macs = (bytes((2, 0, 0, 0, 0, 1)), bytes((2, 0, 0, 0, 0, 2)))
    addresses = (bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1))
        for number, (from_first, frame) in enumerate(frames):
            source, target = (0, 1) if from_first else (1, 0)
            both = addresses[source] + addresses[target]
            size = 8 + len(frame)
            udp = struct.pack(">HHHH", PORT, PORT, size, 0) + frame
            sum_ = checksum(both + struct.pack(">HH", 17, size) + udp) or 0xFFFF
            udp = udp[:6] + struct.pack(">H", sum_) + udp[8:]
            head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + size, number, 0, 64, 17, 0) + both
            head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
            packet = macs[target] + macs[source] + struct.pack(">H", 0x0800) + head + udp
            file.write(struct.pack("<IIII", number // 1000, number % 1000, *[len(packet)] * 2))
            file.write(packet)


def checksum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def dissected(tshark: str, path: Path) -> list[dict[str, Any]]:
    """The layers of each packet; a field that occurs twice is a list."""
    done = subprocess.run(
        [
            tshark,
            "-r",
            str(path),
            "-T",
            "json",
            "--no-duplicate-keys",
            "-o",
            "ip.check_checksum:TRUE",
            "-o",
            "udp.check_checksum:TRUE",
        ],
        capture_output=True,
        check=True,
        timeout=120,
    )
    return [packet["_source"]["layers"] for packet in json.loads(done.stdout)]


def found(tree: Any, key: str) -> Iterator[Any]:
    """All values of a key, at any depth."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == key:
                yield from value if isinstance(value, list) else [value]
            yield from found(value, key)
    elif isinstance(tree, list):
        for value in tree:
            yield from found(value, key)


@dataclass(frozen=True, slots=True)
class Capture:
    """What was sent, and what tshark makes of it."""

    mode: str
    frames: Frames
    layers: list[dict[str, Any]]


@pytest.fixture(scope="module", params=["plain", "signed", "encrypted", "both"])
def capture(request, tshark: str, tmp_path_factory) -> Capture:
    frames = exchange(request.param, seed=5) + cancellations()
    path = tmp_path_factory.mktemp("capture") / "ours.pcap"
    write_capture(path, frames)
    return Capture(request.param, frames, dissected(tshark, path))


Shape = tuple[str, tuple[tuple[int, int, int], ...]]
"""A bundle's identity, and type, number and size of each canonical block."""


def sent(frames: Frames) -> set[tuple[SessionId, Shape]]:
    """The bundles tshark has to find, by session."""
    pieces: dict[SessionId, dict[int, bytes]] = {}
    ends: dict[SessionId, int] = {}
    for _, frame in frames:
        segment = decode(frame)
        if isinstance(segment, DataSegment):
            pieces.setdefault(segment.session, {})[segment.offset] = segment.data
            if segment.kind == Kind.RED_END_OF_BLOCK:
                ends[segment.session] = segment.offset + len(segment.data)
    shapes: set[tuple[SessionId, Shape]] = set()
    for session, end in ends.items():
        block = bytearray(end)
        for offset, data in pieces[session].items():
            block[offset : offset + len(data)] = data
        shapes.add((session, shape_of(bundle.decode(bytes(block)))))
    return shapes


def shape_of(one: bundle.Bundle) -> Shape:
    primary = one.primary
    identity = f"Source: {primary.source}, DTN Time: {primary.creation_ms}, Seq: {primary.sequence}"
    return identity, tuple((b.type_code, b.number, len(b.data)) for b in one.blocks)


def seen(layers: list[dict[str, Any]]) -> Counter[tuple[SessionId, Shape]]:
    """The bundles tshark found, by session."""
    shapes: Counter[tuple[SessionId, Shape]] = Counter()
    for packet in layers:
        for tree in found(packet, "bpv7"):
            (originator,) = found(packet, "ltp.session.orig")
            (number,) = found(packet, "ltp.session.number")
            (identity,) = found(tree, "bpv7.bundle.identity")
            blocks = tuple(
                (
                    int(block["bpv7.canonical.type_code"]),
                    int(block["bpv7.canonical.block_num"]),
                    int(block["bpv7.canonical.data"]),
                )
                for block in tree["bpv7.block"][1:]
            )
            shapes[SessionId(int(originator), int(number)), (identity, blocks)] += 1
    return shapes


def whole_packets(capture: Capture) -> list[dict[str, Any]]:
    """Those that tshark reads to their end."""
    return [packet for packet in capture.layers if "_ws.malformed" not in packet]


def test_every_frame_is_ltp_and_nothing_is_malformed(capture: Capture) -> None:
    """But for two things that tshark gets wrong.

    Its tree of the session id is a byte too long, past the end of a segment that ends with its
    header (RFC 5326 §3.2.4). And it takes any checkpoint for the end of the block, so that the
    repair of a block's beginning, sent when it has all of the block, is a bundle cut short to it.
    """
    assert len(capture.layers) == len(capture.frames)
    assert all("ltp" in packet for packet in capture.layers)
    for key in ("ip.checksum.status", "udp.checksum.status"):
        assert list(found(capture.layers, key)) == [GOOD] * len(capture.frames)
    for (_, frame), packet in zip(capture.frames, capture.layers, strict=True):
        if "_ws.malformed" in packet:
            assert frame[0] in STUMBLES, frame.hex()
    whole = whole_packets(capture)
    remarks = [one for one in found(whole, "_ws.expert") if isinstance(one, dict)]
    assert len(remarks) == len(list(found(whole, "_ws.expert.message")))
    serious = [one for one in remarks if int(one["_ws.expert.severity"]) > CHAT]
    assert {one["_ws.expert.message"] for one in serious} <= HARMLESS


def test_a_cancel_ack_with_a_byte_behind_it_is_well_formed(tshark: str, tmp_path: Path) -> None:
    frames = [(first, frame + b"\0") for first, frame in cancellations() if frame[0] in CANCEL_ACKS]
    write_capture(tmp_path / "acks.pcap", frames)
    layers = dissected(tshark, tmp_path / "acks.pcap")
    assert len(layers) == 2
    assert not list(found(layers, "_ws.malformed"))
    assert len(list(found(layers, "ltp.cancel_ack"))) == 2


def test_segment_types_are_the_ones_sent(capture: Capture) -> None:
    theirs = [int(value, 0) for packet in capture.layers for value in found(packet, "ltp.type")]
    assert theirs == [frame[0] & 0x0F for _, frame in capture.frames]
    assert {0, 1, 3, 8, 9, 12, 13, 14, 15} <= set(theirs)


def test_every_block_is_put_together_and_is_the_bundle_sent(capture: Capture) -> None:
    expected = sent(capture.frames)
    assert len({identity for _, (identity, _) in expected}) == 2 * len(SIZES)
    assert set(seen(whole_packets(capture))) == expected
    assert set(seen(capture.layers)) == expected


def test_every_checksum_is_good(capture: Capture) -> None:
    """A target of security has none (RFC 9173 §3.8.1, 4.8.1), nor has the encrypted signature."""
    each = {"plain": 4, "signed": 4, "encrypted": 4, "both": 5}[capture.mode]
    for tree in found(whole_packets(capture), "bpv7"):
        assert list(found(tree, "bpv7.crc_status")) == [GOOD] * each
    assert set(found(capture.layers, "bpv7.crc_status")) == {GOOD}


def test_security_blocks_are_dissected(capture: Capture) -> None:
    layers = whole_packets(capture)
    count = seen(layers).total()
    kinds: Counter[int] = Counter()
    for (_, (_, blocks)), times in seen(layers).items():
        for type_code, _, _ in blocks:
            kinds[type_code] += times
    contexts = Counter(found(layers, "bpsec.asb.ctxid"))
    targets = Counter(found(layers, "bpsec.asb.target"))
    assert kinds[PAYLOAD] == count
    if capture.mode == "plain":
        assert (kinds[BIB], kinds[BCB], contexts) == (0, 0, {})
    elif capture.mode == "signed":
        assert (kinds[BIB], kinds[BCB], contexts) == (count, 0, {"1": count})
        assert targets == {"1": count}
        digests = list(found(layers, "bpsec.defaultsc.hmac"))
        assert [len(bytes.fromhex(one.replace(":", ""))) for one in digests] == [32] * count
    elif capture.mode == "encrypted":
        assert (kinds[BIB], kinds[BCB], contexts) == (0, count, {"2": count})
        assert targets == {"1": count}
    else:
        assert (kinds[BIB], kinds[BCB], contexts) == (count, 2 * count, {"2": 2 * count})
        assert targets["1"] == count
        assert targets.total() == 2 * count
        ivs = list(found(layers, "bpsec.defaultsc.iv"))
        assert [len(bytes.fromhex(one.replace(":", ""))) for one in ivs] == [12] * 2 * count
