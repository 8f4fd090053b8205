"""The security context BIB-HMAC-SHA2: makes integrity blocks, and verifies their targets.

Works on one block at a time and knows no policy. Tags are compared by the crypto library, in
constant time, and never here. Standard: RFC 9173 §3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

from dtn.bpsec.block import (
    BIB,
    COVER_ALL,
    PRIMARY_NUMBER,
    SecurityBlock,
    Value,
    Values,
    covered,
    encode_security,
    is_scope,
)
from dtn.bpsec.keys import HmacKey, KeyRing, ShaVariant, WrappingKey, unwrap, wrap
from dtn.bpv7 import cbor
from dtn.bpv7.blocks import CanonicalBlock
from dtn.bpv7.crc import CRC_NONE
from dtn.errors import SecurityFailure, SecurityReason

CONTEXT = 1
"""Security context id (RFC 9173 §5.1)."""

_SHA_VARIANT = 1
_WRAPPED_KEY = 2
_SCOPE = 3
_EXPECTED_HMAC = 1

_HASHES: dict[ShaVariant, hashes.HashAlgorithm] = {
    ShaVariant.HMAC_256: hashes.SHA256(),
    ShaVariant.HMAC_384: hashes.SHA384(),
    ShaVariant.HMAC_512: hashes.SHA512(),
}


@dataclass(frozen=True, slots=True)
class IntegrityParameters:
    """The parameters of an integrity block, with the defaults of RFC 9173 §3.3.4."""

    variant: ShaVariant = ShaVariant.HMAC_384
    wrapped_key: bytes | None = None
    scope: int = COVER_ALL


def integrity_block(
    number: int,
    targets: Sequence[CanonicalBlock | None],
    *,
    primary: bytes,
    source: str,
    key: HmacKey,
    scope: int = COVER_ALL,
    flags: int = 0,
    crc_type: int = CRC_NONE,
    wrapped_in: WrappingKey | None = None,
) -> CanonicalBlock:
    """Sign blocks and put the signatures into one integrity block.

    Args:
        number: the block number it gets.
        targets: the blocks to sign, without checksums (RFC 9173 §3.8.1); None for the primary one.
        primary: the primary block, encoded.
        source: the node that signs.
        key: the key; it travels along when `wrapped_in` is given.
        scope: what the signatures cover besides.
        flags: block processing control flags.
        crc_type: of the integrity block itself.
        wrapped_in: the key to wrap the key in.
    """
    frame = CanonicalBlock(BIB, number, b"", flags, crc_type)
    results: list[Values] = []
    for target in targets:
        mac = HMAC(key.secret, _HASHES[key.variant])
        mac.update(plaintext(scope, primary, target, frame))
        results.append(((_EXPECTED_HMAC, mac.finalize()),))
    parameters: list[tuple[int, Value]] = [(_SHA_VARIANT, int(key.variant))]
    if wrapped_in is not None:
        parameters.append((_WRAPPED_KEY, wrap(key.secret, wrapped_in)))
    parameters.append((_SCOPE, scope))
    numbers = tuple(PRIMARY_NUMBER if target is None else target.number for target in targets)
    block = SecurityBlock(numbers, CONTEXT, source, tuple(parameters), tuple(results))
    return CanonicalBlock(BIB, number, encode_security(block), flags, crc_type)


def integrity_parameters(block: SecurityBlock) -> IntegrityParameters:
    """Read the parameters.

    Raises:
        SecurityFailure: one is not known or has no valid value.
    """
    variant, wrapped_key, scope = ShaVariant.HMAC_384, None, COVER_ALL
    for identifier, value in block.parameters:
        if identifier == _SHA_VARIANT and isinstance(value, int) and value in _HASHES:
            variant = ShaVariant(value)
        elif identifier == _WRAPPED_KEY and isinstance(value, bytes):
            wrapped_key = value
        elif identifier == _SCOPE and isinstance(value, int) and is_scope(value):
            scope = value
        else:
            raise SecurityFailure(SecurityReason.UNKNOWN, f"integrity parameter {identifier}")
    return IntegrityParameters(variant, wrapped_key, scope)


def verify(
    block: SecurityBlock,
    parameters: IntegrityParameters,
    index: int,
    *,
    frame: CanonicalBlock,
    primary: bytes,
    target: CanonicalBlock | None,
    keys: KeyRing,
) -> None:
    """Check the signature over one target.

    Args:
        block: the integrity block's content.
        parameters: its parameters.
        index: which of its targets.
        frame: the integrity block.
        primary: the primary block, encoded.
        target: the block it is over, None for the primary one.
        keys: shared with the node that signed.

    Raises:
        SecurityFailure: it does not match under any key.
    """
    values = block.results[index]
    if len(values) != 1 or values[0][0] != _EXPECTED_HMAC or not isinstance(values[0][1], bytes):
        raise SecurityFailure(SecurityReason.UNKNOWN, "results of an integrity block")
    expected = values[0][1]
    forms = [plaintext(parameters.scope, primary, target, frame)]
    if target is None:
        # §3.7 has the primary block as it is, the example in A.3 as a byte string.
        forms.append(covered(parameters.scope, primary, None, frame) + primary)
    for secret in _secrets(parameters, keys):
        for form in forms:
            mac = HMAC(secret, _HASHES[parameters.variant])
            mac.update(form)
            try:
                mac.verify(expected)
            except InvalidSignature:
                continue
            return
    raise SecurityFailure(SecurityReason.FAILED, f"signature over block {block.targets[index]}")


def plaintext(
    scope: int, primary: bytes, target: CanonicalBlock | None, frame: CanonicalBlock
) -> bytes:
    """What a signature is made over, the IPPT (RFC 9173 §3.7).

    The primary block as a target goes in as a byte string, as in the example in A.3.
    """
    content = primary if target is None else target.data
    return covered(scope, primary, target, frame) + cbor.byte_string(content)


def _secrets(parameters: IntegrityParameters, keys: KeyRing) -> list[bytes]:
    """The secrets that may have made a signature."""
    if parameters.wrapped_key is not None:
        size_bytes = parameters.variant.size_bytes
        return [unwrap(parameters.wrapped_key, size_bytes, keys.signing_wrapping)]
    secrets = [key.secret for key in keys.signing if key.variant == parameters.variant]
    if not secrets:
        raise SecurityFailure(SecurityReason.NO_KEY, parameters.variant.name)
    return secrets
