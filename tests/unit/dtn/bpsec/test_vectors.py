"""The four examples of RFC 9173 Appendix A, and the key wrap of RFC 3394.

A.1 to A.3 are made here byte for byte. A.4 uses one IV for two targets, against §4.3.1: it is read,
and never made.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dtn.bpsec.bcb_aes import encrypt
from dtn.bpsec.bib_hmac import integrity_block
from dtn.bpsec.keys import (
    AesKey,
    AesVariant,
    HmacKey,
    KeyRing,
    ShaVariant,
    WrappingKey,
    unwrap,
    wrap,
)
from dtn.bpsec.rules import Rule
from dtn.bpsec.security import Security
from dtn.bpv7.blocks import BUNDLE_AGE, PAYLOAD, CanonicalBlock, PrimaryBlock, encode_primary
from dtn.bpv7.bundle import Bundle, decode, encode
from dtn.bpv7.crc import CRC_32C, CRC_NONE
from dtn.errors import SecurityFailure, SecurityReason

VECTORS = Path(__file__).parents[3] / "data" / "rfc9173_vectors.hex"
TEXT = b"Ready to generate a 32-byte payload"
PRIMARY = PrimaryBlock("ipn:1.2", "ipn:2.1", 0, 40, 1_000_000, "ipn:2.1", crc_type=CRC_NONE)
PAYLOAD_BLOCK = CanonicalBlock(PAYLOAD, 1, TEXT, crc_type=CRC_NONE)
AGE_BLOCK = CanonicalBlock(BUNDLE_AGE, 2, b"\x19\x01\x2c", crc_type=CRC_NONE)
IV = b"Twelve121212"
HMAC_SECRET = bytes.fromhex("1a2b" * 8)
AES_SECRET = b"qwertyuiopasdfgh"
WRAPPING = WrappingKey(b"abcdefghijklmnop")

KEYS = {
    "A1": KeyRing(signing=(HmacKey(ShaVariant.HMAC_512, HMAC_SECRET),)),
    "A2": KeyRing(encrypting_wrapping=(WRAPPING,)),
    "A3": KeyRing(
        signing=(HmacKey(ShaVariant.HMAC_256, HMAC_SECRET),),
        encrypting=(AesKey(AesVariant.A128GCM, AES_SECRET),),
    ),
    "A4": KeyRing(
        signing=(HmacKey(ShaVariant.HMAC_384, HMAC_SECRET),),
        encrypting=(AesKey(AesVariant.A256GCM, AES_SECRET * 2),),
    ),
}


def vector(name: str) -> bytes:
    lines = VECTORS.read_text().splitlines()
    return bytes.fromhex(dict(line.split() for line in lines)[name])


def security(name: str) -> Security:
    rule = Rule("ipn:2.1", KEYS[name], sign=(), encrypt=(), sources=("ipn:2.1", "ipn:3.0"))
    return Security([rule], random_bytes=bytes)


@pytest.mark.parametrize("name", ["A1", "A2", "A3", "A4"])
def test_examples_verify_and_decrypt(name: str) -> None:
    """Only A.3 signs the primary block, which then may do without a checksum (RFC 9171 §4.3.1)."""
    opened = security(name).open(decode(vector(name)))
    age = (AGE_BLOCK,) if name == "A3" else ()
    primary = replace(PRIMARY, crc_type=CRC_32C) if name == "A3" else PRIMARY
    assert opened == Bundle(primary, (*age, PAYLOAD_BLOCK))


@pytest.mark.parametrize("name", ["A1", "A2", "A3", "A4"])
def test_a_changed_byte_of_a_payload_is_found(name: str) -> None:
    changed = bytearray(vector(name))
    changed[-2] ^= 1
    with pytest.raises(SecurityFailure) as caught:
        security(name).open(decode(bytes(changed)))
    assert caught.value.reason is SecurityReason.FAILED


def test_example_1_is_made() -> None:
    block = integrity_block(
        2,
        [PAYLOAD_BLOCK],
        primary=encode_primary(PRIMARY),
        source="ipn:2.1",
        key=KEYS["A1"].signing[0],
        scope=0,
    )
    assert encode(Bundle(PRIMARY, (block, PAYLOAD_BLOCK))) == vector("A1")


def test_example_2_is_made() -> None:
    keeper, payload = encrypt(
        2,
        PAYLOAD_BLOCK,
        iv=IV,
        primary=encode_primary(PRIMARY),
        source="ipn:2.1",
        key=AesKey(AesVariant.A128GCM, AES_SECRET),
        scope=0,
        wrapped_in=WRAPPING,
    )
    assert encode(Bundle(PRIMARY, (keeper, payload))) == vector("A2")


def test_example_3_is_made() -> None:
    primary = encode_primary(PRIMARY)
    signatures = integrity_block(
        3,
        [None, AGE_BLOCK],
        primary=primary,
        source="ipn:3.0",
        key=KEYS["A3"].signing[0],
        scope=0,
    )
    keeper, payload = encrypt(
        4,
        PAYLOAD_BLOCK,
        iv=IV,
        primary=primary,
        source="ipn:2.1",
        key=KEYS["A3"].encrypting[0],
        scope=0,
    )
    made = encode(Bundle(PRIMARY, (signatures, keeper, AGE_BLOCK, payload)))
    assert made == vector("A3")


def test_the_signature_of_example_4_is_made() -> None:
    """Figure 24: full scope."""
    block = integrity_block(
        3,
        [PAYLOAD_BLOCK],
        primary=encode_primary(PRIMARY),
        source="ipn:2.1",
        key=KEYS["A4"].signing[0],
    )
    assert block.data.endswith(
        bytes.fromhex(
            "f75fe4c37f76f046165855bd5ff72fbfd4e3a64b4695c40e2b787da005ae819f0a2e30a2e8b325527de8aefb"
            "52e73d71"
        )
    )


def test_key_wrap() -> None:
    """RFC 3394 §4.1 and §4.6."""
    key = WrappingKey(bytes(range(16)))
    secret = bytes.fromhex("00112233445566778899aabbccddeeff")
    wrapped = bytes.fromhex("1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5")
    assert wrap(secret, key) == wrapped
    assert unwrap(wrapped, 16, (WrappingKey(bytes(16)), key)) == secret
    long_key = WrappingKey(bytes(range(32)))
    long_secret = secret + bytes(range(16))
    long_wrapped = bytes.fromhex(
        "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"
    )
    assert wrap(long_secret, long_key) == long_wrapped
    assert unwrap(long_wrapped, 32, (long_key,)) == long_secret


@pytest.mark.parametrize("size_bytes", [0, 7, 16, 24, 40])
def test_what_does_not_unwrap(size_bytes: int) -> None:
    with pytest.raises(SecurityFailure):
        unwrap(bytes(size_bytes), 16, (WRAPPING,))
    with pytest.raises(SecurityFailure) as caught:
        unwrap(bytes(size_bytes), 16, ())
    assert caught.value.reason is SecurityReason.NO_KEY
