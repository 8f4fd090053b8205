"""What a second is."""

from __future__ import annotations

from roundtrip.units import NS_PER_MS, NS_PER_S, NS_PER_US, ms_to_ns, ns_to_s, s_to_ns


def test_units_go_into_one_another() -> None:
    assert (NS_PER_US, NS_PER_MS, NS_PER_S) == (10**3, 10**6, 10**9)
    assert (ms_to_ns(1.5), s_to_ns(1.5), ns_to_s(1_500_000_000)) == (1_500_000, 1_500_000_000, 1.5)
