"""BPSec under any flags and any bytes: what was secured comes back, what was changed never does."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from dtn.agent import AgentConfig, BundleAgent, BundleReceived
from dtn.bpsec.block import SecurityBlock, decode_security, encode_security
from dtn.bpsec.keys import AesKey, AesVariant, HmacKey, KeyRing, ShaVariant, WrappingKey
from dtn.bpsec.rules import PRIMARY, Rule
from dtn.bpsec.security import Security
from dtn.bpv7.blocks import PAYLOAD, CanonicalBlock, PrimaryBlock
from dtn.bpv7.bundle import Bundle, decode, encode, make_bundle
from dtn.errors import BundleError, SecurityFailure
from dtn.ltp.engine import LtpConfig
from dtn.ltp.segment import DataSegment, Kind, SessionId
from dtn.ltp.segment import encode as encode_segment

GROUND, NODE = "ipn:1.1", "ipn:2.1"
EPOCH_MS = 800_000_000_000
OTHER_TYPE = 193


def ring(sha: ShaVariant, aes: AesVariant) -> KeyRing:
    draw = random.Random(int(sha) * 8 + aes).randbytes
    return KeyRing(
        (HmacKey(sha, draw(sha.size_bytes)),),
        (AesKey(aes, draw(aes.size_bytes)),),
        (WrappingKey(draw(32)),),
        (WrappingKey(draw(16)),),
    )


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    targets = st.lists(st.sampled_from([PAYLOAD, OTHER_TYPE]), unique=True).map(tuple)
    sign = draw(targets)
    return Rule(
        GROUND,
        ring(draw(st.sampled_from(ShaVariant)), draw(st.sampled_from(AesVariant))),
        sign=(PRIMARY, *sign) if draw(st.booleans()) else sign,
        encrypt=draw(targets),
        signature_scope=draw(st.integers(0, 7)),
        encryption_scope=draw(st.integers(0, 7)),
        wrap_keys=draw(st.booleans()),
        sign_encrypted=draw(st.booleans()),
    )


@st.composite
def plain_bundles(draw: st.DrawFn) -> Bundle:
    primary = PrimaryBlock(
        NODE,
        GROUND,
        EPOCH_MS + draw(st.integers(0, 1000)),
        draw(st.integers(0, 2**64 - 1)),
        draw(st.integers(60_000, 2**64 - 1)),
        flags=draw(st.sampled_from([0, 4, 0x20, 0x44])),
        crc_type=draw(st.integers(1, 2)),
    )
    bundle = make_bundle(primary, draw(st.binary(max_size=200)), hop_limit=4)
    numbers = st.integers(4, 2**64 - 1)
    extra = tuple(
        CanonicalBlock(
            OTHER_TYPE, number, draw(st.binary(max_size=40)), draw(st.sampled_from([0, 1, 0x20]))
        )
        for number in draw(st.lists(numbers, unique=True, max_size=3))
    )
    return replace(bundle, blocks=(*extra, *bundle.blocks))


def security(rule: Rule) -> Security:
    """One node that is both ends."""
    return Security([rule, replace(rule, peer=NODE)], random_bytes=random.Random(1).randbytes)


def contents(bundle: Bundle) -> list[tuple[int, int, int, bytes]]:
    return [(b.type_code, b.number, b.flags, b.data) for b in bundle.blocks]


@given(rules(), plain_bundles())
@settings(max_examples=150, deadline=None)
def test_secured_bundles_come_back(rule: Rule, bundle: Bundle) -> None:
    it = security(rule)
    sent = it.protect(bundle)
    opened = it.open(decode(encode(sent)))
    assert contents(opened) == contents(bundle)
    assert replace(opened.primary, crc_type=bundle.primary.crc_type) == bundle.primary
    assert len(encode(sent)) <= len(encode(bundle)) + it.most_added_bytes(bundle)


DEFAULT = Rule(GROUND, ring(ShaVariant.HMAC_256, AesVariant.A256GCM))
GENUINE = make_bundle(
    PrimaryBlock(NODE, GROUND, EPOCH_MS, 1, 60_000), b"what is the state?", hop_limit=4
)
SECURED = security(DEFAULT).protect(GENUINE)
WIRE = encode(SECURED)


def node() -> BundleAgent:
    config = AgentConfig(NODE, GROUND, LtpConfig(2, 1), EPOCH_MS)
    it = BundleAgent(config, rng=random.Random(1), security=security(DEFAULT))
    it.carrier(tx_up=True, rx_up=True, tx_rate_bps=10**9, one_way_ns=0, now_ns=0)
    return it


def delivered(block: bytes) -> list[Bundle]:
    """What an agent makes of an LTP block."""
    segment = DataSegment(Kind.RED_END_OF_BLOCK, SessionId(1, 7), 1, 0, block, 5)
    outputs = node().receive(encode_segment(segment), now_ns=0)
    return [output.bundle for output in outputs if isinstance(output, BundleReceived)]


def test_the_bundle_itself_is_delivered() -> None:
    (bundle,) = delivered(WIRE)
    assert bundle.payload == GENUINE.payload


def canonical(bundle: Bundle) -> list[tuple[int, int, int, bytes]]:
    """Without the flags that no standard assigns: those may change on the way (RFC 9172 §4)."""
    return [(b.type_code, b.number, b.flags & 0x17, b.data) for b in bundle.blocks]


@given(st.integers(0, len(WIRE) - 1), st.integers(1, 255))
@settings(max_examples=400, deadline=None)
def test_a_changed_byte_is_never_delivered(at: int, difference: int) -> None:
    changed = bytearray(WIRE)
    changed[at] ^= difference
    if delivered(bytes(changed)):
        assert canonical(decode(bytes(changed))) == canonical(SECURED)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_no_one_without_the_keys_changes_what_is_delivered(data: st.DataObject) -> None:
    """Here the attacker mends the checksums. Only what may change on the way can be changed."""
    blocks = list(SECURED.blocks)
    index = data.draw(st.integers(0, len(blocks) - 1))
    block = blocks[index]
    how = data.draw(st.sampled_from(["data", "flags", "drop", "primary", "crc"]))
    primary = SECURED.primary
    if how == "data":
        changed = bytearray(block.data)
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
        blocks[index] = replace(block, data=bytes(changed))
    elif how == "flags":
        blocks[index] = replace(block, flags=data.draw(st.integers(0, 255)))
    elif how == "drop":
        del blocks[index]
    elif how == "crc":
        blocks[index] = replace(block, crc_type=data.draw(st.integers(0, 2)))
    else:
        field = data.draw(st.sampled_from(["creation_ms", "sequence", "lifetime_ms"]))
        number = data.draw(st.integers(0, 2**64 - 1).filter(lambda n: n != getattr(primary, field)))
        primary = replace(primary, **{field: number})
    try:
        wire = encode(Bundle(primary, tuple(blocks)))
    except ValueError:
        return
    for bundle in delivered(wire):
        assert bundle.payload == GENUINE.payload
        assert bundle.primary == GENUINE.primary


VALUE = st.one_of(st.integers(0, 2**64 - 1), st.binary(max_size=64))
VALUES = st.dictionaries(st.integers(0, 2**64 - 1), VALUE, max_size=5).map(
    lambda values: tuple(values.items())
)


@st.composite
def security_blocks(draw: st.DrawFn) -> SecurityBlock:
    targets = draw(st.lists(st.integers(0, 2**64 - 1), unique=True, min_size=1, max_size=5))
    return SecurityBlock(
        tuple(targets),
        draw(st.integers(0, 2**64 - 1)),
        draw(st.sampled_from([GROUND, "dtn:none", "dtn://node/service", "ipn:0.0"])),
        draw(VALUES),
        tuple(draw(VALUES) for _ in targets),
    )


@given(security_blocks())
@settings(max_examples=150, deadline=None)
def test_security_blocks_come_back(block: SecurityBlock) -> None:
    assert decode_security(encode_security(block)) == block


@given(st.one_of(st.binary(max_size=80), security_blocks().map(encode_security)), st.data())
@settings(max_examples=200, deadline=None)
def test_junk_raises_only_the_codecs_own_error(junk: bytes, data: st.DataObject) -> None:
    changed = bytearray(junk)
    if changed:
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(0, 255))
    with suppress(BundleError):
        block = decode_security(bytes(changed))
        assert encode_security(block)


SMALL = st.integers(0, 8)
NEAR_VALUES = st.lists(
    st.tuples(st.integers(1, 4), st.one_of(SMALL, st.binary(max_size=48))),
    unique_by=lambda pair: pair[0],
    max_size=4,
).map(tuple)


@st.composite
def near_bundles(draw: st.DrawFn) -> Bundle:
    """Bundles with security blocks that are well formed and mean nothing."""
    blocks = []
    for number in range(4, 4 + draw(st.integers(1, 4))):
        targets = tuple(draw(st.lists(SMALL, unique=True, min_size=1, max_size=4)))
        content = SecurityBlock(
            targets,
            draw(st.sampled_from([1, 1, 2, 2, 3])),
            draw(st.sampled_from([GROUND, GROUND, "ipn:1.0", "ipn:9.9"])),
            draw(NEAR_VALUES),
            tuple(draw(NEAR_VALUES) for _ in targets),
        )
        flags = draw(st.sampled_from([0, 1, 1, 0x10]))
        type_code = draw(st.sampled_from([11, 12]))
        blocks.append(CanonicalBlock(type_code, number, encode_security(content), flags))
    return replace(GENUINE, blocks=(*blocks, *GENUINE.blocks))


@given(near_bundles(), rules())
@settings(max_examples=300, deadline=None)
def test_opening_raises_only_its_own_error(bundle: Bundle, rule: Rule) -> None:
    with suppress(SecurityFailure):
        security(rule).open(bundle)


@given(near_bundles())
@settings(max_examples=100, deadline=None)
def test_an_agent_never_raises_and_never_delivers_them(bundle: Bundle) -> None:
    assert delivered(encode(bundle)) == []
