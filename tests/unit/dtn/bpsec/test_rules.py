"""Securing and opening by rules: what is sent, and what it opens to."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest

from dtn.bpsec.block import BCB, BIB, decode_security
from dtn.bpsec.keys import AesKey, AesVariant, HmacKey, KeyRing, ShaVariant, WrappingKey
from dtn.bpsec.rules import PRIMARY, Rule
from dtn.bpv7.blocks import (
    BUNDLE_AGE,
    HOP_COUNT,
    PAYLOAD,
    CanonicalBlock,
    encode_primary,
)
from dtn.bpv7.bundle import Bundle, decode, encode
from dtn.bpv7.crc import CRC_NONE
from dtn.errors import SecurityReason
from tests.unit.dtn.bpsec.bundles import (
    GROUND,
    NODE,
    SIGNED_TOO,
    TEXT,
    blocks_of,
    both,
    changed,
    plain,
    reason,
    ring,
    secured,
    security,
)


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
