"""One direction of the link, as a pure machine: serialisation, propagation delay, finite queue,
impairments.

A frame waits in the modem's queue until the transmitter is free, occupies it for bits / rate, and
arrives one propagation delay later. Its fate is known when it is handed in, since contacts and
outages are fixed by the scenario; it is put out as a `FrameFate` at once, and as a delivery when it
arrives.
"""

from __future__ import annotations

import heapq
from collections import deque

from link_sim.impairments import Effect, Impairments, flipped
from roundtrip.contacts import LightTime, Rate, Window, Windows
from roundtrip.framelog import HEAD_BYTES, Fate, FrameFate
from roundtrip.link_trace import TraceDelay, TraceRate
from roundtrip.machine import Deadline

_ARRIVES = (Fate.DELIVERED, Fate.CORRUPTED)


class Channel:
    """One direction.

    Args:
        direction: its name in the log.
        rate: as it changes with the range, or was measured.
        queue_bytes, mtu_bytes: as in the scenario.
        light_time: one-way, as it changes with the range.
        contact: when the link is open, planned outages taken out.
        cued, silent, stuck: outages.
        impairments: what else happens to frames.
        frame_check: frames with bit errors are dropped on arrival.
    """

    def __init__(
        self,
        direction: str,
        *,
        rate: Rate | TraceRate,
        light_time: LightTime | TraceDelay,
        queue_bytes: int,
        mtu_bytes: int,
        contact: Windows,
        cued: Windows,
        silent: Windows,
        stuck: Windows,
        impairments: Impairments,
        frame_check: bool,
    ) -> None:
        self.direction = direction
        self.rate = rate
        self.light_time = light_time
        self.queue_bytes = queue_bytes
        self.mtu_bytes = mtu_bytes
        self.carrier = contact.minus(cued)
        """When the modem really transmits."""
        self._contact = contact
        self._silent = silent
        self._stuck = stuck
        self._impairments = impairments
        self._frame_check = frame_check
        self._count = 0
        self._busy_until_ns = 0
        self._last_arrival_ns = 0
        self._queued: deque[tuple[int, int]] = deque()
        self._queued_bytes = 0
        self._in_flight: list[tuple[int, int, bytes]] = []

    def send(self, frame: bytes, *, bulk: bool = False, now_ns: int) -> FrameFate:
        """Hand a frame to the modem; what becomes of it. `bulk` is for the log."""
        index = self._count
        self._count += 1
        size = len(frame)
        start_ns = self._free_ns(now_ns)
        effect = self._impairments.next(size, start_ns)
        tx_start_ns = tx_end_ns = arrives_ns = None
        window = self.carrier.at(now_ns)
        fate = self._refused(size, now_ns, window)
        if fate is None and window is not None:
            end_ns = self.rate.end_ns(start_ns, size)
            if end_ns > window[1]:  # it is on the air, or waits, until the end
                fate = Fate.CUT_OFF
                self._busy_until_ns = max(self._busy_until_ns, window[1])
                if start_ns < window[1]:
                    tx_start_ns, tx_end_ns = start_ns, window[1]
            else:
                tx_start_ns, tx_end_ns = start_ns, end_ns
                self._busy_until_ns = end_ns
                self._queued.append((end_ns, size))
                self._queued_bytes += size
                fate = self._on_the_way(effect, start_ns, end_ns)
                if fate in _ARRIVES and not (effect.flips and self._frame_check):
                    arrives_ns = self._arrival(effect, frame, index, end_ns)
        assert fate is not None
        return FrameFate(
            self.direction,
            index,
            size,
            now_ns,
            tx_start_ns,
            tx_end_ns,
            arrives_ns,
            fate,
            bytes(frame[:HEAD_BYTES]),
            bulk,
        )

    def _free_ns(self, now_ns: int) -> int:
        """When the transmitter can begin on a frame handed in now."""
        start_ns = max(now_ns, self._busy_until_ns)
        while self._stuck.spans and (stuck := self._stuck.at(start_ns)) is not None:
            start_ns = stuck[1]
        return start_ns

    def _on_the_way(self, effect: Effect, start_ns: int, end_ns: int) -> Fate:
        if self._silent.spans and self._silent.first_overlap(start_ns, end_ns) is not None:
            return Fate.SILENT_OUTAGE
        if effect.lost is not None:
            return effect.lost
        return Fate.CORRUPTED if effect.flips else Fate.DELIVERED

    def _arrival(self, effect: Effect, frame: bytes, index: int, end_ns: int) -> int:
        arrives_ns = end_ns + self.light_time.at(end_ns) + effect.extra_ns
        if self.light_time.in_order:
            arrives_ns = self._last_arrival_ns = max(arrives_ns, self._last_arrival_ns)
        heard = flipped(frame, effect.flips) if effect.flips else frame
        heapq.heappush(self._in_flight, (arrives_ns, index, heard))
        if effect.copy_ns is not None:
            heapq.heappush(self._in_flight, (arrives_ns + effect.copy_ns, index, heard))
        return arrives_ns

    def _refused(self, size: int, now_ns: int, window: Window | None) -> Fate | None:
        while self._queued and self._queued[0][0] <= now_ns:
            self._queued_bytes -= self._queued.popleft()[1]
        if size > self.mtu_bytes:
            return Fate.TOO_LONG
        if window is None:
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
