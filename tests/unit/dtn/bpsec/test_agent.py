"""The bundle agent with security on: delivery, forgeries, replays, restarts, rotation."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dtn.agent import (
    EXPIRED_BY_CLOCK,
    MAX_DAMAGED,
    Acknowledged,
    AgentConfig,
    AgentOutput,
    BundleAgent,
    BundleReceived,
    DuplicateReceived,
    Rejected,
    Transmit,
)
from dtn.bpsec.keys import AesKey, AesVariant, HmacKey, KeyRing, ShaVariant
from dtn.bpsec.rules import Rule
from dtn.bpsec.security import Security
from dtn.bpv7.blocks import BUNDLE_AGE, PrimaryBlock, age_block
from dtn.bpv7.bundle import Bundle, decode, encode, make_bundle
from dtn.errors import SecurityReason
from dtn.ltp.engine import LtpConfig
from dtn.ltp.segment import (
    CancelReason,
    CancelSegment,
    DataSegment,
    Kind,
    ReportSegment,
    SessionId,
)
from dtn.ltp.segment import decode as decode_segment
from dtn.ltp.segment import encode as encode_segment

MS = 1_000_000
S = 1_000 * MS
EPOCH_MS = 800_000_000_000
LIFETIME_MS = 60_000
TEXT = b"what is the state of the battery?"


def ring(generation: int = 1) -> KeyRing:
    draw = random.Random(generation).randbytes
    return KeyRing(
        (HmacKey(ShaVariant.HMAC_256, draw(32)),), (AesKey(AesVariant.A256GCM, draw(32)),)
    )


def security(number: int, keys: KeyRing) -> Security:
    return Security(
        [Rule(f"ipn:{3 - number}.1", keys)], random_bytes=random.Random(number).randbytes
    )


def agent(
    number: int,
    secure: Security | None = None,
    *,
    epoch_ms: int | None = EPOCH_MS,
    shared_clock: bool = True,
    **changes: int,
) -> BundleAgent:
    ltp = LtpConfig(number, 3 - number, **changes)
    config = AgentConfig(
        f"ipn:{number}.1", f"ipn:{3 - number}.1", ltp, epoch_ms, shared_clock=shared_clock
    )
    it = BundleAgent(config, rng=random.Random(number), security=secure)
    it.carrier(tx_up=True, rx_up=True, tx_rate_bps=10**9, one_way_ns=5 * MS, now_ns=0)
    return it


def frames(outputs: list[AgentOutput]) -> list[bytes]:
    return [output.frame for output in outputs if isinstance(output, Transmit)]


def others(outputs: list[AgentOutput]) -> list[AgentOutput]:
    return [output for output in outputs if not isinstance(output, Transmit)]


def give(it: BundleAgent, sent: list[bytes], now_ns: int) -> list[AgentOutput]:
    return [output for frame in sent for output in it.receive(frame, now_ns=now_ns)]


def from_ground(sequence: int = 1, creation_ms: int = EPOCH_MS, age_ms: int = 0) -> Bundle:
    primary = PrimaryBlock("ipn:2.1", "ipn:1.1", creation_ms, sequence, LIFETIME_MS)
    return make_bundle(primary, TEXT, hop_limit=4, age_ms=age_ms)


def as_frame(*bundles: Bundle, number: int = 77) -> bytes:
    block = b"".join(encode(bundle) for bundle in bundles)
    return encode_segment(DataSegment(Kind.RED_END_OF_BLOCK, SessionId(1, number), 1, 0, block, 5))


def whole_reports(outputs: list[AgentOutput]) -> int:
    """How many reports told the peer that its block is here."""
    segments = [decode_segment(frame) for frame in frames(outputs)]
    return sum(isinstance(segment, ReportSegment) for segment in segments)


def test_a_bundle_arrives_in_the_clear_and_travels_secured() -> None:
    ground, node = agent(1, security(1, ring())), agent(2, security(2, ring()))
    bundle_id, outputs = ground.send(TEXT, lifetime_ms=LIFETIME_MS, now_ns=0)
    assert bundle_id is not None
    assert TEXT not in b"".join(frames(outputs))
    (received,) = others(give(node, frames(outputs), 5 * MS))
    assert isinstance(received, BundleReceived)
    assert received.bundle.payload == TEXT
    assert received.bundle.id == bundle_id
    reports = frames(node.accept(bundle_id, now_ns=6 * MS))
    assert isinstance(others(give(ground, reports, 11 * MS))[0], Acknowledged)


def test_what_fails_is_dropped_and_acknowledged_at_once() -> None:
    """A peer that heard nothing would send it for ever."""
    secure = security(2, ring())
    node = agent(2, secure)
    outputs = node.receive(as_frame(from_ground()), now_ns=0)
    assert others(outputs) == [Rejected("security", SecurityReason.MISSING)]
    assert whole_reports(outputs) == 1
    assert secure.refused == {SecurityReason.MISSING: 1}


def test_what_was_damaged_is_asked_for_again_until_it_must_be_the_keys() -> None:
    node, stranger = agent(2, security(2, ring())), security(1, ring(9))
    genuine = security(1, ring())

    def cancelled(number: int, secure: Security) -> bool:
        bundle = secure.protect(from_ground(number))
        outputs = node.receive(as_frame(bundle, number=number), now_ns=0)
        return any(isinstance(decode_segment(frame), CancelSegment) for frame in frames(outputs))

    assert all(cancelled(number, stranger) for number in range(MAX_DAMAGED))
    assert not cancelled(100, stranger), "acknowledged and dropped"
    assert not cancelled(101, genuine)
    assert cancelled(102, stranger), "the keys are right after all"


def test_a_forgery_does_not_block_the_bundle_it_imitates() -> None:
    node = agent(2, security(2, ring()))
    genuine = security(1, ring()).protect(from_ground())
    assert others(node.receive(as_frame(from_ground()), now_ns=0)) == [
        Rejected("security", SecurityReason.MISSING)
    ]
    (received,) = others(node.receive(as_frame(genuine, number=78), now_ns=0))
    assert isinstance(received, BundleReceived)


def test_a_forgery_is_no_duplicate() -> None:
    """A duplicate may be answered again; what anyone can make must not be."""
    node = agent(2, security(2, ring()))
    genuine = security(1, ring()).protect(from_ground())
    node.receive(as_frame(genuine), now_ns=0)
    assert others(node.receive(as_frame(from_ground(), number=78), now_ns=0)) == [
        Rejected("security", SecurityReason.MISSING)
    ]
    again = others(node.receive(as_frame(genuine, number=79), now_ns=0))
    assert again == [DuplicateReceived(genuine.id, SessionId(1, 79))]


def test_what_we_sent_ourselves_is_not_taken_back() -> None:
    """Both ends have the same keys; the primary block says which way a bundle goes."""
    ground = agent(1, security(1, ring()))
    mine = security(1, ring()).protect(from_ground())
    reflected = DataSegment(Kind.RED_END_OF_BLOCK, SessionId(2, 9), 1, 0, encode(mine), 5)
    output, _ = others(ground.receive(encode_segment(reflected), now_ns=0))
    assert output == Rejected("security", SecurityReason.UNEXPECTED)


def younger(bundle: Bundle) -> Bundle:
    """The bundle with the age that no one signs set back to 0."""
    blocks = tuple(
        age_block(0, block.number) if block.type_code == BUNDLE_AGE else block
        for block in bundle.blocks
    )
    return replace(bundle, blocks=blocks)


@pytest.mark.parametrize("epoch_ms", [None, EPOCH_MS])
def test_a_replay_is_never_delivered(epoch_ms: int | None) -> None:
    node = agent(2, security(2, ring()), epoch_ms=epoch_ms)
    genuine = security(1, ring()).protect(from_ground(age_ms=LIFETIME_MS - 1))
    assert isinstance(others(node.receive(as_frame(genuine), now_ns=0))[0], BundleReceived)
    replay = younger(genuine)
    for number, now_ns in enumerate((1 * S, 59 * S, 61 * S, 1000 * S), start=80):
        # others pass by, so that what has expired is forgotten
        other = security(1, ring()).protect(
            from_ground(number, creation_ms=EPOCH_MS + now_ns // MS)
        )
        node.receive(as_frame(other, number=number + 100), now_ns=now_ns)
        (output,) = others(node.receive(as_frame(replay, number=number), now_ns=now_ns))
        if epoch_ms and now_ns > 60 * S:
            assert output == Rejected(EXPIRED_BY_CLOCK, str(genuine.id))
        else:
            assert output == DuplicateReceived(genuine.id, SessionId(1, number))


def test_a_source_without_a_clock() -> None:
    node = agent(2, security(2, ring()))
    genuine = security(1, ring()).protect(from_ground(creation_ms=0))
    assert isinstance(others(node.receive(as_frame(genuine), now_ns=0))[0], BundleReceived)
    (output,) = others(node.receive(as_frame(genuine, number=78), now_ns=1000 * S))
    assert isinstance(output, DuplicateReceived)


def test_what_is_kept_for_a_restart_is_secured_with_the_keys_of_the_day() -> None:
    ground = agent(1, security(1, ring(1)))
    ground.carrier(tx_up=False, rx_up=False, tx_rate_bps=0, one_way_ns=5 * MS, now_ns=0)
    bundle_id, _ = ground.send(TEXT, lifetime_ms=LIFETIME_MS, now_ns=0)
    assert bundle_id is not None
    kept = ground.encoded(bundle_id)
    assert decode(kept).payload == TEXT
    restarted = agent(1, security(1, ring(2)))
    same_id, outputs = restarted.send_encoded(kept, now_ns=1 * S)
    assert same_id == bundle_id
    (received,) = others(give(agent(2, security(2, ring(2))), frames(outputs), 1 * S))
    assert isinstance(received, BundleReceived)
    assert received.bundle.payload == TEXT
    assert received.bundle.age_ms == 1000, "the age of the moment, outside the signature"


def test_a_bundle_that_is_sent_again_has_the_same_ciphertext() -> None:
    """Its IV follows from its identity, so nothing else may be encrypted under it."""
    ground, node = agent(1, security(1, ring())), agent(2, security(2, ring()))
    _, outputs = ground.send(TEXT, lifetime_ms=LIFETIME_MS, now_ns=0)
    sent = decode_segment(frames(outputs)[0])
    cancel = CancelSegment(Kind.CANCEL_BY_RECEIVER, sent.session, CancelReason.SYSTEM)
    outputs = ground.receive(encode_segment(cancel), now_ns=S)
    again = decode_segment(frames(outputs)[-1])
    assert isinstance(sent, DataSegment)
    assert isinstance(again, DataSegment)
    first, second = decode(sent.data), decode(again.data)
    assert first.id == second.id
    assert first.payload == second.payload
    assert isinstance(others(node.receive(as_frame(first), now_ns=0))[0], BundleReceived)
    (duplicate,) = others(node.receive(as_frame(second, number=78), now_ns=0))
    assert isinstance(duplicate, DuplicateReceived)


def test_ciphertext_is_not_delivered_without_security() -> None:
    node = agent(2)
    genuine = security(1, ring()).protect(from_ground())
    outputs = node.receive(as_frame(genuine), now_ns=0)
    assert others(outputs) == [Rejected("security", SecurityReason.NO_KEY)]
    assert whole_reports(outputs) == 1


def test_a_signature_alone_is_passed_over_without_security() -> None:
    rule = Rule("ipn:2.1", ring(), encrypt=())
    signed = Security([rule], random_bytes=bytes).protect(from_ground())
    (output,) = others(agent(2).receive(as_frame(signed), now_ns=0))
    assert isinstance(output, BundleReceived)
    assert output.bundle.payload == TEXT


def test_what_cannot_be_secured_is_not_queued() -> None:
    ground = agent(1, security(1, ring()))
    fragment = replace(
        from_ground(),
        primary=replace(from_ground().primary, flags=1, fragment_offset=0, total_bytes=99),
    )
    elsewhere = replace(
        from_ground(), primary=replace(from_ground().primary, destination="ipn:9.1")
    )
    for bundle in (fragment, elsewhere):
        bundle_id, outputs = ground.send_encoded(encode(bundle), now_ns=0)
        assert bundle_id is None
        assert outputs == [Rejected("security", SecurityReason.CONFLICTING)]


def test_the_size_limit_counts_what_security_adds() -> None:
    ground = agent(1, security(1, ring()), max_block_bytes=2000)
    bundle_id, outputs = ground.send(bytes(1500), lifetime_ms=LIFETIME_MS, now_ns=0)
    assert bundle_id is None
    assert isinstance(outputs[0], Rejected)
    assert outputs[0].reason == "bundle too large"
    bundle_id, _ = ground.send(bytes(900), lifetime_ms=LIFETIME_MS, now_ns=0)
    assert bundle_id is not None


def test_security_must_know_the_peer() -> None:
    with pytest.raises(ValueError, match=r"no security rule for ipn:2\.1"):
        agent(1, security(2, ring()))
