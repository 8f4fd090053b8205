"""Our own traffic before tshark's dissectors: Wireshark must find nothing wrong with it.

Two agents talk over a link that loses frames, plain and secured; each frame becomes a UDP datagram
of a capture. tshark 4.0 decodes LTP on port 1113 by itself, and the bundles in its blocks.
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
from pathlib import Path
from typing import Any

import pytest

from dtn.agent import Acknowledged, AgentConfig, BundleAgent, BundleReceived, Transmit
from dtn.ltp import LtpConfig
from dtn.segment import (
    CancelAckSegment,
    CancelReason,
    CancelSegment,
    Kind,
    SessionId,
    decode,
    encode,
)
from roundtrip.keys import link_security, new_keys
from roundtrip.modem import Side

PORT = 1113
EPOCH_MS = 820_000_000_000
SIZES = (1, 30, 500, 1_400, 5_000, 20_000)
MTU_BYTES = 1_000
HARMLESS = {"Unknown type code"}
"""What it says of a payload whose application it does not know."""


@pytest.fixture(scope="module")
def tshark() -> str:
    found = shutil.which("tshark")
    if found is None:
        reason = "tshark is not installed (apt install tshark)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return found


def exchange(*, secured: bool, seed: int) -> list[tuple[bool, bytes]]:
    """Frames (from the ground?, bytes) of bundles both ways, some lost on the way."""
    keys = new_keys(random.Random(seed).randbytes)
    agents = []
    for number, side in ((1, Side.GROUND), (2, Side.NODE)):
        ltp = LtpConfig(number, 3 - number, mtu_bytes=MTU_BYTES)
        config = AgentConfig(f"ipn:{number}.1", f"ipn:{3 - number}.1", ltp, EPOCH_MS)
        security = link_security(keys, side, random_bytes=random.Random(seed + number).randbytes)
        agents.append(
            BundleAgent(
                config, rng=random.Random(seed + number), security=security if secured else None
            )
        )
    rng = random.Random(seed)
    frames: list[tuple[bool, bytes]] = []
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


def cancellations() -> list[tuple[bool, bytes]]:
    """Both kinds and their acknowledgments."""
    ours, theirs = SessionId(1, 1 << 31), SessionId(2, 1 << 30)
    return [
        (True, encode(CancelSegment(Kind.CANCEL_BY_SENDER, ours, CancelReason.USER))),
        (False, encode(CancelAckSegment(Kind.CANCEL_ACK_TO_SENDER, ours))),
        (True, encode(CancelSegment(Kind.CANCEL_BY_RECEIVER, theirs, CancelReason.RETRY_LIMIT))),
        (False, encode(CancelAckSegment(Kind.CANCEL_ACK_TO_RECEIVER, theirs))),
    ]


def write_capture(path: Path, frames: list[tuple[bool, bytes]]) -> None:
    """A pcap of UDP datagrams over IPv4 without a link layer (LINKTYPE_RAW)."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 101))
        for number, (from_ground, frame) in enumerate(frames):
            ends = (bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
            source, target = ends if from_ground else ends[::-1]
            udp = struct.pack(">HHHH", PORT, PORT, 8 + len(frame), 0) + frame
            head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), number & 0xFFFF, 0, 64, 17, 0)
            head += source + target
            head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
            packet = head + udp
            file.write(struct.pack("<IIII", number // 1000, number % 1000, *[len(packet)] * 2))
            file.write(packet)


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


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


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "secured"])
def capture(request, tshark: str, tmp_path_factory) -> tuple[bool, list, list]:
    frames = exchange(secured=request.param, seed=5) + cancellations()
    path = tmp_path_factory.mktemp("capture") / "ours.pcap"
    write_capture(path, frames)
    return request.param, frames, dissected(tshark, path)


def test_every_frame_is_ltp_and_nothing_is_malformed(capture) -> None:
    _, frames, layers = capture
    assert len(layers) == len(frames)
    assert all("ltp" in packet for packet in layers)
    malformed = [
        frame
        for (_, frame), packet in zip(frames, layers, strict=True)
        if "_ws.malformed" in packet
    ]
    acks = (Kind.CANCEL_ACK_TO_SENDER, Kind.CANCEL_ACK_TO_RECEIVER)
    assert all(decode(frame).kind in acks for frame in malformed), (  # type: ignore[union-attr]
        "tshark 4.0 stumbles over these: they end with their header (RFC 5326 3.2.4)"
    )
    whole = [packet for packet in layers if "_ws.malformed" not in packet]
    assert set(found(whole, "_ws.expert.message")) <= HARMLESS | {
        f"Block is targed by BCB block number {number}" for number in range(20)
    }


def test_segment_types_are_the_ones_sent(capture) -> None:
    _, frames, layers = capture
    mine = Counter(frame[0] & 0x0F for _, frame in frames)
    theirs = Counter(int(value, 0) for packet in layers for value in found(packet, "ltp.type"))
    for ack in (Kind.CANCEL_ACK_TO_SENDER, Kind.CANCEL_ACK_TO_RECEIVER):
        theirs[ack] = mine[ack]
    assert theirs == mine
    assert {0, 1, 3, 8, 9, 12, 13, 14, 15} <= set(mine)


def test_every_bundle_is_dissected_and_every_checksum_is_good(capture) -> None:
    secured, _, layers = capture
    versions = list(found(layers, "bpv7.primary.version"))
    assert len(versions) >= 2 * len(SIZES)
    assert set(versions) == {"7"}
    checks = Counter(found(layers, "bpv7.crc_status"))
    assert set(checks) == {"1"}, "1 is good"
    blocks = Counter(found(layers, "bpv7.canonical.type_code"))
    count = len(versions)
    assert blocks["1"] == blocks["7"] == blocks["10"] == count
    assert blocks["11"] == (count if secured else 0), "BIB"
    assert blocks["12"] == (2 * count if secured else 0), "BCB over the payload, and over the BIB"
    assert checks["1"] == count * (5 if secured else 4)
    contexts = Counter(found(layers, "bpsec.asb.ctxid"))
    assert contexts == (Counter({"2": 2 * count}) if secured else Counter())
