"""The real clock. Nothing outside `drive/` reads one; engine and supervisor use these two
functions."""

from __future__ import annotations

import time
from pathlib import Path

DTN_EPOCH_UNIX_S = 946_684_800
"""2000-01-01 00:00:00 UTC, the zero of DTN time (RFC 9171 §4.2.6)."""


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC, the same for all processes of one host."""
    return time.monotonic_ns()


def unix_s() -> int:
    """Seconds since 1970, for run numbers and folder names."""
    return int(time.time())


def dtn_ms_at(monotonic_origin_ns: int) -> int:
    """DTN time in ms at a moment of CLOCK_MONOTONIC, by the wall clock as it is now."""
    since_ns = time.monotonic_ns() - monotonic_origin_ns
    return (time.time_ns() - since_ns) // 1_000_000 - DTN_EPOCH_UNIX_S * 1000


def host_id() -> str:
    """What tells this boot of this host from all others; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
