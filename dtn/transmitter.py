"""The transmitter as the bundle agent models it: how long it is busy with what it was given.

A frame occupies it for its bits over the rate at the moment of its first bit, as in the modem, so
that the two do not drift apart when the rate changes.
"""

from __future__ import annotations

from collections import deque

from dtn.ltp.notices import serialisation_ns


class Transmitter:
    """Busy until a time, at a rate."""

    def __init__(self) -> None:
        self.rate_bps = 0
        self.free_ns = 0
        """When the last frame that it was given is out."""
        self._waiting: deque[tuple[int, int]] = deque()
        """First bit's time and size of frames that may not have begun."""

    def restart(self, *, now_ns: int) -> None:
        """The carrier is back; nothing waits."""
        self.free_ns = now_ns
        self._waiting.clear()

    def retime(self, rate_bps: int, *, now_ns: int) -> None:
        """The rate is another from now on: for frames that begin now or later."""
        if rate_bps != self.rate_bps and rate_bps > 0:
            self._forget(now_ns)
            if self._waiting:
                self.free_ns = self._waiting[0][0]
            for index, (_, size_bytes) in enumerate(self._waiting):
                self._waiting[index] = (self.free_ns, size_bytes)
                self.free_ns += serialisation_ns(size_bytes, rate_bps)
        self.rate_bps = rate_bps

    def take(self, size_bytes: int, *, now_ns: int) -> None:
        """A frame is handed over."""
        self._forget(now_ns)
        start_ns = max(now_ns, self.free_ns)
        self._waiting.append((start_ns, size_bytes))
        self.free_ns = start_ns + serialisation_ns(size_bytes, self.rate_bps)

    def _forget(self, now_ns: int) -> None:
        while self._waiting and self._waiting[0][0] < now_ns:
            self._waiting.popleft()
