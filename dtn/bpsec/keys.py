"""Keys of the two default security contexts, and keys that travel wrapped in other keys.

A key serves one algorithm for ever; a secret is never printed and must never be put on the wire but
wrapped. Standard: RFC 9173 §3.5, §4.5 and §6.2; RFC 3394 for the wrapping.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from dtn.errors import SecurityFailure, SecurityReason

MAX_KEYS = 4
"""Most keys accepted for one purpose: the work one forged block can cause is bounded by it."""

_LEAST_SECRET_BYTES = 16


class ShaVariant(IntEnum):
    """HMAC algorithms, by their number on the wire (RFC 9173 §3.3.1)."""

    HMAC_256 = 5
    HMAC_384 = 6
    HMAC_512 = 7

    @property
    def size_bytes(self) -> int:
        """Length of the hash, and of a proper key."""
        return 32 + 16 * (self - ShaVariant.HMAC_256)


class AesVariant(IntEnum):
    """AES-GCM algorithms, by their number on the wire (RFC 9173 §4.3.2)."""

    A128GCM = 1
    A256GCM = 3

    @property
    def size_bytes(self) -> int:
        """Length of a key."""
        return 8 + 8 * self


@dataclass(frozen=True, slots=True)
class HmacKey:
    """A key for signing.

    The RFC's own examples use keys shorter than §3.5 allows: such a key verifies, and no rule signs
    with it.
    """

    variant: ShaVariant
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < _LEAST_SECRET_BYTES:
            raise ValueError(f"a key of {len(self.secret)} bytes")


@dataclass(frozen=True, slots=True)
class AesKey:
    """A key for encrypting."""

    variant: AesVariant
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != self.variant.size_bytes:
            raise ValueError(f"{self.variant.name} with a key of {len(self.secret)} bytes")


@dataclass(frozen=True, slots=True)
class WrappingKey:
    """A key that only wraps the keys of one context."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) not in (16, 24, 32):
            raise ValueError(f"a wrapping key of {len(self.secret)} bytes")


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys shared with one endpoint: the first of a kind for sending, all for receiving.

    Raises:
        ValueError: too many of a kind, or one secret with two uses (RFC 9173 §6.2).
    """

    signing: tuple[HmacKey, ...] = ()
    encrypting: tuple[AesKey, ...] = ()
    signing_wrapping: tuple[WrappingKey, ...] = ()
    """Open the wrapped keys of integrity blocks."""
    encrypting_wrapping: tuple[WrappingKey, ...] = ()
    """Open the wrapped keys of confidentiality blocks."""

    def __post_init__(self) -> None:
        kinds = (self.signing, self.encrypting, self.signing_wrapping, self.encrypting_wrapping)
        if max(len(kind) for kind in kinds) > MAX_KEYS:
            raise ValueError(f"more than {MAX_KEYS} keys of a kind")
        secrets = [key.secret for kind in kinds for key in kind]
        if len(set(secrets)) != len(secrets):
            raise ValueError("one secret with two uses")


def wrap(secret: bytes, key: WrappingKey) -> bytes:
    """Wrap a secret (RFC 3394)."""
    return aes_key_wrap(key.secret, secret)


def unwrap(wrapped: bytes, size_bytes: int, keys: tuple[WrappingKey, ...]) -> bytes:
    """Open a wrapped secret.

    Raises:
        SecurityFailure: no key opens it, or what it holds has another length.
    """
    if not keys:
        raise SecurityFailure(SecurityReason.NO_KEY, "wrapped key")
    for key in keys:
        try:
            secret = aes_key_unwrap(key.secret, wrapped)
        except InvalidUnwrap:
            continue
        if len(secret) == size_bytes:
            return secret
    raise SecurityFailure(SecurityReason.FAILED, "wrapped key")
