"""The errors the codecs raise: one base, one per wire format, each with the place and the reason.

DecodeError
├── BundleError     bytes that are not one BPv7 bundle
└── SegmentError    bytes that are not one LTP segment
LtpLimitError       the caller asked the engine for more than its configuration allows

A decode error never leaves a machine: `receive` turns it into an output.
"""

from __future__ import annotations


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
