"""What scenarios of live tests have in common."""

from __future__ import annotations

LINK = """
[link.uplink]
rate_bps = 1_000_000
one_way_delay_ms = 5
[link.downlink]
rate_bps = 1_000_000
one_way_delay_ms = 5
"""
