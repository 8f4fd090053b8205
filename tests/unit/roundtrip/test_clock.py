"""What is made of the machine's clocks, which are given here."""

from __future__ import annotations

import time

import pytest

from roundtrip.drive import clock


@pytest.mark.parametrize(("wrong_s", "dtn_ms", "unix_s"), [(0, 1_999, 1), (-7, -5_001, -6)])
def test_the_date_is_in_ms_since_2000_and_may_be_made_wrong(
    monkeypatch: pytest.MonkeyPatch, wrong_s: int, dtn_ms: int, unix_s: int
) -> None:
    """1.9999 s after the zero of DTN time, 2000-01-01."""
    monkeypatch.setattr(time, "time_ns", lambda: 946_684_801_999_900_000)
    monkeypatch.setattr(time, "monotonic_ns", lambda: 5)
    monkeypatch.setattr(clock, "_WRONG_BY_NS", wrong_s * 10**9)
    reading = clock.reading()
    assert (reading.dtn_ms, reading.monotonic_ns) == (dtn_ms, 5)
    assert clock.unix_s() == 946_684_800 + unix_s
    assert reading.host == clock.host_id()
