"""The bundle agent as it receives: duplicates, refusals, fragments, reports, restarts."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dtn.agent import (
    Acknowledged,
    AgentOutput,
    BundleAgent,
    BundleReceived,
    DuplicateReceived,
    Rejected,
    SeenForgotten,
    StatusReported,
)
from dtn.bpv7.blocks import CanonicalBlock, hop_count_block
from dtn.bpv7.bundle import Bundle, BundleId, encode
from dtn.bpv7.crc import CRC_NONE
from dtn.bpv7.fragments import fragment
from dtn.bpv7.status import StatusReport
from dtn.errors import BundleError
from dtn.ltp.engine import LtpConfig, LtpEngine
from dtn.ltp.segment import DataSegment, Kind, SessionId
from dtn.ltp.segment import encode as encode_segment
from tests.unit.dtn.agents import (
    LIFETIME_MS,
    S,
    agent,
    as_frame,
    bundle_to_2,
    frames,
    give,
    others,
    up,
)


def test_after_a_restart_the_same_bundle_again() -> None:
    one, two = agent(1), agent(2)
    up(two)
    up(one)
    bundle_id, outputs = one.send(b"x", lifetime_ms=LIFETIME_MS, now_ns=0)
    assert bundle_id is not None
    assert any(isinstance(o, BundleReceived) for o in give(two, frames(outputs), S))
    two.accept(bundle_id, now_ns=S)
    again = BundleAgent(one.config, rng=random.Random(3))
    same, outputs = again.send_encoded(one.encoded(bundle_id), now_ns=2 * S)
    assert same == bundle_id
    assert again.send_encoded(one.encoded(bundle_id), now_ns=2 * S) == (bundle_id, [])
    outputs = give(two, frames(up(again, 2 * S)), 3 * S)
    (duplicate,) = others(outputs)
    assert isinstance(duplicate, DuplicateReceived)
    assert duplicate.bundle_id == bundle_id
    (acknowledged,) = others(give(again, frames(outputs), 4 * S))
    assert isinstance(acknowledged, Acknowledged)
    with pytest.raises(BundleError):
        again.send_encoded(b"\x00", now_ns=0)


def test_remembered_bundles_are_duplicates() -> None:
    two = agent(2)
    up(two)
    two.remember([bundle_to_2().id])
    outputs = two.receive(as_frame(bundle_to_2()), now_ns=0)
    assert others(outputs) == [DuplicateReceived(bundle_to_2().id, SessionId(1, 77))]
    assert len(frames(outputs)) == 1


def test_a_duplicate_of_a_bundle_not_yet_on_disk_waits_for_it() -> None:
    two = agent(2)
    up(two)
    (first,) = two.receive(as_frame(bundle_to_2(), number=1), now_ns=0)
    assert isinstance(first, BundleReceived)
    (second,) = two.receive(as_frame(bundle_to_2(), number=2), now_ns=0)
    assert isinstance(second, DuplicateReceived)
    assert len(frames(two.accept(bundle_to_2().id, now_ns=0))) == 2


def test_a_block_of_several_bundles_is_acknowledged_when_all_are_accepted() -> None:
    two = agent(2)
    up(two)
    outputs = two.receive(as_frame(bundle_to_2(1), bundle_to_2(2)), now_ns=0)
    assert [type(output) for output in outputs] == [BundleReceived] * 2
    assert two.accept(bundle_to_2(2).id, now_ns=0) == []
    assert len(frames(two.accept(bundle_to_2(1).id, now_ns=0))) == 1


def test_the_duplicate_filter_is_bounded_and_says_so() -> None:
    two = agent(2, max_seen=2)
    up(two)
    outputs: list[AgentOutput] = []
    for sequence in range(3):
        outputs += two.receive(as_frame(bundle_to_2(sequence), number=sequence), now_ns=0)
        outputs += two.accept(bundle_to_2(sequence).id, now_ns=0)
    assert SeenForgotten(1) in outputs
    late = two.receive(as_frame(bundle_to_2(3), number=3), now_ns=61 * S)
    assert SeenForgotten(1) not in late


UNKNOWN = CanonicalBlock(193, 9, b"\x00", flags=0x04)
WITHOUT_AGE = Bundle(bundle_to_2(creation_ms=0).primary, bundle_to_2().blocks[-1:])


@pytest.mark.parametrize(
    ("bundle", "reason"),
    [
        (bundle_to_2(destination="ipn:3.1"), "wrong destination"),
        (bundle_to_2(lifetime_ms=0), "expired"),
        (bundle_to_2(source="dtn:none", flags=4), "anonymous"),
        (replace(bundle_to_2(), blocks=(UNKNOWN, *bundle_to_2().blocks)), "unsupported block"),
        (WITHOUT_AGE, "no age"),
        (bundle_to_2(crc_type=CRC_NONE), "neither CRC nor signature on the primary block"),
    ],
)
def test_rejected_bundles_are_acknowledged_and_not_delivered(bundle: Bundle, reason: str) -> None:
    two = agent(2)
    up(two)
    outputs = two.receive(as_frame(bundle), now_ns=0)
    (output,) = others(outputs)
    assert output == Rejected(reason, str(bundle.id))
    assert len(frames(outputs)) == 1


def test_hop_limit() -> None:
    two = agent(2)
    up(two)
    spent = (hop_count_block(3, 4, 2), *bundle_to_2().blocks[1:])
    outputs = two.receive(as_frame(replace(bundle_to_2(), blocks=spent)), now_ns=0)
    assert others(outputs) == [Rejected("hop limit", str(bundle_to_2().id))]


def test_without_age_block_our_clock_counts() -> None:
    two = agent(2)
    up(two)
    plain = Bundle(bundle_to_2().primary, bundle_to_2().blocks[-1:])
    (output,) = two.receive(as_frame(plain), now_ns=59 * S)
    assert isinstance(output, BundleReceived)
    other = replace(plain, primary=replace(plain.primary, sequence=2))
    outputs = others(two.receive(as_frame(other, number=2), now_ns=60 * S))
    assert outputs == [Rejected("expired", str(other.id))]


def test_a_damaged_block_is_asked_for_again() -> None:
    two = agent(2)
    up(two)
    frame = bytearray(as_frame(bundle_to_2()))
    frame[-8] ^= 1
    outputs = two.receive(bytes(frame), now_ns=0)
    assert isinstance(others(outputs)[0], Rejected)
    peer = LtpEngine(LtpConfig(1, 2), rng=random.Random(1))
    assert len(frames(outputs)) == 1
    peer.carrier(tx_up=True, rx_up=True, one_way_ns=0, now_ns=0)
    peer.receive(frames(outputs)[0], now_ns=0)
    assert peer.has_pending  # the acknowledgment of a cancellation


def test_junk_is_rejected() -> None:
    two = agent(2)
    up(two)
    (output,) = two.receive(b"junk", now_ns=0)
    assert isinstance(output, Rejected)
    assert output.reason == "bad segment"


def with_payload(bundle: Bundle, payload: bytes) -> Bundle:
    *extensions, last = bundle.blocks
    return replace(bundle, blocks=(*extensions, replace(last, data=payload)))


def test_fragments_in_any_order_are_delivered_once_and_held_until_accepted() -> None:
    two = agent(2)
    up(two)
    whole = with_payload(bundle_to_2(), b"0123456789")
    pieces = fragment(whole, payload_bytes=4)
    overlapping = fragment(whole, payload_bytes=3)[1]
    outputs: list[AgentOutput] = []
    for number, piece in enumerate((pieces[2], overlapping, pieces[0], pieces[1])):
        outputs += two.receive(as_frame(piece, number=number), now_ns=0)
    (received,) = others(outputs)
    assert isinstance(received, BundleReceived)
    assert received.bundle.payload == b"0123456789"
    assert received.bundle.id == whole.id
    assert frames(outputs) == [], "nothing is reported before it is on disk"
    assert len(frames(two.accept(whole.id, now_ns=0))) == 4
    (again,) = others(two.receive(as_frame(pieces[1], number=9), now_ns=0))
    assert isinstance(again, DuplicateReceived)


def test_a_status_report_is_handed_on() -> None:
    record = bytes.fromhex("8201848482f50081f481f581f4008202820101821904d207")
    two = agent(2)
    up(two)
    sent = with_payload(bundle_to_2(flags=2), record)
    (output,) = others(two.receive(as_frame(sent), now_ns=0))
    assert output == StatusReported(
        StatusReport(BundleId("ipn:1.1", 1234, 7), {"received": 0, "delivered": 0}, 0)
    )
    broken = bundle_to_2(3, flags=2)
    (refused,) = others(two.receive(as_frame(broken, number=3), now_ns=0))
    assert isinstance(refused, Rejected)
    assert refused.reason == "administrative record"


def test_a_green_block_in_one_segment_is_delivered() -> None:
    two = agent(2)
    up(two)
    data = encode(bundle_to_2())
    segment = DataSegment(Kind.GREEN_END_OF_BLOCK, SessionId(1, 5), 1, 0, data)
    outputs = two.receive(encode_segment(segment), now_ns=0)
    (received,) = others(outputs)
    assert isinstance(received, BundleReceived)
    assert frames(outputs) + frames(two.accept(bundle_to_2().id, now_ns=0)) == []
    part = replace(segment, session=SessionId(1, 6), offset=3)
    assert [type(o) for o in others(two.receive(encode_segment(part), now_ns=0))] == [Rejected]
