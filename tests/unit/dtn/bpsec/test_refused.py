"""Every way for a bundle to be refused, and for a rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dtn.bpsec import check
from dtn.bpsec.bcb_aes import encrypt
from dtn.bpsec.block import BCB, decode_security
from dtn.bpsec.keys import AesKey, AesVariant, HmacKey, KeyRing, ShaVariant, WrappingKey
from dtn.bpsec.rules import PRIMARY, Rule, node_id
from dtn.bpsec.security import Security
from dtn.bpv7.blocks import (
    BUNDLE_AGE,
    HOP_COUNT,
    PAYLOAD,
    PREVIOUS_NODE,
    CanonicalBlock,
    encode_primary,
    previous_node_block,
)
from dtn.bpv7.bundle import decode, encode
from dtn.errors import SecurityReason
from tests.unit.dtn.bpsec.bundles import (
    GROUND,
    TEXT,
    both,
    changed,
    plain,
    reason,
    ring,
    secured,
    security,
)


def test_what_is_missing() -> None:
    assert reason(plain()) is SecurityReason.MISSING
    only_signed = security(Rule(GROUND, ring(), encrypt=())).protect(plain())
    assert reason(only_signed) is SecurityReason.MISSING
    only_encrypted = security(Rule(GROUND, ring(), sign=())).protect(plain())
    assert reason(only_encrypted) is SecurityReason.MISSING
    loose = Rule(GROUND, ring(), sign=(PAYLOAD,), signature_scope=0, encryption_scope=0)
    assert reason(security(loose).protect(plain())) is SecurityReason.MISSING


def test_a_bundle_may_be_as_large_as_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = secured()
    operations = 2  # of the payload and its signature, both encrypted; they are counted apart
    for name, most in (
        ("MAX_PRIMARY_BYTES", len(encode_primary(bundle.primary))),
        ("MAX_OPERATIONS", operations),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(check, name, most)
            assert security().open(decode(encode(bundle))).payload == TEXT
            patch.setattr(check, name, most - 1)
            assert reason(bundle) is SecurityReason.CONFLICTING


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
