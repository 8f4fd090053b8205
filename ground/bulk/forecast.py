"""In which pass an upload will be whole. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from roundtrip.contacts import FOREVER_NS, Windows
from roundtrip.units import NS_PER_S

SHARE = 0.95
"""Of a contact's bits that are an upload's, as `python -m bench uplink` finds it."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """When it is whole."""

    passes: int
    """From now on, the present one counted."""
    at_ns: int | None
    """On the plan's clock; None where the plan ends before."""


def forecast(uplink: Windows, left_bytes: int, rate_bps: int, *, now_ns: int) -> Forecast:
    """When so many bytes are up.

    Args:
        uplink: when can be sent.
        left_bytes: packed or not.
        rate_bps: of the link.
        now_ns: the time.
    """
    needs_ns = round(8 * NS_PER_S * left_bytes / max(1.0, rate_bps * SHARE))
    passes = 0
    for start_ns, end_ns in uplink.spans:
        begin_ns = max(start_ns, now_ns)
        if end_ns <= begin_ns:
            continue
        passes += 1
        if begin_ns + needs_ns <= end_ns or end_ns >= FOREVER_NS:
            return Forecast(passes, begin_ns + needs_ns)
        needs_ns -= end_ns - begin_ns
    return Forecast(passes, None)
