"""The real clock. Nothing outside `drive/` reads one; engine and supervisor use `monotonic_ns`.

Durations are of CLOCK_MONOTONIC. The wall clock only dates things: it may be wrong, and be set in
mid-run.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from roundtrip.anchor import Reading

DTN_EPOCH_UNIX_S = 946_684_800
"""2000-01-01 00:00:00 UTC, the zero of DTN time (RFC 9171 §4.2.6)."""
_WRONG_BY_NS = int(os.environ.get("GROUNDLOOP_TEST_CLOCK_OFFSET_S") or 0) * 1_000_000_000
"""For tests: how far this process's wall clock is ahead of the machine's."""


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC, the same for all processes of one host."""
    return time.monotonic_ns()


def monotonic_s() -> float:
    """The same in s."""
    return time.monotonic_ns() / 1_000_000_000


def unix_s() -> int:
    """Seconds since 1970, to date things."""
    return (time.time_ns() + _WRONG_BY_NS) // 1_000_000_000


def unix_ns() -> int:
    """ns since 1970, to tell how old a file's frames are."""
    return time.time_ns() + _WRONG_BY_NS


def utc(unix_s: float) -> str:
    """A moment as ISO 8601 text, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_s))


def reading() -> Reading:
    """All clocks of this machine as they are now."""
    unix_ms = (time.time_ns() + _WRONG_BY_NS) // 1_000_000
    return Reading(host_id(), time.monotonic_ns(), unix_ms - DTN_EPOCH_UNIX_S * 1000)


def host_id() -> str:
    """What tells this boot of this host from all others; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
