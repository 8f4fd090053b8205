"""Security policy: what must be signed and encrypted, to and from whom, and with which keys.

One rule for each endpoint we talk to; an endpoint without a rule is not talked to. A rule must
never ask for what a node on the way has to change: age and hop count stay as they are.
Standard: RFC 9172 §7, RFC 9173 §6.
"""

from __future__ import annotations

from dataclasses import dataclass

from dtn.bpsec.block import BCB, BIB, COVER_ALL, COVER_PRIMARY
from dtn.bpsec.keys import KeyRing
from dtn.bpv7.blocks import BUNDLE_AGE, HOP_COUNT, PAYLOAD, PREVIOUS_NODE
from dtn.bpv7.eid import encode_eid

PRIMARY = 0
"""Stands for the primary block among block types; no block has this type."""

_CHANGE_ON_THE_WAY = frozenset({PREVIOUS_NODE, BUNDLE_AGE, HOP_COUNT, BIB, BCB})


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds between us and one endpoint, in both directions.

    Raises:
        ValueError: the rule cannot be kept: a key is missing or too short, or a block type must
            stay as it is.
    """

    peer: str
    """The endpoint that bundles go to, or come from."""
    keys: KeyRing
    sign: tuple[int, ...] = (PRIMARY, PAYLOAD)
    """Block types that must be signed. AES-GCM authenticates what it encrypts, so an encryption
    counts as a signature; and a signature or an encryption of the payload that covers the primary
    block too counts for the primary block."""
    encrypt: tuple[int, ...] = (PAYLOAD,)
    """Block types that must be encrypted."""
    sign_encrypted: bool = False
    """Encrypted blocks must have a signature besides."""
    signature_scope: int = COVER_ALL
    """What our signatures cover besides their target."""
    encryption_scope: int = COVER_ALL
    """What our encryption authenticates besides its target."""
    wrap_keys: bool = False
    """Send with fresh keys, wrapped in the first wrapping keys."""
    sources: tuple[str, ...] = ()
    """Nodes whose security blocks count in the peer's bundles; the peer and its node if empty."""

    def __post_init__(self) -> None:
        encode_eid(self.peer)
        for source in self.sources:
            encode_eid(source)
        wrong = _CHANGE_ON_THE_WAY.intersection(self.sign + self.encrypt)
        if wrong or PRIMARY in self.encrypt:
            raise ValueError(f"block types {sorted(wrong) or [PRIMARY]} cannot be protected")
        if min(self.signature_scope, self.encryption_scope) < 0:
            raise ValueError("negative scope flags")
        if max(self.signature_scope, self.encryption_scope) > COVER_ALL:
            raise ValueError("scope flags that no standard assigns")
        if self.makes_signatures and not self._can_sign():
            raise ValueError(f"{self.peer}: no proper key to sign with (RFC 9173 §3.5)")
        if self.encrypt and not self.keys.encrypting:
            raise ValueError(f"{self.peer}: no key to encrypt with")
        if self.wrap_keys and not self._can_wrap():
            raise ValueError(f"{self.peer}: no wrapping keys")

    @property
    def accepted_sources(self) -> tuple[str, ...]:
        """Nodes whose security blocks count in bundles from the peer."""
        return self.sources or (self.peer, node_id(self.peer))

    @property
    def signs_primary_itself(self) -> bool:
        """Whether the primary block needs a signature of its own when we send."""
        signed = PAYLOAD in self.signed and self.signature_scope & COVER_PRIMARY
        encrypted = PAYLOAD in self.encrypt and self.encryption_scope & COVER_PRIMARY
        stands = encrypted and not self.sign_encrypted
        return PRIMARY in self.sign and not signed and not stands

    @property
    def signed(self) -> tuple[int, ...]:
        """Block types that need a signature, as no encryption stands for it; the primary block is
        judged by itself."""
        return tuple(
            one
            for one in self.sign
            if one != PRIMARY and (self.sign_encrypted or one not in self.encrypt)
        )

    @property
    def makes_signatures(self) -> bool:
        """Whether sending takes a key to sign with."""
        return bool(self.signed) or self.signs_primary_itself

    def _can_sign(self) -> bool:
        first = self.keys.signing[:1]
        return any(len(key.secret) == key.variant.size_bytes for key in first)

    def _can_wrap(self) -> bool:
        signing = not self.makes_signatures or bool(self.keys.signing_wrapping)
        return signing and (not self.encrypt or bool(self.keys.encrypting_wrapping))


def node_id(eid: str) -> str:
    """The administrative endpoint of a node, `ipn:2.0` for `ipn:2.1` (RFC 9171 §4.2.5)."""
    scheme, _, rest = eid.partition(":")
    if scheme == "ipn":
        return f"ipn:{rest.partition('.')[0]}.0"
    node, slash, _ = rest[2:].partition("/")
    return f"dtn://{node}/" if slash else eid
