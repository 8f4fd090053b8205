"""Securing and opening by rules: what is sent, what is required, and every way to be refused."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from dtn.bpsec.bcb_aes import encrypt
from dtn.bpsec.block import BCB, BIB, SecurityBlock, decode_security, encode_security
from dtn.bpsec.keys import AesKey, AesVariant, HmacKey, KeyRing, ShaVariant, WrappingKey
from dtn.bpsec.rules import PRIMARY, Rule, node_id
from dtn.bpsec.security import Security
from dtn.bpv7.blocks import (
    BUNDLE_AGE,
    HOP_COUNT,
    PAYLOAD,
    PREVIOUS_NODE,
    CanonicalBlock,
    PrimaryBlock,
    encode_primary,
    previous_node_block,
)
from dtn.bpv7.bundle import Bundle, decode, encode, make_bundle
from dtn.bpv7.crc import CRC_NONE
from dtn.errors import SecurityFailure, SecurityReason

GROUND, NODE = "ipn:1.1", "ipn:2.1"
TEXT = b"what is the state of the battery?"


def ring(generation: int = 1) -> KeyRing:
    draw = random.Random(generation).randbytes
    return KeyRing(
        (HmacKey(ShaVariant.HMAC_256, draw(32)),),
        (AesKey(AesVariant.A256GCM, draw(32)),),
        (WrappingKey(draw(32)),),
        (WrappingKey(draw(32)),),
    )


SIGNED_TOO = Rule(GROUND, ring(), sign_encrypted=True)


def both(newer: KeyRing, older: KeyRing) -> KeyRing:
    return KeyRing(newer.signing + older.signing, newer.encrypting + older.encrypting)


def security(rule: Rule | None = None, seed: int = 1) -> Security:
    """One node that is both ends: what it sends as the ground it takes as the satellite."""
    rule = rule or SIGNED_TOO
    rules = [rule, replace(rule, peer=NODE)]
    return Security(rules, random_bytes=random.Random(seed).randbytes)


def plain(*extra: CanonicalBlock, sequence: int = 1) -> Bundle:
    primary = PrimaryBlock(NODE, GROUND, 800_000_000_000, sequence, 60_000)
    bundle = make_bundle(primary, TEXT, hop_limit=4)
    return replace(bundle, blocks=(*extra, *bundle.blocks))


def secured(rule: Rule | None = None) -> Bundle:
    return security(rule).protect(plain())


def blocks_of(bundle: Bundle, type_code: int) -> list[CanonicalBlock]:
    return [block for block in bundle.blocks if block.type_code == type_code]


def reason(bundle: Bundle, rule: Rule | None = None) -> SecurityReason:
    receiver = security(rule)
    with pytest.raises(SecurityFailure) as caught:
        receiver.open(decode(encode(bundle)))
    assert receiver.refused == {caught.value.reason: 1}
    return caught.value.reason


def changed(
    bundle: Bundle, number: int, change: Callable[[SecurityBlock], SecurityBlock]
) -> Bundle:
    """The bundle with the content of one security block changed."""
    blocks = tuple(
        replace(block, data=encode_security(change(decode_security(block.data))))
        if block.number == number
        else block
        for block in bundle.blocks
    )
    return replace(bundle, blocks=blocks)


def test_what_is_sent_by_default() -> None:
    """AES-GCM authenticates: one confidentiality block protects payload, primary and headers."""
    rule = Rule(GROUND, ring())
    bundle = secured(rule)
    assert [block.type_code for block in bundle.blocks] == [BCB, HOP_COUNT, BUNDLE_AGE, PAYLOAD]
    guard = decode_security(bundle.blocks[0].data)
    assert guard.targets == (1,)
    assert dict(guard.parameters)[4] == 7, "primary block, header of the target, its own header"
    assert bundle.primary == plain().primary, "with its checksum, as no signature is over it"
    assert TEXT not in encode(bundle)
    assert security(rule).open(decode(encode(bundle))).payload == TEXT


@pytest.mark.parametrize(
    "field",
    ["destination", "source", "creation_ms", "sequence", "lifetime_ms", "report_to", "flags"],
)
def test_each_field_of_the_primary_block_is_protected_by_the_encryption(field: str) -> None:
    rule = Rule(GROUND, ring())
    bundle = secured(rule)
    value = getattr(bundle.primary, field)
    other = {"destination": GROUND, "source": NODE, "report_to": GROUND}.get(field)
    changed = replace(bundle.primary, **{field: (value ^ 4) if other is None else other})
    assert reason(replace(bundle, primary=changed), rule) is (
        SecurityReason.UNEXPECTED if field == "source" else SecurityReason.FAILED
    )


@pytest.mark.parametrize(
    ("index", "field", "change", "expected"),
    [
        (0, "flags", 0x10 | 1 | 4, SecurityReason.CONFLICTING),
        (0, "flags", 1, SecurityReason.FAILED),
        (0, "number", 9, SecurityReason.FAILED),
        (3, "flags", 1, SecurityReason.FAILED),
        (3, "data", b"another text of the same length..", SecurityReason.FAILED),
    ],
)
def test_each_header_is_protected_by_the_encryption(
    index: int, field: str, change: object, expected: SecurityReason
) -> None:
    rule = Rule(GROUND, ring())
    bundle = secured(rule)
    blocks = list(bundle.blocks)
    blocks[index] = replace(blocks[index], **{field: change})
    assert reason(replace(bundle, blocks=tuple(blocks)), rule) is expected


def test_age_and_hop_count_are_not_protected_as_they_change_on_the_way() -> None:
    rule = Rule(GROUND, ring())
    bundle = secured(rule)
    blocks = list(bundle.blocks)
    blocks[1] = replace(blocks[1], data=b"\x82\x04\x01")
    blocks[2] = replace(blocks[2], data=b"\x18\x63")
    opened = security(rule).open(decode(encode(replace(bundle, blocks=tuple(blocks)))))
    assert (opened.hops, opened.age_ms) == ((4, 1), 99)


def test_the_primary_block_needs_a_signature_where_the_encryption_leaves_it_out() -> None:
    rule = Rule(GROUND, ring(), encryption_scope=6)
    bundle = secured(rule)
    assert [block.type_code for block in bundle.blocks[:2]] == [BIB, BCB]
    assert decode_security(bundle.blocks[0].data).targets == (0,)
    without = replace(bundle, blocks=bundle.blocks[1:])
    assert reason(without, rule) is SecurityReason.MISSING
    assert reason(secured(replace(rule, sign=(PAYLOAD,))), rule) is SecurityReason.MISSING


def test_a_rule_that_wants_both_does_not_take_the_encryption_alone() -> None:
    assert reason(secured(Rule(GROUND, ring())), SIGNED_TOO) is SecurityReason.MISSING
    assert security(Rule(GROUND, ring())).open(secured(SIGNED_TOO)).payload == TEXT


def test_the_iv_follows_from_the_identity_of_a_bundle() -> None:
    rule = Rule(GROUND, ring())

    def iv(of: Bundle, seed: int = 1) -> object:
        guard = security(rule, seed).protect(of).blocks[0]
        return dict(decode_security(guard.data).parameters)[1]

    bundle = plain()
    assert iv(bundle) == bytes.fromhex("0001") + (800_000_000_000).to_bytes(6, "big") + bytes(
        [0, 0, 0, 1]
    )
    assert iv(bundle, seed=2) == iv(bundle)
    assert iv(plain(sequence=2)) != iv(bundle)
    for changes in ({"creation_ms": 0}, {"sequence": 1 << 32}, {"source": "ipn:65536.1"}):
        odd = replace(bundle, primary=replace(bundle.primary, **changes))
        assert iv(odd) != iv(odd, seed=2), changes


def test_what_is_sent_where_the_encrypted_is_signed_too() -> None:
    bundle = secured()
    assert [block.type_code for block in bundle.blocks] == [
        *(BIB, BCB, BCB),
        *(HOP_COUNT, BUNDLE_AGE, PAYLOAD),
    ]
    signature, over_payload, over_signature = bundle.blocks[:3]
    first, second = decode_security(over_payload.data), decode_security(over_signature.data)
    assert (first.targets, second.targets) == ((1,), (signature.number,))
    assert first.parameters[0] != second.parameters[0], "an IV of its own for each"
    assert TEXT not in encode(bundle)
    assert signature.crc_type == bundle.blocks[-1].crc_type == CRC_NONE
    assert bundle.primary == plain().primary
    assert bundle.blocks[3:5] == plain().blocks[:2], "hop count and age as they were"


def test_opens_to_what_was_secured() -> None:
    opened = security().open(decode(encode(secured())))
    payload = replace(plain().blocks[-1], crc_type=CRC_NONE)
    assert opened == replace(plain(), blocks=(*plain().blocks[:-1], payload))


def test_the_age_may_change_on_the_way() -> None:
    bundle = secured()
    older = tuple(
        replace(block, data=b"\x18\x63") if block.type_code == BUNDLE_AGE else block
        for block in bundle.blocks
    )
    assert security().open(replace(bundle, blocks=older)).age_ms == 99


@pytest.mark.parametrize("sha", ShaVariant)
@pytest.mark.parametrize("aes", AesVariant)
@pytest.mark.parametrize("wrap_keys", [False, True])
def test_all_variants(sha: ShaVariant, aes: AesVariant, wrap_keys: bool) -> None:
    keys = replace(
        ring(),
        signing=(HmacKey(sha, bytes(range(sha.size_bytes))),),
        encrypting=(AesKey(aes, bytes(range(1, 1 + aes.size_bytes))),),
    )
    rule = Rule(GROUND, keys, wrap_keys=wrap_keys)
    bundle = security(rule).protect(plain())
    if wrap_keys:  # then the keys themselves are not needed
        rule = replace(rule, keys=replace(ring(2), **_wrapping(keys)))
    assert security(rule).open(decode(encode(bundle))).payload == TEXT


def _wrapping(keys: KeyRing) -> dict[str, tuple[WrappingKey, ...]]:
    return {
        "signing_wrapping": keys.signing_wrapping,
        "encrypting_wrapping": keys.encrypting_wrapping,
    }


@pytest.mark.parametrize("scope", range(8))
@pytest.mark.parametrize("sign", [(), (PAYLOAD,), (PRIMARY,), (PRIMARY, PAYLOAD, 193)])
@pytest.mark.parametrize("hide", [(), (PAYLOAD,), (PAYLOAD, 193)])
def test_all_scopes_and_targets(scope: int, sign: tuple[int, ...], hide: tuple[int, ...]) -> None:
    rule = Rule(
        GROUND, ring(), sign=sign, encrypt=hide, signature_scope=scope, encryption_scope=7 - scope
    )
    bundle = plain(CanonicalBlock(193, 77, b"attitude"))
    sent = decode(encode(security(rule).protect(bundle)))
    opened = security(rule).open(sent)
    assert [block.data for block in opened.blocks] == [block.data for block in bundle.blocks]
    assert (b"attitude" in encode(sent)) == (193 not in hide)
    assert opened.id == bundle.id


def test_a_signature_is_encrypted_only_with_its_targets() -> None:
    """RFC 9172 §3.9: results over encrypted blocks and over others go into blocks of their own."""
    rule = Rule(GROUND, ring(), sign=(PAYLOAD, 193), sign_encrypted=True)
    bundle = security(rule).protect(plain(CanonicalBlock(193, 77, b"attitude")))
    shown, _ = blocks_of(bundle, BIB)
    assert decode_security(shown.data).targets == (77,)
    hidden = {decode_security(block.data).targets[0] for block in blocks_of(bundle, BCB)}
    assert hidden == {1, blocks_of(bundle, BIB)[1].number}


def test_a_primary_block_signed_by_itself_has_no_checksum() -> None:
    rule = Rule(GROUND, ring(), sign=(PRIMARY,), encrypt=())
    bundle = security(rule).protect(plain())
    assert bundle.primary.crc_type == CRC_NONE
    assert decode_security(bundle.blocks[0].data).targets == (0,)
    assert (
        reason(replace(bundle, primary=replace(bundle.primary, lifetime_ms=1)), rule)
        == "failed security operation"
    )


def test_a_signed_primary_block_opens_with_the_checksum_that_it_had() -> None:
    rule = Rule(GROUND, ring(), sign=(PRIMARY,), encrypt=())
    assert security(rule).open(security(rule).protect(plain())).primary == plain().primary


def test_either_form_of_a_signed_primary_block_verifies() -> None:
    """§3.7 has the primary block as it is, the example in A.3 as a byte string."""
    rule = Rule(GROUND, ring(), sign=(PRIMARY,), encrypt=(), signature_scope=0)
    bundle = security(rule).protect(plain())
    text = b"\x00" + encode_primary(bundle.primary)
    tag = hmac.digest(ring().signing[0].secret, text, hashlib.sha256)
    number = bundle.blocks[0].number
    other = changed(bundle, number, lambda block: replace(block, results=(((1, tag),),)))
    assert other != bundle
    assert security(rule).open(other).payload == TEXT


def test_secured_once_only() -> None:
    assert security(seed=2).protect(secured()) == secured()


def test_a_rule_that_asks_nothing() -> None:
    rule = Rule(GROUND, KeyRing(), sign=(), encrypt=())
    assert security(rule).protect(plain()) == plain()
    assert security(rule).open(plain()) == plain()


def test_no_rule_no_bundle() -> None:
    elsewhere = replace(plain(), primary=replace(plain().primary, destination="ipn:9.1"))
    assert not security().can_protect(elsewhere)
    with pytest.raises(ValueError, match="no security"):
        security().protect(elsewhere)
    stranger = replace(secured(), primary=replace(plain().primary, source="ipn:9.1"))
    assert reason(stranger) is SecurityReason.UNEXPECTED


def test_a_fragment_is_not_secured() -> None:
    primary = replace(plain().primary, flags=1, fragment_offset=0, total_bytes=99)
    fragment = replace(plain(), primary=primary)
    assert not security().can_protect(fragment)
    with pytest.raises(ValueError, match="no security"):
        security().protect(fragment)
    assert reason(replace(secured(), primary=primary)) is SecurityReason.CONFLICTING


# Rotation


@pytest.mark.parametrize(
    ("sender", "receiver", "passes"),
    [
        (ring(1), both(ring(1), ring(2)), True),
        (ring(1), both(ring(2), ring(1)), True),
        (both(ring(2), ring(1)), both(ring(1), ring(2)), True),
        (both(ring(2), ring(1)), ring(1), False),
    ],
)
def test_two_keys_are_valid_during_a_rotation(
    sender: KeyRing, receiver: KeyRing, passes: bool
) -> None:
    bundle = security(Rule(GROUND, sender)).protect(plain())
    rule = Rule(GROUND, receiver)
    if passes:
        assert security(rule).open(bundle).payload == TEXT
    else:
        assert reason(bundle, rule) is SecurityReason.FAILED


# Refusals


def test_what_is_missing() -> None:
    assert reason(plain()) is SecurityReason.MISSING
    only_signed = security(Rule(GROUND, ring(), encrypt=())).protect(plain())
    assert reason(only_signed) is SecurityReason.MISSING
    only_encrypted = security(Rule(GROUND, ring(), sign=())).protect(plain())
    assert reason(only_encrypted) is SecurityReason.MISSING
    loose = Rule(GROUND, ring(), sign=(PAYLOAD,), signature_scope=0, encryption_scope=0)
    assert reason(security(loose).protect(plain())) is SecurityReason.MISSING


def test_a_stripped_signature_is_missed() -> None:
    bundle = secured()
    signature = bundle.blocks[0].number
    kept = tuple(
        block
        for block in bundle.blocks
        if block.number != signature
        and (block.type_code != BCB or decode_security(block.data).targets != (signature,))
    )
    assert reason(replace(bundle, blocks=kept)) is SecurityReason.MISSING


def test_blocks_moved_to_another_bundle() -> None:
    other = replace(plain().primary, sequence=2)
    assert reason(replace(secured(), primary=other)) is SecurityReason.FAILED


def test_other_keys() -> None:
    assert reason(secured(), Rule(GROUND, ring(2))) is SecurityReason.FAILED
    smaller = replace(ring(), encrypting=(AesKey(AesVariant.A128GCM, bytes(16)),))
    assert reason(secured(), Rule(GROUND, smaller)) is SecurityReason.NO_KEY
    wrapped = secured(Rule(GROUND, ring(), wrap_keys=True))
    assert reason(wrapped, Rule(GROUND, both(ring(), ring(2)))) is SecurityReason.NO_KEY


def test_security_by_a_stranger() -> None:
    number = secured().blocks[1].number
    bundle = changed(secured(), number, lambda block: replace(block, source="ipn:9.1"))
    assert reason(bundle) is SecurityReason.UNEXPECTED


def test_security_by_the_node_itself() -> None:
    """Others name the node's administrative endpoint as the security source."""
    number = secured().blocks[1].number
    bundle = changed(secured(), number, lambda block: replace(block, source="ipn:1.0"))
    assert security().open(bundle).payload == TEXT


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"context": 3}, SecurityReason.UNKNOWN),
        ({"parameters": ((9, 1),)}, SecurityReason.UNKNOWN),
        ({"parameters": ((1, 5),)}, SecurityReason.UNKNOWN),
        ({"parameters": ((1, b"1234567"),)}, SecurityReason.UNKNOWN),
        ({"parameters": ((1, bytes(12)), (2, 2))}, SecurityReason.UNKNOWN),
        ({"parameters": ((1, bytes(12)), (4, 1 << 16))}, SecurityReason.UNKNOWN),
        ({"parameters": ((2, 3),)}, SecurityReason.UNKNOWN),
        ({"parameters": ((1, bytes(12)),)}, SecurityReason.FAILED),
        ({"parameters": ((1, bytes(12)), (3, bytes(40)))}, SecurityReason.FAILED),
        ({"results": (((1, bytes(15)),),)}, SecurityReason.FAILED),
        ({"results": (((1, bytes(16)),),)}, SecurityReason.FAILED),
        ({"results": ((),)}, SecurityReason.FAILED),
        ({"results": (((2, bytes(16)),),)}, SecurityReason.UNKNOWN),
        ({"results": (((1, 16),),)}, SecurityReason.UNKNOWN),
        ({"targets": (0,)}, SecurityReason.CONFLICTING),
        ({"targets": (99,)}, SecurityReason.CONFLICTING),
        ({"targets": (6,)}, SecurityReason.CONFLICTING),
        ({"targets": (2,)}, SecurityReason.FAILED),
    ],
)
def test_a_changed_encryption_block(change: dict[str, object], expected: SecurityReason) -> None:
    bundle = secured()
    assert [block.number for block in bundle.blocks[:3]] == [4, 5, 6]
    assert reason(changed(bundle, 5, lambda block: replace(block, **change))) is expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"context": 2}, SecurityReason.UNKNOWN),
        ({"parameters": ((9, 1),)}, SecurityReason.UNKNOWN),
        ({"parameters": ((1, 4),)}, SecurityReason.UNKNOWN),
        ({"parameters": ((1, 6),)}, SecurityReason.NO_KEY),
        ({"parameters": ((1, 5), (3, 3))}, SecurityReason.FAILED),
        ({"parameters": ((1, 5), (3, 1 << 16))}, SecurityReason.UNKNOWN),
        ({"parameters": ((2, bytes(40)),)}, SecurityReason.FAILED),
        ({"results": (((1, b""),),)}, SecurityReason.FAILED),
        ({"results": ((),)}, SecurityReason.UNKNOWN),
        ({"targets": (0,)}, SecurityReason.FAILED),
        ({"targets": (4,)}, SecurityReason.CONFLICTING),
        ({"targets": (99,)}, SecurityReason.CONFLICTING),
    ],
)
def test_a_changed_signature_block(change: dict[str, object], expected: SecurityReason) -> None:
    rule = Rule(GROUND, ring(), encrypt=())
    bundle = changed(secured(rule), 4, lambda block: replace(block, **change))
    assert reason(bundle, rule) is expected


def test_one_target_twice() -> None:
    bundle = secured()
    again = replace(bundle.blocks[1], number=50)
    twice = replace(bundle, blocks=(again, *bundle.blocks))
    assert reason(twice) is SecurityReason.FAILED, "the first is not over this block"
    rule = Rule(GROUND, ring(), encrypt=(), signature_scope=1)
    bundle = secured(rule)
    again = replace(bundle.blocks[0], number=50)
    assert (
        reason(replace(bundle, blocks=(again, *bundle.blocks)), rule) is SecurityReason.CONFLICTING
    )


@pytest.mark.parametrize("flags", [0x00, 0x11])
def test_flags_a_confidentiality_block_must_have(flags: int) -> None:
    bundle = secured()
    keeper = replace(bundle.blocks[1], flags=flags)
    blocks = (bundle.blocks[0], keeper, *bundle.blocks[2:])
    assert reason(replace(bundle, blocks=blocks)) is SecurityReason.CONFLICTING


def test_an_encrypted_signature_over_blocks_in_the_clear() -> None:
    """RFC 9172 §3.8: whoever encrypts a signature encrypts a target of it too."""
    rule = Rule(GROUND, ring(), encrypt=())
    signature, *rest = secured(rule).blocks
    keeper, hidden = encrypt(
        9,
        signature,
        iv=bytes(12),
        primary=encode_primary(plain().primary),
        source=GROUND,
        key=ring().encrypting[0],
    )
    bundle = replace(plain(), blocks=(hidden, keeper, *rest))
    assert reason(bundle, rule) is SecurityReason.CONFLICTING


def test_bytes_that_are_no_security_block() -> None:
    bundle = secured()
    junk = replace(bundle.blocks[1], data=b"\x81\x01\x02")
    blocks = (bundle.blocks[0], junk, *bundle.blocks[2:])
    assert reason(replace(bundle, blocks=blocks)) is SecurityReason.MALFORMED


def test_a_huge_primary_block() -> None:
    primary = replace(plain().primary, report_to="dtn://" + "n" * 5000 + "/")
    assert reason(replace(secured(), primary=primary)) is SecurityReason.CONFLICTING


# Rules and keys


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rule("nowhere", ring()),
        lambda: Rule(GROUND, ring(), sources=("nowhere",)),
        lambda: Rule(GROUND, KeyRing()),
        lambda: Rule(GROUND, KeyRing(signing=ring().signing)),
        lambda: Rule(GROUND, ring(), sign=(BUNDLE_AGE,)),
        lambda: Rule(GROUND, ring(), encrypt=(HOP_COUNT,)),
        lambda: Rule(GROUND, ring(), encrypt=(PREVIOUS_NODE,)),
        lambda: Rule(GROUND, ring(), encrypt=(PRIMARY,)),
        lambda: Rule(GROUND, ring(), signature_scope=8),
        lambda: Rule(GROUND, ring(), encryption_scope=-1),
        lambda: Rule(GROUND, both(ring(1), ring(2)), wrap_keys=True),
        lambda: Rule(GROUND, KeyRing((HmacKey(ShaVariant.HMAC_512, bytes(32)),)), encrypt=()),
        lambda: HmacKey(ShaVariant.HMAC_256, bytes(15)),
        lambda: AesKey(AesVariant.A256GCM, bytes(16)),
        lambda: WrappingKey(bytes(20)),
        lambda: KeyRing(tuple(HmacKey(ShaVariant.HMAC_256, bytes([n] * 32)) for n in range(5))),
        lambda: KeyRing(
            (HmacKey(ShaVariant.HMAC_256, bytes(32)),), (AesKey(AesVariant.A256GCM, bytes(32)),)
        ),
        lambda: Security([Rule(GROUND, ring()), Rule(GROUND, ring())], random_bytes=bytes),
    ],
)
def test_rules_that_cannot_be_kept(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError):
        make()


def test_secrets_are_not_printed() -> None:
    rule = Rule(GROUND, ring())
    for secret in (ring().signing[0].secret, ring().encrypting[0].secret):
        assert repr(secret)[2:8] not in repr(rule)
    assert "secret" not in repr(rule)


@pytest.mark.parametrize(
    ("eid", "node"),
    [
        ("ipn:2.1", "ipn:2.0"),
        ("dtn://sat/mail", "dtn://sat/"),
        ("dtn:none", "dtn:none"),
    ],
)
def test_the_node_of_an_endpoint(eid: str, node: str) -> None:
    assert node_id(eid) == node


def test_a_previous_node_block_stays_as_it_is() -> None:
    bundle = plain(previous_node_block("ipn:9.0", 8))
    assert security().open(security().protect(bundle)).previous_node == "ipn:9.0"


@pytest.mark.parametrize("wrap_keys", [False, True])
@pytest.mark.parametrize("sha", ShaVariant)
def test_the_bound_on_what_is_added(wrap_keys: bool, sha: ShaVariant) -> None:
    keys = replace(ring(), signing=(HmacKey(sha, bytes(range(sha.size_bytes))),))
    rule = Rule(GROUND, keys, sign=(PRIMARY, PAYLOAD, 193), wrap_keys=wrap_keys, signature_scope=6)
    bundle = plain(CanonicalBlock(193, 1 << 40, b"attitude"))
    it = security(rule)
    added = len(encode(it.protect(bundle))) - len(encode(bundle))
    assert added <= it.most_added_bytes(bundle)
