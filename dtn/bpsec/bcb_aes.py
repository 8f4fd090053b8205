"""The security context BCB-AES-GCM: encrypts a block, and decrypts the targets of received ones.

Works on one block at a time and knows no policy. One confidentiality block is made for each target,
so that no IV is ever used twice with a key; several targets under one IV, as in RFC 9173 A.4, are
read and never written. Nothing is decrypted that does not authenticate. Standard: RFC 9173 §4.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dtn.bpsec.block import (
    BCB,
    COVER_ALL,
    SecurityBlock,
    Value,
    covered,
    decode_security,
    encode_security,
    is_scope,
)
from dtn.bpsec.keys import AesKey, AesVariant, KeyRing, WrappingKey, unwrap, wrap
from dtn.bpv7.blocks import (
    DELETE_BUNDLE_IF_UNPROCESSED,
    PAYLOAD_NUMBER,
    REPLICATE_BLOCK,
    CanonicalBlock,
    PrimaryBlock,
)
from dtn.bpv7.crc import CRC_32C, CRC_NONE
from dtn.errors import SecurityFailure, SecurityReason

CONTEXT = 2
"""Security context id (RFC 9173 §5.1)."""
IV_BYTES = 12
"""Length of the IV we send (RFC 9173 §4.3.1)."""
TAG_BYTES = 16
BCB_FLAGS = REPLICATE_BLOCK | DELETE_BUNDLE_IF_UNPROCESSED
"""Of the blocks that we send: a node that cannot decrypt must not take the ciphertext for the
message."""

_IV = 1
_AES_VARIANT = 2
_WRAPPED_KEY = 3
_SCOPE = 4
_TAG = 1

_VARIANTS = frozenset(AesVariant)
_IV_FIELDS = (2, 6, 4)
"""Bytes of node number, creation time and sequence number."""
_IV_LENGTHS = range(8, 17)


_SOURCE = re.compile(r"ipn:(\d{1,5})\.\d+")


def derived_iv(primary: PrimaryBlock) -> bytes | None:
    """The IV that follows from a bundle's identity, which no other bundle of a source has, so that
    it need not be sent where headers are compressed; None for one that has no date or whose numbers
    do not fit, which takes a random one.

    A bundle that is sent again has the same content, and so the same ciphertext. Bytes: node number
    (2), creation time (6), sequence number (4). Source: NIST SP 800-38D §8.2.1, a deterministic
    construction of a fixed field and an invocation field.
    """
    found = _SOURCE.fullmatch(primary.source)
    numbers = (int(found[1]) if found else 1 << 16, primary.creation_ms, primary.sequence)
    if not primary.creation_ms or any(
        number >> 8 * size for number, size in zip(numbers, _IV_FIELDS, strict=True)
    ):
        return None
    fields = zip(numbers, _IV_FIELDS, strict=True)
    return b"".join(number.to_bytes(size, "big") for number, size in fields)


@dataclass(frozen=True, slots=True)
class ConfidentialityParameters:
    """The parameters of a confidentiality block, with the defaults of RFC 9173 §4.3.5."""

    iv: bytes
    variant: AesVariant = AesVariant.A256GCM
    wrapped_key: bytes | None = None
    scope: int = COVER_ALL


def encrypt(
    number: int,
    target: CanonicalBlock,
    *,
    iv: bytes,
    primary: bytes,
    source: str,
    key: AesKey,
    scope: int = COVER_ALL,
    flags: int = REPLICATE_BLOCK,
    crc_type: int = CRC_NONE,
    wrapped_in: WrappingKey | None = None,
) -> tuple[CanonicalBlock, CanonicalBlock]:
    """Encrypt a block.

    Args:
        number: the block number the confidentiality block gets.
        target: the block, which loses its checksum (RFC 9173 §4.8.1).
        iv: never used before with this key.
        primary: the primary block, encoded.
        source: the node that encrypts.
        key: the key; it travels along when `wrapped_in` is given.
        scope: what the tag covers besides.
        flags: of the confidentiality block; payload needs it replicated (RFC 9172 §3.8).
        crc_type: of the confidentiality block itself.
        wrapped_in: the key to wrap the key in.

    Returns:
        The confidentiality block, and the target as it goes on the wire.
    """
    frame = CanonicalBlock(BCB, number, b"", flags, crc_type)
    sealed = AESGCM(key.secret).encrypt(iv, target.data, covered(scope, primary, target, frame))
    parameters: list[tuple[int, Value]] = [(_IV, iv), (_AES_VARIANT, int(key.variant))]
    if wrapped_in is not None:
        parameters.append((_WRAPPED_KEY, wrap(key.secret, wrapped_in)))
    parameters.append((_SCOPE, scope))
    guard = _security_block(target.number, source, parameters, sealed[-TAG_BYTES:])
    return (
        CanonicalBlock(BCB, number, encode_security(guard), flags, crc_type),
        CanonicalBlock(
            target.type_code, target.number, sealed[:-TAG_BYTES], target.flags, CRC_NONE
        ),
    )


def usual_block(number: int, source: str, iv: bytes, tag: bytes) -> CanonicalBlock:
    """The confidentiality block that `encrypt` makes for a payload with AES-256, all scopes and no
    wrapped key."""
    parameters: list[tuple[int, Value]] = [
        (_IV, iv),
        (_AES_VARIANT, int(AesVariant.A256GCM)),
        (_SCOPE, COVER_ALL),
    ]
    guard = _security_block(PAYLOAD_NUMBER, source, parameters, tag)
    return CanonicalBlock(BCB, number, encode_security(guard), BCB_FLAGS, CRC_32C)


def iv_and_tag(block: CanonicalBlock) -> tuple[bytes, bytes] | None:
    """Of a confidentiality block with one target; None where there is no such thing.

    Raises:
        BundleError: it is no security block.
    """
    guard = decode_security(block.data)
    iv, tags = dict(guard.parameters).get(_IV), [dict(values).get(_TAG) for values in guard.results]
    if isinstance(iv, bytes) and len(tags) == 1 and isinstance(tags[0], bytes):
        return iv, tags[0]
    return None


def _security_block(
    number: int, source: str, parameters: Sequence[tuple[int, Value]], tag: bytes
) -> SecurityBlock:
    return SecurityBlock((number,), CONTEXT, source, tuple(parameters), (((_TAG, tag),),))


def confidentiality_parameters(block: SecurityBlock) -> ConfidentialityParameters:
    """Read the parameters.

    Raises:
        SecurityFailure: one is not known or has no valid value, or there is no IV.
    """
    iv, variant, wrapped_key, scope = b"", AesVariant.A256GCM, None, COVER_ALL
    for identifier, value in block.parameters:
        if identifier == _IV and isinstance(value, bytes) and len(value) in _IV_LENGTHS:
            iv = value
        elif identifier == _AES_VARIANT and isinstance(value, int) and value in _VARIANTS:
            variant = AesVariant(value)
        elif identifier == _WRAPPED_KEY and isinstance(value, bytes):
            wrapped_key = value
        elif identifier == _SCOPE and isinstance(value, int) and is_scope(value):
            scope = value
        else:
            raise SecurityFailure(SecurityReason.UNKNOWN, f"confidentiality parameter {identifier}")
    if not iv:
        raise SecurityFailure(SecurityReason.UNKNOWN, "confidentiality block without an IV")
    return ConfidentialityParameters(iv, variant, wrapped_key, scope)


def decrypt(
    block: SecurityBlock,
    parameters: ConfidentialityParameters,
    index: int,
    *,
    frame: CanonicalBlock,
    primary: bytes,
    target: CanonicalBlock,
    keys: KeyRing,
) -> CanonicalBlock:
    """Decrypt one target.

    Args:
        block: the confidentiality block's content.
        parameters: its parameters.
        index: which of its targets.
        frame: the confidentiality block.
        primary: the primary block, encoded.
        target: the encrypted block.
        keys: shared with the node that encrypted.

    Returns:
        The target in the clear.

    Raises:
        SecurityFailure: it does not authenticate under any key.
    """
    values = block.results[index]
    sealed = target.data
    if values:
        tag = values[0][1]
        if len(values) != 1 or values[0][0] != _TAG or not isinstance(tag, bytes):
            raise SecurityFailure(SecurityReason.UNKNOWN, "results of a confidentiality block")
        if len(tag) != TAG_BYTES:
            raise SecurityFailure(SecurityReason.FAILED, f"tag of {len(tag)} bytes")
        sealed += tag
    associated = covered(parameters.scope, primary, target, frame)
    for secret in _secrets(parameters, keys):
        try:
            opened = AESGCM(secret).decrypt(parameters.iv, sealed, associated)
        except InvalidTag:
            continue
        return CanonicalBlock(
            target.type_code, target.number, opened, target.flags, target.crc_type
        )
    raise SecurityFailure(SecurityReason.FAILED, f"tag over block {target.number}")


def _secrets(parameters: ConfidentialityParameters, keys: KeyRing) -> list[bytes]:
    """The secrets that may have encrypted a block."""
    if parameters.wrapped_key is not None:
        size_bytes = parameters.variant.size_bytes
        return [unwrap(parameters.wrapped_key, size_bytes, keys.encrypting_wrapping)]
    secrets = [key.secret for key in keys.encrypting if key.variant == parameters.variant]
    if not secrets:
        raise SecurityFailure(SecurityReason.NO_KEY, parameters.variant.name)
    return secrets
