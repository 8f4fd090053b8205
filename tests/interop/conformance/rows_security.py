"""Rows about security blocks, for a receiver that has the keys: RFC 9172, with RFC 9173's contexts.

Signatures and ciphertexts are computed here from the text of the standards.
"""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.interop.conformance.parts import (
    AGE,
    CREATED_MS,
    SENDER,
    TEXT,
    array,
    block,
    bundle,
    item,
    primary,
    string,
)
from tests.interop.conformance.rows import ACCEPT, EITHER, REJECT, Add

HMAC_KEY = bytes.fromhex("1a2b1a2b1a2b1a2b1a2b1a2b1a2b1a2b")
"""Of RFC 9173 A.1."""
AES_KEY = bytes.fromhex("71776572747975696f70617364666768")
"""Of RFC 9173 A.2."""
IV = bytes.fromhex("5477656c7665313231323132")
BIB, BCB = 11, 12
HMAC_256, A128GCM = 5, 1
REPLICATE, DISCARD = 0x01, 0x10


def asb(
    targets: list[int],
    context: int,
    parameters: bytes,
    results: list[bytes],
    *,
    flags: int = 1,
    source: object = SENDER,
    targets_item: bytes | None = None,
) -> bytes:
    """An abstract security block (RFC 9172 §3.6)."""
    named = item(targets) if targets_item is None else targets_item
    parts = [named, item(context), item(flags), item(source)]
    return b"".join([*parts, parameters, array(*results)])


def signature(over: bytes, *, key: bytes = HMAC_KEY) -> bytes:
    """The result of a BIB-HMAC-SHA2, scope flags 0: over them and the target's data."""
    mac = hmac.digest(key, item(0) + over, "sha256")
    return array(array(1, string(mac)))


INTEGRITY = array([1, HMAC_256], [3, 0])
CONFIDENTIALITY = array(array(1, string(IV)), [2, A128GCM], [4, 0])


def bib(target: int, over: bytes, *, number: int = 3, flags: int = 0, **more: object) -> bytes:
    """A BIB over one target, correct but for what is given."""
    results = more.pop("results", [signature(over)])
    data = asb([target], 1, INTEGRITY, results, **more)
    return block(BIB, number, data, flags=flags)


def bcb(
    target: int, text: bytes, *, number: int = 3, flags: int = REPLICATE, key: bytes = AES_KEY,
    targets: list[int] | None = None,
) -> tuple[bytes, bytes]:  # fmt: skip
    """A BCB over one target with scope flags 0, and the ciphertext that takes its place."""
    sealed = AESGCM(key).encrypt(IV, text, item(0))
    data = asb(targets or [target], 2, CONFIDENTIALITY, [array(array(1, string(sealed[-16:])))])
    return block(BCB, number, data, flags=flags), sealed[:-16]


def security(add: Add) -> None:
    """The receiver has HMAC_KEY and AES_KEY for the sender, and asks for no security itself."""
    payload, hops = block(1, 1, TEXT), array(9, 0)

    def put(name: str, verdict: str, rfc: str, why: str, *blocks: bytes, **more: object) -> None:
        head = primary(**more)
        add(name, verdict, rfc, why, bundle(head, AGE, *blocks), keys=True)

    over = string(TEXT)
    put("bib", ACCEPT, "9172 §3.7", "a signed payload", bib(1, over), payload)
    put("bib-wrong", REJECT, "9172 §5.1.2", "a payload whose signature is another's",
        bib(1, string(b"other")), payload)  # fmt: skip
    put("bib-of-hops", ACCEPT, "9172 §3.7", "a signed extension block",
        bib(4, string(hops)), block(10, 4, hops), payload)  # fmt: skip
    put("bib-no-target", REJECT, "9172 §3.6", "a target must exist in the bundle",
        bib(9, over), payload)  # fmt: skip
    put("bib-targets-none", REJECT, "9172 §3.6", "there is at least one target",
        bib(1, over, targets_item=array(), results=[]), payload)  # fmt: skip
    put("bib-target-twice", REJECT, "9172 §3.6", "each target stands there once",
        bib(1, over, targets_item=array(1, 1), results=[signature(over)] * 2), payload)  # fmt: skip
    put("bib-results-short", REJECT, "9172 §3.6", "one entry of results for each target",
        bib(1, over, results=[]), payload)  # fmt: skip
    put("bib-over-bib", REJECT, "9172 §3.7", "a BIB has no BIB for a target",
        bib(1, over), bib(3, over, number=4), payload)  # fmt: skip
    put("bib-twice", REJECT, "9172 §3.2", "an operation is in a bundle once",
        bib(1, over), bib(1, over, number=4), payload)  # fmt: skip
    put("bib-indefinite-targets", REJECT, "9172 §4", "security blocks are in deterministic form",
        bib(1, over, targets_item=b"\x9f\x01\xff"), payload)  # fmt: skip
    put("bib-parameters-denied", REJECT, "9172 §3.6",
        "parameters are there, and the flags say that there are none",
        block(BIB, 3, asb([1], 1, INTEGRITY, [signature(over)], flags=0)), payload)  # fmt: skip
    put("bib-reserved-flags", ACCEPT, "9172 §3.6", "reserved bits of the context flags are ignored",
        block(BIB, 3, asb([1], 1, INTEGRITY, [signature(over)], flags=0x81)), payload)  # fmt: skip
    put("bib-source-ipn3", EITHER, "9758 §6.3", "the source as ipn:0.1.1: matched by value",
        bib(1, over, source=[2, [0, 1, 1]]), payload)  # fmt: skip
    put("bib-empty", REJECT, "9172 §3.6", "a BIB without content", block(BIB, 3, b""), payload)
    keeper, sealed = bcb(1, TEXT)
    put("bcb", ACCEPT, "9172 §3.8", "an encrypted payload", keeper, block(1, 1, sealed))
    put("bcb-wrong", REJECT, "9172 §5.1.1", "a ciphertext that cannot be authenticated",
        keeper, block(1, 1, sealed[:-1] + b"\0"))  # fmt: skip
    keeper, sealed = bcb(1, TEXT, key=bytes(16))
    put("bcb-other-key", REJECT, "9172 §5.1.1", "a ciphertext under another key",
        keeper, block(1, 1, sealed))  # fmt: skip
    keeper, sealed = bcb(1, TEXT, flags=0)
    put("bcb-not-replicated", REJECT, "9172 §3.8", "over the payload it is in every fragment",
        keeper, block(1, 1, sealed))  # fmt: skip
    keeper, sealed = bcb(1, TEXT, flags=REPLICATE | DISCARD)
    put("bcb-discarded", REJECT, "9172 §3.8", "a BCB must not be removed when it is not understood",
        keeper, block(1, 1, sealed))  # fmt: skip
    keeper, _ = bcb(0, TEXT)
    put("bcb-primary", REJECT, "9172 §3.8", "the primary block is not encrypted", keeper, payload)
    keeper, _ = bcb(3, TEXT)
    put("bcb-itself", REJECT, "9172 §3.8", "a BCB has no BCB for a target", keeper, payload)
    hidden = asb([1], 1, INTEGRITY, [signature(over)])
    keeper, sealed = bcb(3, hidden, number=4)
    put("bcb-bib-alone", REJECT, "9172 §3.8", "a BIB is encrypted only with a target of its own",
        block(BIB, 3, sealed), keeper, payload)  # fmt: skip
    keeper, sealed = bcb(1, TEXT)
    offset = {"flags": 1, "more": (0, len(TEXT)), "created": [CREATED_MS, 97_001]}
    put("bcb-fragment", REJECT, "9172 §5.2", "a fragment has no security blocks of its own",
        keeper, block(1, 1, sealed), **offset)  # fmt: skip
    head = primary(0, source=[2, [0, 1, 1]])
    mac = hmac.digest(HMAC_KEY, item(0) + head, "sha256")
    signed = block(BIB, 3, asb([0], 1, INTEGRITY, [array(array(1, string(mac)))]))
    add("bib-primary-ipn3", ACCEPT, "9171 §4.3.1",
        "a signature for a CRC, over a primary block whose source is ipn:0.1.1 in three numbers",
        bundle(head, AGE, signed, payload), keys=True)  # fmt: skip
    head = primary(0)
    mac = hmac.digest(HMAC_KEY, item(0) + head, "sha256")
    signed = block(BIB, 3, asb([0], 1, INTEGRITY, [array(array(1, string(mac)))]))
    add("bib-primary", ACCEPT, "9171 §4.3.1", "a signature over the primary block, for a CRC",
        bundle(head, AGE, signed, payload), keys=True)  # fmt: skip
