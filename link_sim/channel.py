"""One direction of the link, as a pure machine: serialisation, propagation delay, finite queue,
loss.

A frame waits in the modem's queue until the transmitter is free, occupies it for bits / rate, and
arrives one propagation delay later. Its fate is known when it is handed in, since contacts and
outages are fixed by the scenario; it is put out as a `FrameFate` at once, and as a delivery when it
arrives.
"""

from __future__ import annotations

import heapq
from collections import deque

from link_sim.loss import Bernoulli
from roundtrip.contacts import Windows
from roundtrip.framelog import HEAD_BYTES, Fate, FrameFate
from roundtrip.machine import Deadline
from roundtrip.units import serialisation_ns


class Channel:
    """One direction.

    Args:
        direction: its name in the log.
        rate_bps, one_way_ns, queue_bytes, mtu_bytes: as in the scenario.
        contact: when the link is open, planned outages taken out.
        cued, silent: outages.
        loss: the loss process.
    """

    def __init__(
        self,
        direction: str,
        *,
        rate_bps: int,
        one_way_ns: int,
        queue_bytes: int,
        mtu_bytes: int,
        contact: Windows,
        cued: Windows,
        silent: Windows,
        loss: Bernoulli,
    ) -> None:
        self.direction = direction
        self.rate_bps = rate_bps
        self.one_way_ns = one_way_ns
        self.queue_bytes = queue_bytes
        self.mtu_bytes = mtu_bytes
        self.carrier = contact.minus(cued)
        """When the modem really transmits."""
        self._contact = contact
        self._silent = silent
        self._loss = loss
        self._count = 0
        self._busy_until_ns = 0
        self._queued: deque[tuple[int, int]] = deque()
        self._queued_bytes = 0
        self._in_flight: list[tuple[int, int, bytes]] = []

    def send(self, frame: bytes, *, now_ns: int) -> FrameFate:
        """Hand a frame to the modem; what becomes of it."""
        lost = self._loss.lost()
        index = self._count
        self._count += 1
        size = len(frame)
        start_ns = end_ns = arrives_ns = None
        fate = self._refused(size, now_ns)
        if fate is None:
            start_ns = max(now_ns, self._busy_until_ns)
            end_ns = start_ns + serialisation_ns(size, self.rate_bps)
            window = self.carrier.at(now_ns)
            if window is None or end_ns > window[1]:
                fate = Fate.CUT_OFF
                if window is not None:  # it is on the air, or waits, until the end
                    self._busy_until_ns = max(self._busy_until_ns, window[1])
            else:
                self._busy_until_ns = end_ns
                self._queued.append((end_ns, size))
                self._queued_bytes += size
                if self._silent.first_overlap(start_ns, end_ns) is not None:
                    fate = Fate.SILENT_OUTAGE
                elif lost:
                    fate = Fate.LOST
                else:
                    fate = Fate.DELIVERED
                    arrives_ns = end_ns + self.one_way_ns
                    heapq.heappush(self._in_flight, (arrives_ns, index, frame))
        return FrameFate(
            self.direction,
            index,
            size,
            now_ns,
            start_ns,
            end_ns,
            arrives_ns,
            fate,
            bytes(frame[:HEAD_BYTES]),
        )

    def _refused(self, size: int, now_ns: int) -> Fate | None:
        while self._queued and self._queued[0][0] <= now_ns:
            self._queued_bytes -= self._queued.popleft()[1]
        if size > self.mtu_bytes:
            return Fate.TOO_LONG
        if self.carrier.at(now_ns) is None:
            return Fate.NO_CARRIER if self._contact.at(now_ns) else Fate.NO_CONTACT
        if self._queued_bytes + size > self.queue_bytes:
            return Fate.QUEUE_FULL
        return None

    def arrivals(self, *, now_ns: int) -> list[bytes]:
        """The frames that have arrived by now, in order."""
        frames: list[bytes] = []
        while self._in_flight and self._in_flight[0][0] <= now_ns:
            frames.append(heapq.heappop(self._in_flight)[2])
        return frames

    @property
    def deadline(self) -> Deadline | None:
        """When the next frame arrives."""
        return (self._in_flight[0][0], f"{self.direction} frame") if self._in_flight else None
