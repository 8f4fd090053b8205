"""A capture of two ION 4.1.3 nodes talking BPv7 over LTP, taken in by our receiver.

The capture is pcapng, UDP over Ethernet on loopback. All blocks go from engine 2 to engine 1.
"""

from __future__ import annotations

import gzip
import random
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dtn.bpv7 import bundle
from dtn.bpv7.bundle import Bundle, decode_all
from dtn.bpv7.crc import CRC_16, CRC_NONE
from dtn.ltp.engine import BlockReceived, LtpConfig, LtpEngine
from dtn.ltp.segment import DataSegment, ReportSegment, decode, encode

CAPTURE = Path(__file__).parent.parent / "data" / "ion_2node_ltp.pcapng.gz"
ENHANCED_PACKET = 6


def udp_packets(capture: bytes) -> Iterator[tuple[int, bytes]]:
    """Destination port and payload of each UDP packet, in order."""
    at = 0
    while at < len(capture):
        kind, size = struct.unpack_from("<II", capture, at)
        if kind == ENHANCED_PACKET:
            (captured,) = struct.unpack_from("<I", capture, at + 20)
            frame = capture[at + 28 : at + 28 + captured]
            udp = 14 + (frame[14] & 0x0F) * 4
            port, length = struct.unpack_from(">HH", frame, udp + 2)
            yield port, frame[udp + 8 : udp + length]
        at += size


@pytest.fixture(scope="module")
def packets() -> list[tuple[int, bytes]]:
    return list(udp_packets(gzip.decompress(CAPTURE.read_bytes())))


def data_segments(packets: list[tuple[int, bytes]]) -> Iterator[tuple[DataSegment, bytes]]:
    """All data segments with their bytes; in this capture they all go from engine 2 to 1."""
    for _, payload in packets:
        segment = decode(payload)
        if isinstance(segment, DataSegment):
            yield segment, payload


def received_blocks(packets: list[tuple[int, bytes]]) -> list[BlockReceived]:
    """Feed all data segments into our engine 1, which accepts every block."""
    engine = LtpEngine(LtpConfig(1, 2), rng=random.Random(1))
    blocks: list[BlockReceived] = []
    for at_ns, (_, payload) in enumerate(data_segments(packets)):
        for output in engine.receive(payload, now_ns=at_ns):
            assert isinstance(output, BlockReceived), output
            blocks.append(output)
            assert engine.accept(output.session, now_ns=at_ns) == []
    return blocks


def test_every_segment_decodes_and_encodes_back(packets: list[tuple[int, bytes]]) -> None:
    assert len(packets) == 205
    assert {port for port, _ in packets} == {2113, 3113}
    for _, payload in packets:
        assert encode(decode(payload)) == payload


def test_every_block_completes(packets: list[tuple[int, bytes]]) -> None:
    sessions = dict.fromkeys(segment.session for segment, _ in data_segments(packets))
    assert len(sessions) == 21
    assert [block.session for block in received_blocks(packets)] == list(sessions)


def test_every_bundle_decodes_and_encodes_back(packets: list[tuple[int, bytes]]) -> None:
    bundles: list[Bundle] = []
    several = 0
    for received in received_blocks(packets):
        inside = decode_all(received.block)
        assert b"".join(bundle.encode(one) for one in inside) == received.block
        several += len(inside) > 1
        bundles += inside
    assert several > 0, "ION puts several bundles into a block"
    assert {one.primary.crc_type for one in bundles} == {CRC_16}
    assert any(block.type_code == 193 for one in bundles for block in one.blocks)
    assert {block.crc_type for one in bundles for block in one.blocks} == {CRC_NONE}


def test_our_reports_say_what_ions_say(packets: list[tuple[int, bytes]]) -> None:
    theirs = {
        segment.session: segment
        for segment in (decode(payload) for _, payload in packets)
        if isinstance(segment, ReportSegment)
    }
    engine = LtpEngine(LtpConfig(1, 2), rng=random.Random(1))
    engine.carrier(tx_up=True, rx_up=True, one_way_ns=0, now_ns=0)
    compared = 0
    for _, payload in data_segments(packets):
        for output in engine.receive(payload, now_ns=0):
            assert isinstance(output, BlockReceived)
            assert not engine.has_pending, "no report before the block is accepted"
            engine.accept(output.session, now_ns=0)
            leaving = engine.next_segment(now_ns=0)
            assert leaving is not None
            ours = decode(leaving[0])
            assert isinstance(ours, ReportSegment)
            assert replace(theirs[ours.session], report=ours.report) == ours
            compared += 1
    assert compared == len(theirs) == 21
