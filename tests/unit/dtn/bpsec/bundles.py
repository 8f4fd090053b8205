"""Bundles, keys and rules of one node that is both ends, for tests."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from dtn.bpsec.block import SecurityBlock, decode_security, encode_security
from dtn.bpsec.keys import AesKey, AesVariant, HmacKey, KeyRing, ShaVariant, WrappingKey
from dtn.bpsec.rules import Rule
from dtn.bpsec.security import Security
from dtn.bpv7.blocks import (
    CanonicalBlock,
    PrimaryBlock,
)
from dtn.bpv7.bundle import Bundle, decode, encode, make_bundle
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
