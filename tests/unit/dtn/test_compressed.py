"""Compressed bundles: vectors, what fits, what is refused; and that nothing forged passes."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dtn import compressed
from dtn.agent import (
    AgentConfig,
    AgentOutput,
    BundleAgent,
    BundleReceived,
    Rejected,
    SessionFailed,
    Transmit,
)
from dtn.bpsec.keys import AesKey, AesVariant, HmacKey, KeyRing, ShaVariant
from dtn.bpsec.rules import Rule
from dtn.bpsec.security import Security
from dtn.bpv7.blocks import MUST_NOT_FRAGMENT, PrimaryBlock
from dtn.bpv7.bundle import Bundle, encode, make_bundle
from dtn.compressed import RECENT_AGE_MS, SERVICE, USUAL_LIFETIME_MS, Context
from dtn.errors import BundleError
from dtn.ltp.engine import LtpConfig
from dtn.ltp.segment import (
    CancelReason,
    CancelSegment,
    DataSegment,
    Kind,
    SessionId,
)
from dtn.ltp.segment import (
    decode as decode_segment,
)
from dtn.ltp.segment import (
    encode as encode_segment,
)

GROUND, NODE = "ipn:1.1", "ipn:2.1"
NOW_MS = 820_540_800_000
CONTEXT = Context(GROUND, NODE, 4)
KEYS = KeyRing(
    (HmacKey(ShaVariant.HMAC_256, bytes(range(32))),),
    (AesKey(AesVariant.A256GCM, bytes(range(1, 33))),),
)


def security(peer: str, **rule: object) -> Security:
    return Security([Rule(peer, KEYS, **rule)], random_bytes=random.Random(1).randbytes)


def bundle(payload: bytes = b"Status?", age_ms: int = 0, **changes: object) -> Bundle:
    primary = PrimaryBlock(NODE, GROUND, NOW_MS, 258, USUAL_LIFETIME_MS, flags=MUST_NOT_FRAGMENT)
    return make_bundle(replace(primary, **changes), payload, hop_limit=4, age_ms=age_ms)


def sealed(**changes: object) -> bytes:
    return encode(security(NODE).protect(bundle(**changes)))


# The format


def test_what_is_left_of_a_secured_bundle() -> None:
    data = sealed()
    short = CONTEXT.compress(data, now_ms=NOW_MS + 1000)
    assert short is not None
    assert short[:6].hex() == "68" + (NOW_MS % (1 << 24)).to_bytes(3, "big").hex() + "0102"
    assert len(short) == 6 + len(b"Status?") + 16
    assert len(data) - len(short) > 100
    assert CONTEXT.expand(short, now_ms=NOW_MS + 5000) == data


@pytest.mark.parametrize(
    ("changes", "now_ms", "head"),
    [
        ({}, None, "7000bf0c0afc000102"),
        ({"sequence": 65_536}, NOW_MS, "6c0afc00000000010000"),
        ({"lifetime_ms": 120_000}, NOW_MS, "6a0afc00010218"),
        ({"lifetime_ms": 1}, NOW_MS, "6a0afc00010203"),
        ({"age_ms": 300}, NOW_MS, "690afc000102822ca8515755"),
    ],
)
def test_vectors(changes: dict[str, int], now_ms: int | None, head: str) -> None:
    data = sealed(**changes)
    short = CONTEXT.compress(data, now_ms=now_ms)
    assert short is not None
    assert short.hex().startswith(head)
    assert len(short) == len(head) // 2 + len(b"Status?") + 16
    assert CONTEXT.expand(short, now_ms=now_ms) == data


def test_without_a_date_the_iv_goes_along() -> None:
    data = sealed(creation_ms=0)
    short = CONTEXT.compress(data, now_ms=None)
    assert short is not None
    assert len(short) == 1 + 2 + 12 + len(b"Status?") + 16
    assert CONTEXT.expand(short, now_ms=None) == data


def test_without_security_a_checksum_over_all_is_kept() -> None:
    data = encode(bundle())
    short = CONTEXT.compress(data, now_ms=NOW_MS)
    assert short is not None
    assert len(short) == 6 + len(b"Status?") + 4
    assert CONTEXT.expand(short, now_ms=NOW_MS) == data
    for at in range(8 * len(short)):
        damaged = bytearray(short)
        damaged[at // 8] ^= 1 << at % 8
        with suppress(BundleError):
            assert CONTEXT.expand(bytes(damaged), now_ms=NOW_MS) == data, "another was made of it"


@pytest.mark.parametrize(
    "data",
    [
        encode(security(NODE, sign_encrypted=True).protect(bundle())),
        encode(security(NODE, encryption_scope=6).protect(bundle())),
        encode(security(NODE, encrypt=()).protect(bundle())),
        sealed(flags=0),
        sealed(report_to=GROUND),
        sealed(source="ipn:3.1"),
        encode(make_bundle(bundle().primary, b"x", hop_limit=5)),
        encode(make_bundle(bundle().primary, b"x", hop_limit=None)),
        encode(bundle(crc_type=1)),
        sealed(sequence=1 << 48),
        sealed(lifetime_ms=(1 << 64) - 1),
    ],
)
def test_what_does_not_fit_goes_as_it_is(data: bytes) -> None:
    assert CONTEXT.compress(data, now_ms=NOW_MS) is None


@pytest.mark.parametrize("field", ["sequence", "lifetime_ms", "age_ms"])
def test_numbers_have_48_bits_at_both_ends(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    last, beyond = (
        encode(bundle(**{"lifetime_ms": (1 << 48) - 1} | {field: number}))
        for number in ((1 << 48) - 1, 1 << 48)
    )
    short = CONTEXT.compress(last, now_ms=NOW_MS)
    assert short is not None
    assert CONTEXT.expand(short, now_ms=NOW_MS) == last
    assert CONTEXT.compress(beyond, now_ms=NOW_MS) is None
    if field == "sequence":
        return  # its bytes are counted
    with monkeypatch.context() as patch:
        patch.setattr(compressed, "_MOST", 1 << 60)
        forged = CONTEXT.compress(beyond, now_ms=NOW_MS)
    assert forged is not None
    with pytest.raises(BundleError, match="48 bits"):
        CONTEXT.expand(forged, now_ms=NOW_MS)


def test_an_old_bundle_has_its_date_in_full() -> None:
    data = sealed()
    for age_ms, size in ((RECENT_AGE_MS, 29), (RECENT_AGE_MS + 1, 32), (-1, 32)):
        short = CONTEXT.compress(data, now_ms=NOW_MS + age_ms)
        assert short is not None
        assert len(short) == size
        assert CONTEXT.expand(short, now_ms=NOW_MS + age_ms) == data


@pytest.mark.parametrize(
    "short", ["", "28", "68", "680afc000102", "680afc00010200", "e80afc00", "69" + "0afc000102ff"]
)
def test_what_is_no_compressed_bundle(short: str) -> None:
    with pytest.raises(BundleError):
        CONTEXT.expand(bytes.fromhex(short), now_ms=NOW_MS)


def test_another_version_is_named() -> None:
    with pytest.raises(BundleError, match="expected context version 1, found 3"):
        CONTEXT.expand(bytes.fromhex("e80afc00"), now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("genuine", "other"),
    [
        ("6a0afc00010218", "6a0afc0001028018"),
        ("6a0afc00010218", "6a0afc0001028ed301"),
        ("680afc000102", "6a0afc000102818700"),
        ("680afc000102", "6c0afc00000000000102"),
        ("7000bf0c0afc000102", "7800bf0c0afc000102" + "000100bf0c0afc0000000102"),
    ],
)
def test_a_bundle_looks_in_one_way_only(genuine: str, other: str) -> None:
    """The same fields, said at greater length."""
    given = {"6a": {"lifetime_ms": 120_000}}.get(genuine[:2], {})
    now_ms = None if genuine.startswith("70") else NOW_MS
    short = CONTEXT.compress(sealed(**given), now_ms=now_ms)
    assert short is not None
    head = bytes.fromhex(genuine)
    assert short.startswith(head)
    with pytest.raises(BundleError):
        CONTEXT.expand(bytes.fromhex(other) + short[len(head) :], now_ms=now_ms)


def test_without_security_no_iv_goes_along() -> None:
    short = CONTEXT.compress(encode(bundle()), now_ms=None)
    assert short is not None
    with pytest.raises(BundleError, match="shortest"):
        CONTEXT.expand(bytes([short[0] | 0x08]) + short[1:], now_ms=None)


def test_a_date_that_goes_by_a_clock_needs_one() -> None:
    short = CONTEXT.compress(sealed(), now_ms=NOW_MS)
    assert short is not None
    with pytest.raises(BundleError, match="in full"):
        CONTEXT.expand(short, now_ms=None)


@given(st.binary(max_size=80), st.one_of(st.none(), st.integers(0, 1 << 48)))
@example(b"H\x01\x00\x00\x00\x00", 0)  # would be before 2000
def test_any_bytes_are_a_bundle_or_an_error(data: bytes, now_ms: int | None) -> None:
    with suppress(BundleError):
        CONTEXT.expand(data, now_ms=now_ms)


# Between agents


def agent(
    side: int, *, compresses: bool = True, secured: bool = True, **config: object
) -> BundleAgent:
    us, peer = (GROUND, NODE) if side == 1 else (NODE, GROUND)
    settings = AgentConfig(us, peer, LtpConfig(side, 3 - side), NOW_MS, compresses=compresses)
    it = BundleAgent(
        replace(settings, **config),
        rng=random.Random(side),
        security=security(peer) if secured else None,
    )
    it.carrier(tx_up=True, rx_up=True, tx_rate_bps=10**9, one_way_ns=0, now_ns=0)
    return it


def data_of(outputs: list[AgentOutput]) -> list[DataSegment]:
    segments = [decode_segment(o.frame) for o in outputs if isinstance(o, Transmit)]
    return [segment for segment in segments if isinstance(segment, DataSegment)]


def send(it: BundleAgent, now_ns: int = 0) -> DataSegment:
    return data_of(it.send(b"Status?", lifetime_ms=USUAL_LIFETIME_MS, now_ns=now_ns)[1])[0]


def receive(it: BundleAgent, segment: DataSegment, now_ns: int = 0) -> list[AgentOutput]:
    return it.receive(encode_segment(segment), now_ns=now_ns)


def received(outputs: list[AgentOutput]) -> list[bytes]:
    return [o.bundle.payload for o in outputs if isinstance(o, BundleReceived)]


@pytest.mark.parametrize("secured", [True, False])
def test_a_compressed_bundle_is_delivered(secured: bool) -> None:
    segment = send(agent(1, secured=secured))
    assert segment.service == SERVICE
    assert received(receive(agent(2, secured=secured), segment)) == [b"Status?"]


class Highest(random.Random):
    """Draws the highest number of any range."""

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return (start if stop is None else stop) - 1


@pytest.mark.parametrize(("epoch_ms", "size_bytes"), [(NOW_MS, 2), (None, 6)])
def test_sequence_numbers_begin_anew_where_no_more_fits(
    epoch_ms: int | None, size_bytes: int
) -> None:
    config = AgentConfig(GROUND, NODE, LtpConfig(1, 2), epoch_ms)
    it = BundleAgent(config, rng=Highest(1))
    ids = [it.send(b"", lifetime_ms=USUAL_LIFETIME_MS, now_ns=0)[0] for _ in range(3)]
    assert [one.sequence for one in ids if one is not None] == [(1 << 8 * size_bytes) - 1, 0, 1]


def test_a_peer_that_has_not_shown_itself_gets_standard_bundles() -> None:
    ground, node = agent(1, compresses=False), agent(2, compresses=False)
    assert send(ground).service == send(node).service == 1
    ground.compress()
    assert received(receive(node, send(ground))) == [b"Status?"]
    assert send(node).service == SERVICE, "it has shown that it can"


def test_a_peer_that_refuses_the_service_gets_standard_bundles() -> None:
    ground = agent(1)
    sent = send(ground)
    cancel = CancelSegment(Kind.CANCEL_BY_RECEIVER, sent.session, CancelReason.UNREACHABLE_SERVICE)
    outputs = ground.receive(encode_segment(cancel), now_ns=1)
    assert any(isinstance(output, SessionFailed) for output in outputs)
    (again,) = [s for s in data_of(outputs) if s.session != sent.session][:1]
    assert again.service == 1
    assert received(receive(agent(2), again)) == [b"Status?"]
    assert send(ground, now_ns=2).service == 1


def test_a_bundle_that_the_peer_cannot_read_goes_as_it_is_the_next_time() -> None:
    """As when it was on its way for longer than its creation time tells."""
    ground, node = agent(1), agent(2)
    sent = send(ground)
    late_ns = (1 << 24) * 1_000_000
    outputs = receive(node, sent, now_ns=late_ns)
    assert not received(outputs)
    cancels = [decode_segment(o.frame) for o in outputs if isinstance(o, Transmit)]
    assert [c.kind for c in cancels] == [Kind.CANCEL_BY_RECEIVER]
    again = data_of(ground.receive(encode_segment(cancels[0]), now_ns=late_ns))
    assert again[0].service == SERVICE, "it may have been damaged on the way"
    assert received(receive(node, replace(again[0], data=sent.data), now_ns=late_ns)) == []
    cancel = CancelSegment(Kind.CANCEL_BY_RECEIVER, again[0].session, CancelReason.SYSTEM)
    again = data_of(ground.receive(encode_segment(cancel), now_ns=late_ns))
    assert again[0].service == 1
    assert received(receive(node, again[0], now_ns=late_ns)) == [b"Status?"]
    assert send(ground, now_ns=late_ns).service == SERVICE


def test_however_often_it_fails_a_compressed_bundle_is_not_given_up() -> None:
    """A bundle as it is would be, after some: it cannot be read with these keys."""
    node = agent(2)
    for number in range(40):
        segment = replace(send(agent(1)), session=SessionId(1, number + 1))
        damaged = replace(segment, data=segment.data[:-1] + bytes([segment.data[-1] ^ 1]))
        outputs = receive(node, damaged, now_ns=number)
        kinds = [decode_segment(o.frame).kind for o in outputs if isinstance(o, Transmit)]
        assert Kind.CANCEL_BY_RECEIVER in kinds
        assert any(isinstance(output, Rejected) for output in outputs)


@pytest.mark.parametrize("secured", [True, False])
def test_no_flipped_bit_is_delivered(secured: bool) -> None:
    segment = send(agent(1, secured=secured))
    for at in range(8 * len(segment.data)):
        damaged = bytearray(segment.data)
        damaged[at // 8] ^= 1 << at % 8
        node = agent(2, secured=secured)
        for delivered in received(receive(node, replace(segment, data=bytes(damaged)))):
            pytest.fail(f"bit {at}: {delivered!r}")


def test_the_two_services_of_one_session_contradict_each_other() -> None:
    segment = send(agent(1))
    node = agent(2)
    first = replace(segment, kind=Kind.RED, data=segment.data[:5])
    rest = replace(segment, offset=5, data=segment.data[5:], service=1)
    assert not received(receive(node, first))
    outputs = receive(node, rest)
    assert outputs == [Rejected("contradicting segment", "service 1")]
