"""The errors the codecs raise: one base, one per wire format, each with the place and the reason.

DecodeError
├── BundleError     bytes that are not one BPv7 bundle
└── SegmentError    bytes that are not one LTP segment
LtpLimitError       the caller asked the engine for more than its configuration allows
SecurityFailure     a bundle does not pass what its security blocks or our rules ask

A decode error never leaves a machine: `receive` turns it into an output.
"""

from __future__ import annotations

from enum import StrEnum


class DecodeError(ValueError):
    """Bytes from outside do not hold what the standard says.

    Args:
        offset: where in the bytes given to the decoder, counted from 0.
        expected: what would have been right there.
        found: what was there instead.
    """

    def __init__(self, offset: int, expected: str, found: str) -> None:
        self.offset = offset
        self.expected = expected
        self.found = found
        super().__init__(f"byte {offset}: expected {expected}, found {found}")


class BundleError(DecodeError):
    """The bytes are not one well-formed bundle (RFC 9171 §4)."""


class SegmentError(DecodeError):
    """The bytes are not one well-formed LTP segment (RFC 5326 §3)."""


class LtpLimitError(ValueError):
    """A block does not fit the engine: too large, empty, or one session too many."""


class SecurityReason(StrEnum):
    """Why a bundle was refused, to be counted by; mostly those of RFC 9172 §7.1."""

    MALFORMED = "malformed security block"
    MISSING = "missing security operation"
    UNKNOWN = "unknown security operation"
    UNEXPECTED = "unexpected security operation"
    CONFLICTING = "conflicting security operation"
    FAILED = "failed security operation"
    NO_KEY = "no key"


class SecurityFailure(ValueError):
    """A bundle is not to be used: what it was signed or encrypted with, or lacks (RFC 9172 §5.1).

    Args:
        reason: for the count.
        detail: for a log; holds nothing that was decrypted.
    """

    def __init__(self, reason: SecurityReason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")
