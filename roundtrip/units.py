"""Units: time is integer nanoseconds, rates are bits per second, sizes are bytes."""

from __future__ import annotations

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_US = 1_000


def s_to_ns(seconds: float) -> int:
    """Seconds to integer nanoseconds, rounded to nearest."""
    return round(seconds * NS_PER_S)


def ms_to_ns(milliseconds: float) -> int:
    """Milliseconds to integer nanoseconds, rounded to nearest."""
    return round(milliseconds * NS_PER_MS)


def ns_to_s(duration_ns: int) -> float:
    """Nanoseconds to seconds."""
    return duration_ns / NS_PER_S


def ns_to_ms(duration_ns: int) -> float:
    """Nanoseconds to milliseconds."""
    return duration_ns / NS_PER_MS


def serialisation_ns(size_bytes: int, rate_bps: int) -> int:
    """Time that `size_bytes` occupy a transmitter of `rate_bps`, rounded up."""
    return -(-size_bytes * 8 * NS_PER_S // rate_bps)
