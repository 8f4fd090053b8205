"""The bundle agent: pacing, gate, duplicates, lifetimes, failures, restart."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dtn.agent import (
    Acknowledged,
    AgentConfig,
    AgentOutput,
    BundleAgent,
    BundleReceived,
    Damaged,
    DuplicateReceived,
    Expired,
    QueueFull,
    Rejected,
    SeenForgotten,
    SessionFailed,
    StatusReported,
    TransmissionStarted,
    Transmit,
)
from dtn.bpv7.blocks import CanonicalBlock, PrimaryBlock, hop_count_block
from dtn.bpv7.bundle import Bundle, BundleId, decode, encode, make_bundle
from dtn.bpv7.crc import CRC_NONE
from dtn.bpv7.fragments import fragment
from dtn.bpv7.status import StatusReport
from dtn.errors import BundleError
from dtn.ltp.engine import LtpConfig, LtpEngine
from dtn.ltp.segment import DataSegment, Kind, SessionId
from dtn.ltp.segment import decode as decode_segment
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


def test_a_bundle_there_and_its_acknowledgment_back() -> None:
    one, two = agent(1), agent(2)
    up(one)
    up(two)
    bundle_id, outputs = one.send(b"question", lifetime_ms=LIFETIME_MS, now_ns=0)
    assert bundle_id is not None
    (started,) = others(outputs)
    assert isinstance(started, TransmissionStarted)
    assert (started.bundle_id, started.at_ns) == (bundle_id, 0)
    assert started.block_bytes == len(one.encoded(bundle_id))
    received = give(two, frames(outputs), 200 * MS)
    (delivered,) = received
    assert isinstance(delivered, BundleReceived)
    assert delivered.block_bytes == started.block_bytes
    assert delivered.bundle.id == bundle_id
    assert delivered.bundle.payload == b"question"
    assert delivered.received_ns == 200 * MS
    reports = two.accept(bundle_id, now_ns=210 * MS)
    assert two.accept(bundle_id, now_ns=210 * MS) == []
    outputs = give(one, frames(reports), 250 * MS)
    assert others(outputs) == [Acknowledged(bundle_id, started.session, 250 * MS)]
    assert one.queued_bundles == 0
    assert give(two, frames(outputs), 300 * MS) == []
    assert one.deadline is None
    assert two.deadline is None


def test_frames_are_paced_by_the_rate() -> None:
    """At most one frame beyond the one in the transmitter; the rest as it frees up."""
    one = agent()
    up(one)
    _, outputs = one.send(bytes(1_000), lifetime_ms=LIFETIME_MS, now_ns=0)
    sent = frames(outputs)
    assert len(sent) == 2
    busy_until_ns = sum(len(frame) for frame in sent) * MS
    assert one.deadline == (busy_until_ns - 120 * MS, "transmitter")
    assert one.timeout(now_ns=busy_until_ns - 120 * MS - 1) == []
    assert len(frames(one.timeout(now_ns=busy_until_ns - 120 * MS))) == 1
    rest, _ = drain(one, 0)
    assert len(frames(rest)) == 7
    assert all(len(frame) <= 120 for frame in frames(rest))


def test_pace_ahead_0_hands_frames_out_when_the_transmitter_is_free() -> None:
    one = agent(pace_ahead_ns=0)
    up(one)
    _, outputs = one.send(bytes(300), lifetime_ms=LIFETIME_MS, now_ns=0)
    (first,) = frames(outputs)
    assert one.deadline == (len(first) * MS, "transmitter")


def test_nothing_leaves_before_the_carrier_is_up() -> None:
    one = agent()
    bundle_id, outputs = one.send(b"x", lifetime_ms=LIFETIME_MS, now_ns=0)
    assert outputs == []
    assert one.deadline == (60 * S, "lifetime")
    outputs = up(one, 5 * S)
    assert len(frames(outputs)) == 1
    (started,) = others(outputs)
    assert isinstance(started, TransmissionStarted)
    assert (started.bundle_id, started.at_ns) == (bundle_id, 5 * S)


def test_the_age_is_right_when_the_bundle_leaves() -> None:
    one, two = agent(1), agent(2)
    up(two)
    bundle_id, _ = one.send(b"x", lifetime_ms=LIFETIME_MS, now_ns=2 * S)
    assert bundle_id is not None
    assert bundle_id.creation_ms == EPOCH_MS + 2_000
    (delivered,) = give(two, frames(up(one, 5 * S)), 6 * S)
    assert isinstance(delivered, BundleReceived)
    assert delivered.bundle.age_ms == 3_000
    assert decode(one.encoded(bundle_id)).age_ms == 0


def test_a_bundle_that_is_hit_while_it_waits_is_dropped_and_said_so() -> None:
    """Nobody else would notice: it is signed when it leaves."""
    probe = agent()
    probe.send(b"first", lifetime_ms=LIFETIME_MS, now_ns=0)
    size = next(iter(probe._outgoing._bundles.values())).size_bytes
    for bit in range(0, 2 * 8 * size + 8, 7):
        one, two = agent(1), agent(2)
        up(two)
        ids = [
            one.send(text, lifetime_ms=LIFETIME_MS, now_ns=0)[0] for text in (b"first", b"other")
        ]
        one.upset(bit)
        outputs = up(one)
        hit = ids[bit // (8 * size)] if bit < 2 * 8 * size else None
        assert [o.bundle_id for o in outputs if isinstance(o, Damaged)] == [hit] * (hit is not None)
        more, _ = drain(one, 0)
        came = [
            o.bundle.id
            for o in give(two, frames(outputs + more), S)
            if isinstance(o, BundleReceived)
        ]
        assert came == [bundle_id for bundle_id in ids if bundle_id != hit]
        assert one.queued_bundles == len(came)


def test_one_that_is_hit_in_a_session_leaves_as_it_is() -> None:
    """The other end throws it away."""
    one, two = agent(1), agent(2)
    up(two)
    one.send(bytes(3000), lifetime_ms=LIFETIME_MS, now_ns=0)
    outputs = up(one)
    size = next(iter(one._outgoing._bundles.values())).size_bytes
    one.upset(8 * (size + 2000))
    more, _ = drain(one, 0)
    (rejected,) = give(two, frames(outputs + more), S)[:1]
    assert isinstance(rejected, Rejected)


def test_urgent_bundles_overtake() -> None:
    one = agent(max_tx_sessions=4)
    for _ in range(8):
        one.send(bytes(400), lifetime_ms=LIFETIME_MS, priority=1, now_ns=0)
    outputs = up(one)
    urgent, more = one.send(b"now", lifetime_ms=LIFETIME_MS, priority=0, now_ns=0)
    rest, _ = drain(one, 0)
    started = [o for o in outputs + more + rest if isinstance(o, TransmissionStarted)]
    assert started[1].bundle_id == urgent


def test_expired_before_acknowledged() -> None:
    one = agent()
    up(one)
    bundle_id, _ = one.send(b"x", lifetime_ms=100, now_ns=0)
    assert bundle_id is not None
    outputs = one.timeout(now_ns=100 * MS)
    assert Expired(bundle_id) in outputs
    assert one.queued_bundles == 0
    assert one.timeout(now_ns=100 * MS) == []
    with pytest.raises(KeyError):
        one.encoded(bundle_id)


def test_a_failed_session_is_followed_by_another() -> None:
    one = agent(retry_limit=1)
    up(one)
    bundle_id, outputs = one.send(b"x", lifetime_ms=LIFETIME_MS, now_ns=0)
    now_ns = 0
    while not any(isinstance(output, SessionFailed) for output in outputs):
        deadline = one.deadline
        assert deadline is not None
        now_ns = deadline[0]
        outputs = one.timeout(now_ns=now_ns)
    failed, started = others(outputs)
    assert isinstance(failed, SessionFailed)
    assert isinstance(started, TransmissionStarted)
    assert failed.bundle_id == started.bundle_id == bundle_id
    assert failed.session != started.session


def test_through_an_outage_nobody_is_told_of() -> None:
    """Frames vanish for 30 s; the bundle still arrives, once."""
    one, two = agent(1), agent(2)
    up(one)
    up(two)
    bundle_id, _ = one.send(bytes(200), lifetime_ms=LIFETIME_MS, now_ns=0)
    assert bundle_id is not None
    now_ns = 0
    delivered: list[AgentOutput] = []
    done = False
    while not done:
        deadline = min(d for d in (one.deadline, two.deadline) if d is not None)
        now_ns = max(now_ns, deadline[0])
        out_one, out_two = one.timeout(now_ns=now_ns), two.timeout(now_ns=now_ns)
        while (out_one or out_two) and now_ns > 30 * S:
            got_two = give(two, frames(out_one), now_ns)
            delivered += [o for o in got_two if isinstance(o, BundleReceived)]
            got_two += two.accept(bundle_id, now_ns=now_ns)
            out_one = give(one, frames(out_two) + frames(got_two), now_ns)
            out_two = []
            done = done or any(isinstance(o, Acknowledged) for o in out_one)
    assert len(delivered) == 1
    assert 30 * S < now_ns < 33 * S


def test_queue_full() -> None:
    one = agent(max_queued_bundles=1)
    one.send(b"x", lifetime_ms=LIFETIME_MS, now_ns=0)
    assert one.send(b"x", lifetime_ms=LIFETIME_MS, now_ns=0) == (None, [QueueFull(1)])


def test_too_large() -> None:
    one = agent(max_block_bytes=200)
    bundle_id, (output,) = one.send(bytes(200), lifetime_ms=LIFETIME_MS, now_ns=0)
    assert bundle_id is None
    assert isinstance(output, Rejected)
    assert output.reason == "bundle too large"


@pytest.mark.parametrize("expires", [False, True])
def test_a_bundle_given_up_takes_no_more_of_the_link(expires: bool) -> None:
    one = agent()
    up(one)
    bundle_id, _ = one.send(bytes(500), lifetime_ms=1, now_ns=0)
    assert bundle_id is not None
    outputs = one.timeout(now_ns=MS) if expires else one.cancel(bundle_id, now_ns=MS)
    assert (Expired(bundle_id) in outputs) is expires
    assert one.queued_bundles == 0
    assert one.cancel(bundle_id, now_ns=MS) == []
    rest = frames(outputs) + frames(drain(one, MS)[0])
    assert [decode_segment(frame).kind for frame in rest] == [Kind.CANCEL_BY_SENDER]


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


def test_a_transmitter_needs_a_rate() -> None:
    with pytest.raises(ValueError, match="tx_rate_bps"):
        agent().carrier(tx_up=True, rx_up=True, tx_rate_bps=0, one_way_ns=0, now_ns=0)


def test_carrier_lost_and_back() -> None:
    one, two = agent(1), agent(2)
    up(one)
    up(two)
    bundle_id, outputs = one.send(bytes(600), lifetime_ms=LIFETIME_MS, now_ns=0)
    assert bundle_id is not None
    assert down(one, 100 * MS) == []
    assert one.timeout(now_ns=S) == []
    outputs += up(one, 2 * S)
    rest, now_ns = drain(one, 2 * S)
    assert any(isinstance(o, BundleReceived) for o in give(two, frames(outputs + rest), now_ns))


def test_ids_of_a_config_are_checked() -> None:
    ltp = LtpConfig(1, 2)
    for changes in (
        {"eid": "ipn:1"},
        {"peer_eid": "x"},
        {"hop_limit": 0},
        {"max_seen": 0},
        {"dtn_epoch_ms": 0},
    ):
        with pytest.raises(ValueError, match=r"endpoint id|hop_limit|positive"):
            replace(AgentConfig("ipn:1.1", "ipn:2.1", ltp, EPOCH_MS), **changes)


def test_ids_print_shortly() -> None:
    assert str(BundleId("ipn:1.1", 5, 6)) == "ipn:1.1/5/6"


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
