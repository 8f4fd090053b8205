"""What is taken of a block, and what becomes of its session: faults that bundles of others have
shown (RFC 9171), each refused or taken whole, never raised."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dtn.agent_notices import AgentConfig, BundleReceived, DuplicateReceived
from dtn.bpsec.block import BCB, BIB
from dtn.bpsec.keys import AesKey, AesVariant, HmacKey, KeyRing, ShaVariant, WrappingKey
from dtn.bpsec.rules import PRIMARY, Rule
from dtn.bpsec.security import Security
from dtn.bpv7.blocks import (
    BUNDLE_AGE,
    PAYLOAD,
    CanonicalBlock,
    PrimaryBlock,
    age_block,
    encode_canonical,
    encode_primary,
)
from dtn.bpv7.bundle import Bundle, encode, make_bundle
from dtn.bpv7.crc import CRC_16, CRC_NONE
from dtn.bpv7.fragments import fragment
from dtn.errors import SecurityFailure, SecurityReason
from dtn.incoming import Incoming, Settled, Taken
from dtn.lifetime import DtnClock
from dtn.ltp.notices import BlockReceived, LtpConfig, Rejected
from dtn.ltp.segment import SessionId

EPOCH_MS = 800_000_000_000
US, PEER = "ipn:2.1", "ipn:1.1"
MOST = (1 << 64) - 1
UNGUARDED = "neither CRC nor signature on the primary block"
VECTORS = Path(__file__).parents[2] / "data" / "rfc9173_vectors.hex"
KEYS = KeyRing(
    (HmacKey(ShaVariant.HMAC_256, bytes(32)),), (AesKey(AesVariant.A256GCM, bytes(range(32))),)
)


def incoming(security: Security | None = None, *, us: str = US, peer: str = PEER) -> Incoming:
    config = AgentConfig(us, peer, LtpConfig(2, 1), EPOCH_MS)
    return Incoming(config, DtnClock(EPOCH_MS, False, security is not None), security)


def security(of: str, **rule: object) -> Security:
    return Security([Rule(of, KEYS, **rule)], random_bytes=bytes)


def block(data: bytes, number: int = 1, now_ns: int = 0) -> BlockReceived:
    return BlockReceived(SessionId(1, number), data, now_ns)


def bundle(**changes: object) -> Bundle:
    primary = PrimaryBlock(US, PEER, EPOCH_MS, 1, 60_000)
    return make_bundle(replace(primary, **changes), b"text")


def reasons(taken: Taken) -> list[str]:
    return [output.reason for output in taken.outputs if isinstance(output, Rejected)]


def payloads(taken: Taken) -> list[bytes]:
    return [o.bundle.payload for o in taken.outputs if isinstance(o, BundleReceived)]


# The primary block: a checksum, or a signature of its own (RFC 9171 §4.3.1)

BARE = bundle(crc_type=CRC_NONE)
SIGNED = security(US, sign=(PRIMARY,), encrypt=()).protect(BARE)


@pytest.mark.parametrize(
    ("received", "taken"),
    [
        (bundle(), True),
        (bundle(crc_type=CRC_16), True),
        (BARE, False),
        (SIGNED, True),
        (security(US, sign=(PRIMARY,), encrypt=()).protect(bundle()), True),
        (security(US, sign=(PAYLOAD,), encrypt=()).protect(BARE), False),
        (replace(BARE, blocks=(CanonicalBlock(BIB, 9, b"no signature"), *BARE.blocks)), False),
        (replace(BARE, primary=BARE.primary, blocks=SIGNED.blocks[:-1] + BARE.blocks[-1:]), True),
    ],
    ids=["CRC-32C", "CRC-16", "bare", "signed", "both", "payload signed", "junk", "unread"],
)
def test_without_security_a_primary_block_needs_a_checksum_or_a_signature(
    received: Bundle, taken: bool
) -> None:
    found = incoming().take(block(encode(received)))
    assert payloads(found) == ([b"text"] if taken else [])
    assert reasons(found) == ([] if taken else [UNGUARDED])
    assert found.session is (Settled.WAITS if taken else Settled.ACCEPTED), "not to be sent again"


@pytest.mark.parametrize(
    ("rule", "sent", "taken"),
    [
        ({}, bundle(), True),
        ({}, BARE, False),
        ({"sign": (PRIMARY,), "encrypt": ()}, BARE, True),
        ({"sign": (PRIMARY,)}, BARE, False),
        ({"sign": (PRIMARY,), "sign_encrypted": True}, BARE, True),
        ({"sign": (PAYLOAD,)}, BARE, False),
        ({"sign": (PAYLOAD,), "encrypt": ()}, BARE, False),
        ({"sign": ()}, BARE, False),
        ({"sign": (), "encrypt": ()}, BARE, False),
        ({"sign": (), "encrypt": ()}, bundle(), True),
    ],
    ids=str,
)
def test_with_security_too_and_a_scope_that_covers_it_is_no_signature_of_it(
    rule: dict[str, object], sent: Bundle, taken: bool
) -> None:
    """By default the payload's encryption covers the primary block."""
    found = incoming(security(PEER, **rule)).take(block(encode(security(US, **rule).protect(sent))))
    assert payloads(found) == ([b"text"] if taken else [])
    assert reasons(found) == ([] if taken else [UNGUARDED])


@pytest.mark.parametrize(
    ("name", "taken"), [("A1", False), ("A2", False), ("A3", True), ("A4", False)]
)
def test_the_examples_of_rfc_9173_by_rfc_9171(name: str, taken: bool) -> None:
    """Three of the four have a primary block that nothing guards."""
    data = dict(line.split() for line in VECTORS.read_text().splitlines())[name]
    secret = bytes.fromhex("1a2b" * 8)
    keys = {
        "A1": KeyRing(signing=(HmacKey(ShaVariant.HMAC_512, secret),)),
        "A2": KeyRing(encrypting_wrapping=(WrappingKey(b"abcdefghijklmnop"),)),
        "A3": KeyRing(
            (HmacKey(ShaVariant.HMAC_256, secret),),
            (AesKey(AesVariant.A128GCM, b"qwertyuiopasdfgh"),),
        ),
        "A4": KeyRing(
            (HmacKey(ShaVariant.HMAC_384, secret),),
            (AesKey(AesVariant.A256GCM, b"qwertyuiopasdfgh" * 2),),
        ),
    }[name]
    rule = Rule("ipn:2.1", keys, sign=(), encrypt=(), sources=("ipn:2.1", "ipn:3.0"))
    opening = incoming(Security([rule], random_bytes=bytes), us="ipn:1.2", peer="ipn:2.1")
    found = opening.take(block(bytes.fromhex(data)))
    assert reasons(found) == ([] if taken else [UNGUARDED])
    assert len(payloads(found)) == taken


# Numbers at their bounds


@pytest.mark.parametrize("sequence", [0, (1 << 63) - 1, 1 << 63, MOST])
def test_any_sequence_number_is_an_identity_of_its_own(sequence: int) -> None:
    it = incoming()
    one, other = bundle(sequence=sequence), bundle(sequence=sequence ^ 1)
    assert payloads(it.take(block(encode(one)))) == [b"text"]
    assert payloads(it.take(block(encode(other), 2))) == [b"text"]
    assert it.take(block(encode(one), 3)).outputs == [DuplicateReceived(one.id, SessionId(1, 3))]


@pytest.mark.parametrize(
    ("changes", "age_ms", "expected"),
    [
        ({"lifetime_ms": MOST}, 0, []),
        ({"lifetime_ms": 1 << 63}, (1 << 63) - 1, []),
        ({"lifetime_ms": MOST}, MOST, ["expired"]),
        ({}, 1 << 63, ["expired"]),
        ({"creation_ms": MOST}, 0, []),
        ({"creation_ms": 1 << 63}, 59_999, []),
        ({"creation_ms": 1 << 63}, 60_000, ["expired"]),
        ({"creation_ms": 0}, 0, []),
        ({"creation_ms": 0}, 60_000, ["expired"]),
        ({"creation_ms": 0}, None, ["no age"]),
        ({"creation_ms": 0, "lifetime_ms": MOST}, None, ["no age"]),
    ],
    ids=str,
)
def test_lifetimes_ages_and_creation_times(
    changes: dict[str, object], age_ms: int | None, expected: list[str]
) -> None:
    """A creation time of 0 is "no clock": then the age must be told (RFC 9171 §4.2.7)."""
    made = bundle(**changes)
    ages = () if age_ms is None else (age_block(age_ms, 3),)
    for guard in (None, security(PEER, sign=(), encrypt=())):
        found = incoming(guard).take(
            block(encode(replace(made, blocks=(*ages, made.blocks[-1]))), now_ns=10**9)
        )
        assert reasons(found) == expected
        assert payloads(found) == ([] if expected else [b"text"])


LONG = bytes.fromhex("1b0000000000000001")
"""1 in nine bytes."""
BARE_BYTES = encode_primary(BARE.primary)
PAYLOAD_BYTES = encode_canonical(bundle().blocks[-1])
AGE_BYTES = encode_canonical(age_block(5, 2))


def wire(*blocks: bytes, primary: bytes = encode_primary(bundle().primary)) -> bytes:
    return b"".join((b"\x9f", primary, *blocks, b"\xff"))


@pytest.mark.parametrize(
    "data",
    [
        wire(PAYLOAD_BYTES, primary=BARE_BYTES.replace(b"\x82\x02\x01", b"\x82\x18\x02\x01")),
        wire(b"\x85" + LONG + b"\x01\x00\x00\x41x"),
        wire(b"\x85\x01" + LONG + b"\x00\x00\x41x"),
        wire(b"\x85\x01\x01\x18\x00\x00\x41x"),
        wire(b"\x85\x01\x01\x00\x19\x00\x00\x41x"),
        wire(b"\x85\x01\x01\x00\x00\x58\x01x"),
        wire(encode_canonical(CanonicalBlock(BUNDLE_AGE, 2, b"\x18\x05")), PAYLOAD_BYTES),
        wire(encode_canonical(age_block(5, 0)), PAYLOAD_BYTES),
        wire(encode_canonical(age_block(5, 1)), PAYLOAD_BYTES),
        wire(AGE_BYTES, encode_canonical(CanonicalBlock(200, 2, b"")), PAYLOAD_BYTES),
        wire(encode_canonical(replace(bundle().blocks[-1], number=2))),
        wire(encode_canonical(CanonicalBlock(200, 1 << 63, b""))),
        wire(AGE_BYTES, encode_canonical(age_block(6, 3)), PAYLOAD_BYTES),
        wire(PAYLOAD_BYTES) + b"\x00",
        b"",
    ],
    ids=[
        "endpoint", "type", "number", "flags", "CRC type", "length", "age", "number 0",
        "age numbered 1", "number twice", "payload numbered 2", "no payload", "two ages",
        "a byte more", "nothing",
    ],
)  # fmt: skip
def test_what_is_not_well_formed_is_asked_for_again(data: bytes) -> None:
    found = incoming().take(block(data))
    assert reasons(found) == ["bad bundle"]
    assert found.session is Settled.CANCELLED


@pytest.mark.parametrize("number", [2, 23, 24, (1 << 63) - 1, 1 << 63, MOST])
def test_any_other_block_number_will_do(number: int) -> None:
    made = bundle()
    extra = CanonicalBlock(200, number, b"")
    kept = tuple(b for b in made.blocks if b.number != number)
    found = incoming().take(block(encode(replace(made, blocks=(extra, *kept)))))
    assert payloads(found) == [b"text"]


def test_ciphertext_without_keys() -> None:
    secured = security(US).protect(bundle())
    assert secured.block(BCB) is not None
    assert reasons(incoming().take(block(encode(secured)))) == ["security"]


# Ages


def by_one_clock() -> Incoming:
    """With a clock that the peer has too, and dates that nobody can change."""
    config = AgentConfig(US, PEER, LtpConfig(2, 1), EPOCH_MS)
    return Incoming(config, DtnClock(EPOCH_MS, True, True), None)


@pytest.mark.parametrize(("ahead_ms", "age_ms"), [(5_000, 0), (1, 0), (0, 0), (-1, 1), (-70, 70)])
def test_nothing_is_younger_than_new_whole_or_in_fragments(ahead_ms: int, age_ms: int) -> None:
    sent = bundle(creation_ms=EPOCH_MS + ahead_ms)
    (whole,) = by_one_clock().take(block(encode(sent))).outputs
    assert isinstance(whole, BundleReceived)
    assert whole.age_ms == age_ms
    opening = by_one_clock()
    outputs = [
        output
        for number, piece in enumerate(fragment(sent, payload_bytes=3), 1)
        for output in opening.take(block(encode(piece), number)).outputs
    ]
    (joined,) = outputs
    assert isinstance(joined, BundleReceived)
    assert (joined.age_ms, joined.bundle.payload) == (age_ms, sent.payload)


def test_a_failure_of_security_says_more_to_a_log_than_to_a_count() -> None:
    failure = SecurityFailure(SecurityReason.NO_KEY, "key 7")
    assert (failure.reason, failure.detail) == (SecurityReason.NO_KEY, "key 7")
    assert str(failure) == f"{SecurityReason.NO_KEY}: key 7"
