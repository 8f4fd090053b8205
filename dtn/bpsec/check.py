"""Opens one received bundle: decrypts, verifies, and compares with what the rule asks.

Encryption comes off first, then signatures are checked, as they were put on the other way round.
Whatever is wrong ends in a SecurityFailure, and nothing of the bundle may be used then.
Standard: RFC 9172 §3.7-3.9 and §5.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from dtn.bpsec import bcb_aes, bib_hmac
from dtn.bpsec.block import (
    BCB,
    BIB,
    COVER_PRIMARY,
    PRIMARY_NUMBER,
    SecurityBlock,
    decode_security,
)
from dtn.bpsec.keys import KeyRing
from dtn.bpsec.rules import PRIMARY, Rule
from dtn.bpv7.blocks import (
    DISCARD_BLOCK_IF_UNPROCESSED,
    IS_FRAGMENT,
    PAYLOAD_NUMBER,
    REPLICATE_BLOCK,
    CanonicalBlock,
    encode_primary,
)
from dtn.bpv7.bundle import Bundle
from dtn.bpv7.crc import CRC_32C, CRC_NONE
from dtn.errors import BundleError, SecurityFailure, SecurityReason

MAX_OPERATIONS = 32
"""Most signatures, and most encrypted blocks, one bundle may have."""
MAX_PRIMARY_BYTES = 4096
"""Largest primary block of a bundle with security blocks: it goes into every operation."""

_Check = Callable[[SecurityBlock, CanonicalBlock, KeyRing], None]


def open_bundle(bundle: Bundle, rules: Mapping[str, Rule]) -> Bundle:
    """The bundle as it was before it was secured: also with the checksum on the primary block that
    its signature stood for (RFC 9171 §4.3.1).

    Args:
        bundle: as it was received.
        rules: what holds for each endpoint.

    Raises:
        SecurityFailure: it is not to be used.
    """
    rule = rules.get(bundle.source)
    if rule is None:
        raise SecurityFailure(SecurityReason.UNEXPECTED, f"no rule for {bundle.source}")
    return _Opening(bundle, rule, rules).opened()


class _Opening:
    """The work on one bundle."""

    def __init__(self, bundle: Bundle, rule: Rule, rules: Mapping[str, Rule]) -> None:
        self._bundle = bundle
        self._rule = rule
        self._rules = rules
        self._primary = encode_primary(bundle.primary)
        self._blocks = {block.number: block for block in bundle.blocks}
        self._encrypted: dict[int, int] = {}
        """Number of each encrypted block, and the scope of its encryption."""
        self._signed: dict[int, int] = {}
        """Number of each signed block, and the scope of its signature."""

    def opened(self) -> Bundle:
        """Decrypt, verify, compare with the rule."""
        blocks = self._bundle.blocks
        if any(block.type_code in (BIB, BCB) for block in blocks):
            if self._bundle.primary.flags & IS_FRAGMENT:
                raise SecurityFailure(SecurityReason.CONFLICTING, "security in a fragment")
            if len(self._primary) > MAX_PRIMARY_BYTES:
                raise SecurityFailure(SecurityReason.CONFLICTING, "size of the primary block")
        self._each(BCB, self._decrypt)
        self._each(BIB, self._verify)
        self._require()
        kept = tuple(
            self._blocks[block.number] for block in blocks if block.type_code not in (BIB, BCB)
        )
        primary = self._bundle.primary
        if primary.crc_type == CRC_NONE and PRIMARY_NUMBER in self._signed:
            primary = replace(primary, crc_type=CRC_32C)
        return replace(self._bundle, primary=primary, blocks=kept)

    def _each(self, type_code: int, check: _Check) -> None:
        """Read every block of a type, find the keys, do the operations."""
        for number in [b.number for b in self._bundle.blocks if b.type_code == type_code]:
            frame = self._blocks[number]
            try:
                block = decode_security(frame.data)
            except BundleError as error:
                detail = f"block {number}, {error}"
                raise SecurityFailure(SecurityReason.MALFORMED, detail) from None
            if block.source not in self._rule.accepted_sources:
                raise SecurityFailure(SecurityReason.UNEXPECTED, f"security by {block.source}")
            keys = self._rules.get(block.source, self._rule).keys
            check(block, frame, keys)

    def _decrypt(self, block: SecurityBlock, frame: CanonicalBlock, keys: KeyRing) -> None:
        """Decrypt all targets of a confidentiality block, in place."""
        if block.context != bcb_aes.CONTEXT:
            raise SecurityFailure(SecurityReason.UNKNOWN, f"security context {block.context}")
        if frame.flags & DISCARD_BLOCK_IF_UNPROCESSED:
            raise SecurityFailure(SecurityReason.CONFLICTING, "flags let the block be removed")
        if PAYLOAD_NUMBER in block.targets and not frame.flags & REPLICATE_BLOCK:
            raise SecurityFailure(SecurityReason.CONFLICTING, "flags do not replicate the block")
        parameters = bcb_aes.confidentiality_parameters(block)
        for index, number in enumerate(block.targets):
            target = self._target(number, self._encrypted, (BCB,))
            if target is None:
                raise SecurityFailure(SecurityReason.CONFLICTING, "encrypted primary block")
            self._blocks[number] = bcb_aes.decrypt(
                block,
                parameters,
                index,
                frame=frame,
                primary=self._primary,
                target=target,
                keys=keys,
            )
            self._encrypted[number] = parameters.scope

    def _verify(self, block: SecurityBlock, frame: CanonicalBlock, keys: KeyRing) -> None:
        """Verify all targets of an integrity block."""
        if block.context != bib_hmac.CONTEXT:
            raise SecurityFailure(SecurityReason.UNKNOWN, f"security context {block.context}")
        if frame.number in self._encrypted and not self._encrypted.keys() & set(block.targets):
            raise SecurityFailure(SecurityReason.CONFLICTING, "encrypted without its targets")
        parameters = bib_hmac.integrity_parameters(block)
        for index, number in enumerate(block.targets):
            target = self._target(number, self._signed, (BIB, BCB))
            bib_hmac.verify(
                block,
                parameters,
                index,
                frame=frame,
                primary=self._primary,
                target=target,
                keys=keys,
            )
            self._signed[number] = parameters.scope

    def _target(
        self, number: int, done: Mapping[int, int], forbidden: tuple[int, ...]
    ) -> CanonicalBlock | None:
        """The target of an operation, None for the primary block, if there may be such a one."""
        if number in done:
            raise SecurityFailure(SecurityReason.CONFLICTING, f"block {number} is a target twice")
        if len(done) >= MAX_OPERATIONS:
            raise SecurityFailure(SecurityReason.CONFLICTING, "number of operations")
        if number == PRIMARY_NUMBER:
            return None
        target = self._blocks.get(number)
        if target is None:
            raise SecurityFailure(SecurityReason.CONFLICTING, f"no target {number}")
        if target.type_code in forbidden:
            raise SecurityFailure(SecurityReason.CONFLICTING, f"security block {number} as target")
        return target

    def _require(self) -> None:
        """Compare what was done with what the rule asks."""
        for block in self._blocks.values():
            if block.type_code in self._rule.encrypt and block.number not in self._encrypted:
                raise SecurityFailure(SecurityReason.MISSING, f"block {block.number} in the clear")
            if block.type_code in self._rule.sign and not self._is_signed(block):
                raise SecurityFailure(SecurityReason.MISSING, f"block {block.number} not signed")
        if PRIMARY in self._rule.sign and not self._primary_is_covered():
            raise SecurityFailure(SecurityReason.MISSING, "primary block not signed")

    def _is_signed(self, block: CanonicalBlock) -> bool:
        encrypted = block.number in self._encrypted and not self._rule.sign_encrypted
        return block.number in self._signed or encrypted

    def _primary_is_covered(self) -> bool:
        return PRIMARY_NUMBER in self._signed or any(
            scopes.get(PAYLOAD_NUMBER, 0) & COVER_PRIMARY
            for scopes in (self._signed, self._encrypted)
        )
