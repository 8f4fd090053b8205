"""Secures outgoing bundles and opens incoming ones by the rules it was given.

On sending, the payload is encrypted by a cipher that authenticates it, the primary block and the
headers of both blocks (scope flags of RFC 9173 §4.3.4), so that no second signature is needed; what
is only signed has one. The age and the hop count stay outside, as they change on the way. Must
never send what it could not secure, and never tell a peer why its bundle was refused.
Standard: RFC 9172, with the contexts of RFC 9173.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from dtn.bpsec.bcb_aes import BCB_FLAGS, IV_BYTES, derived_iv, encrypt
from dtn.bpsec.bib_hmac import integrity_block
from dtn.bpsec.block import BCB, BIB
from dtn.bpsec.check import open_bundle
from dtn.bpsec.keys import AesKey, HmacKey, KeyRing, WrappingKey
from dtn.bpsec.rules import PRIMARY, Rule
from dtn.bpv7.blocks import (
    IS_FRAGMENT,
    CanonicalBlock,
    encode_primary,
)
from dtn.bpv7.bundle import Bundle
from dtn.bpv7.crc import CRC_32C, CRC_NONE
from dtn.errors import SecurityFailure, SecurityReason

_OPERATION_BYTES = 224
"""No less than one security block with one target adds, less the length of its source."""

__all__ = ["PRIMARY", "KeyRing", "Rule", "Security", "SecurityFailure", "SecurityReason"]

RandomBytes = Callable[[int], bytes]


class Security:
    """The security of one node: its rules, its keys, and what was refused.

    Args:
        rules: one for each endpoint.
        random_bytes: gives that many bytes no one can foresee, for IVs and wrapped keys. In virtual
            time a seeded stream; its bundles protect nothing.

    Raises:
        ValueError: two rules for one endpoint.
    """

    def __init__(self, rules: Iterable[Rule], *, random_bytes: RandomBytes) -> None:
        self._rules: dict[str, Rule] = {}
        for rule in rules:
            if rule.peer in self._rules:
                raise ValueError(f"two rules for {rule.peer}")
            self._rules[rule.peer] = rule
        self._random_bytes = random_bytes
        self._refused: Counter[SecurityReason] = Counter()

    def has_rule(self, eid: str) -> bool:
        """Whether bundles to and from an endpoint are possible at all."""
        return eid in self._rules

    @property
    def refused(self) -> Mapping[SecurityReason, int]:
        """How many bundles `open` refused, by reason."""
        return dict(self._refused)

    def open(self, bundle: Bundle) -> Bundle:
        """The bundle decrypted and verified, without its security blocks.

        Raises:
            SecurityFailure: it is to be dropped, and not to be answered.
        """
        try:
            return open_bundle(bundle, self._rules)
        except SecurityFailure as failure:
            self._refused[failure.reason] += 1
            raise

    def can_protect(self, bundle: Bundle) -> bool:
        """Whether `protect` has a rule for a bundle and may apply it."""
        rule = self._rules.get(bundle.destination)
        fragment = bundle.primary.flags & IS_FRAGMENT
        return rule is not None and not (fragment and (rule.sign or rule.encrypt))

    def most_added_bytes(self, bundle: Bundle) -> int:
        """No less than `protect` makes a bundle larger by."""
        rule = self._rules[bundle.destination]
        types = rule.sign + rule.encrypt
        targets = sum(block.type_code in types for block in bundle.blocks)
        return (2 * targets + 2) * (_OPERATION_BYTES + len(bundle.source))

    def protect(self, bundle: Bundle) -> Bundle:
        """The bundle signed and encrypted as the rule for its destination says.

        A bundle that has security blocks already is returned as it is.

        Raises:
            ValueError: there is no rule for the destination, or the bundle is a fragment, which
                must not be secured (RFC 9172 §5.2).
        """
        if any(block.type_code in (BIB, BCB) for block in bundle.blocks):
            return bundle
        if not self.can_protect(bundle):
            raise ValueError(f"no security for {bundle.id} to {bundle.destination}")
        rule = self._rules[bundle.destination]
        if not rule.sign and not rule.encrypt:
            return bundle
        return _Securing(bundle, rule, self._random_bytes).secured()


@dataclass(frozen=True, slots=True)
class _Sender:
    """What sending takes: keys, and the keys they are wrapped in, if they are."""

    signing: HmacKey | None
    encrypting: AesKey | None
    signing_wrapped_in: WrappingKey | None = None
    encrypting_wrapped_in: WrappingKey | None = None


class _Securing:
    """The work on one bundle."""

    def __init__(self, bundle: Bundle, rule: Rule, random_bytes: RandomBytes) -> None:
        self._rule = rule
        self._random_bytes = random_bytes
        self._sender = _sender(rule, random_bytes)
        self._primary = bundle.primary
        if rule.signs_primary_itself:
            self._primary = replace(bundle.primary, crc_type=CRC_NONE)
        self._encoded_primary = encode_primary(self._primary)
        targets = rule.sign + rule.encrypt
        self._blocks = [
            _without_crc(block) if block.type_code in targets else block for block in bundle.blocks
        ]
        taken = {block.number for block in bundle.blocks}
        self._free = (n for n in range(2, len(taken) * 2 + 8) if n not in taken)

    def secured(self) -> Bundle:
        """Sign, then encrypt."""
        signed = [block for block in self._blocks if block.type_code in self._rule.signed]
        hidden = [block for block in signed if block.type_code in self._rule.encrypt]
        shown: list[CanonicalBlock | None] = [block for block in signed if block not in hidden]
        if self._rule.signs_primary_itself:
            shown.insert(0, None)
        front = [self._sign(shown, CRC_32C)] if shown else []
        to_encrypt = [block for block in self._blocks if block.type_code in self._rule.encrypt]
        if hidden:  # a signature that shares an encrypted target goes with it (RFC 9172 §3.9)
            signature = self._sign(hidden, CRC_NONE)
            front.append(signature)
            to_encrypt.append(signature)
        replaced: dict[int, CanonicalBlock] = {}
        keepers: list[CanonicalBlock] = []
        for target in to_encrypt:
            iv = derived_iv(self._primary) if len(to_encrypt) == 1 else None
            keeper, replaced[target.number] = self._encrypt(target, iv)
            keepers.append(keeper)
        blocks = [replaced.get(block.number, block) for block in (*front, *keepers, *self._blocks)]
        return Bundle(self._primary, tuple(blocks))

    def _sign(
        self, targets: list[CanonicalBlock] | list[CanonicalBlock | None], crc_type: int
    ) -> CanonicalBlock:
        key = self._sender.signing
        assert key is not None, "a rule that signs has a key to sign with"
        return integrity_block(
            next(self._free),
            targets,
            primary=self._encoded_primary,
            source=self._primary.source,
            key=key,
            scope=self._rule.signature_scope,
            crc_type=crc_type,
            wrapped_in=self._sender.signing_wrapped_in,
        )

    def _encrypt(
        self, target: CanonicalBlock, iv: bytes | None
    ) -> tuple[CanonicalBlock, CanonicalBlock]:
        key = self._sender.encrypting
        assert key is not None, "a rule that encrypts has a key to encrypt with"
        return encrypt(
            next(self._free),
            target,
            iv=iv or self._random_bytes(IV_BYTES),
            primary=self._encoded_primary,
            source=self._primary.source,
            key=key,
            scope=self._rule.encryption_scope,
            flags=BCB_FLAGS,
            crc_type=CRC_32C,
            wrapped_in=self._sender.encrypting_wrapped_in,
        )


def _without_crc(block: CanonicalBlock) -> CanonicalBlock:
    """A block as a target: its checksum goes (RFC 9173 §3.8.1, §4.8.1)."""
    return CanonicalBlock(block.type_code, block.number, block.data, block.flags, CRC_NONE)


def _sender(rule: Rule, random_bytes: RandomBytes) -> _Sender:
    """The keys for one bundle."""
    keys = rule.keys
    signing = keys.signing[0] if rule.makes_signatures else None
    encrypting = keys.encrypting[0] if rule.encrypt else None
    if not rule.wrap_keys:
        return _Sender(signing, encrypting)
    if signing is not None:
        signing = replace(signing, secret=random_bytes(signing.variant.size_bytes))
    if encrypting is not None:
        encrypting = replace(encrypting, secret=random_bytes(encrypting.variant.size_bytes))
    return _Sender(
        signing,
        encrypting,
        None if signing is None else keys.signing_wrapping[0],
        None if encrypting is None else keys.encrypting_wrapping[0],
    )
