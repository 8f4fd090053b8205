"""The whole link as one pure machine: two channels, and the modems' cues when a direction opens,
closes or changes its rate.

The relay runs it live, the world in virtual time; neither adds behaviour of its own.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from link_sim.channel import Channel
from link_sim.impairments import Impairments
from roundtrip.config import Direction
from roundtrip.contacts import FOREVER_NS
from roundtrip.framelog import FrameFate
from roundtrip.machine import Deadline, earliest
from roundtrip.modem import Carrier, Side
from roundtrip.rng import substream
from roundtrip.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Deliver:
    """A frame reaches a side."""

    side: Side
    frame: bytes


@dataclass(frozen=True, slots=True)
class Cue:
    """A side's modem tells its user what has changed."""

    side: Side
    carrier: Carrier


LinkOutput = Deliver | Cue | FrameFate


class Link:
    """Both directions and their cues.

    Args:
        scenario: rates, delays, contacts, outages.
        seed: of the run.
        run_id, origin_ns, host, dtn_epoch_ms: passed on in cues, see `Carrier`.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        *,
        run_id: int = 0,
        origin_ns: int = 0,
        host: str = "",
        dtn_epoch_ms: int = 0,
    ) -> None:
        self.run_id = run_id
        self._origin_ns = origin_ns
        self._host = host
        self._dtn_epoch_ms = dtn_epoch_ms
        self._up = _channel(scenario, "uplink", seed)
        self._down = _channel(scenario, "downlink", seed)
        self._cues: list[tuple[int, int, Side, Callable[[], None] | None]] = []
        self._numbered = 0
        self._schedule_cues()

    def start(self, *, now_ns: int) -> list[LinkOutput]:
        """Tell both sides how things stand."""
        self._due_cues(now_ns)
        return [self.cue(side, now_ns=now_ns) for side in Side]

    def send(
        self, side: Side, frame: bytes, *, bulk: bool = False, now_ns: int
    ) -> list[LinkOutput]:
        """A side hands its modem a frame; `bulk`: of an upload, for the log."""
        channel = self._up if side is Side.GROUND else self._down
        return [channel.send(frame, bulk=bulk, now_ns=now_ns)]

    def timeout(self, *, now_ns: int) -> list[LinkOutput]:
        """Deliver what has arrived, and give the cues that are due."""
        outputs: list[LinkOutput] = []
        outputs.extend(Deliver(Side.NODE, frame) for frame in self._up.arrivals(now_ns=now_ns))
        outputs.extend(Deliver(Side.GROUND, frame) for frame in self._down.arrivals(now_ns=now_ns))
        outputs.extend(self.cue(side, now_ns=now_ns) for side in self._due_cues(now_ns))
        return outputs

    @property
    def deadline(self) -> Deadline | None:
        """The next arrival or cue."""
        cue = (self._cues[0][0], "cue") if self._cues else None
        return earliest(self._up.deadline, self._down.deadline, cue)

    def cue(self, side: Side, *, now_ns: int) -> Cue:
        """What a side's modem sees now: its transmitter at once, the other's signal one light time
        later."""
        out, back = (self._up, self._down) if side is Side.GROUND else (self._down, self._up)
        heard_ns = back.light_time.sent_ns(now_ns)
        carrier = Carrier(
            run_id=self.run_id,
            tx_up=out.carrier.at(now_ns) is not None,
            rx_up=back.carrier.at(heard_ns) is not None,
            tx_rate_bps=out.rate.at(now_ns),
            rx_rate_bps=back.rate.at(heard_ns),
            one_way_ns=out.light_time.at(now_ns),
            mtu_bytes=out.mtu_bytes,
            elapsed_ns=now_ns,
            origin_ns=self._origin_ns,
            host=self._host,
            dtn_epoch_ms=self._dtn_epoch_ms,
        )
        return Cue(side, carrier)

    def _schedule_cues(self) -> None:
        pairs = ((self._up, Side.GROUND, Side.NODE), (self._down, Side.NODE, Side.GROUND))
        for channel, sender, receiver in pairs:
            moments = [at_ns for window in channel.carrier.spans for at_ns in window]
            for at_ns in moments:
                self._schedule_cue(at_ns, channel, sender, receiver)
            self._schedule_rate(0, channel, sender, receiver)

    def _schedule_cue(self, at_ns: int, channel: Channel, sender: Side, receiver: Side) -> None:
        if at_ns < FOREVER_NS:
            heapq.heappush(self._cues, (at_ns, self._next_cue(), sender, None))
            at_receiver_ns = at_ns + channel.light_time.at(at_ns)
            heapq.heappush(self._cues, (at_receiver_ns, self._next_cue(), receiver, None))

    def _schedule_rate(self, after_ns: int, channel: Channel, sender: Side, receiver: Side) -> None:
        """The next change of a rate, which has the one after it scheduled: there may be no end of
        them."""
        at_ns = channel.rate.next_change(after_ns)
        while at_ns is not None and channel.carrier.at(at_ns) is None:
            start_ns = channel.carrier.next_start(at_ns)
            at_ns = None if start_ns is None else channel.rate.next_change(start_ns)
        if at_ns is not None:
            again = partial(self._schedule_rate, at_ns, channel, sender, receiver)
            heapq.heappush(self._cues, (at_ns, self._next_cue(), sender, again))
            at_receiver_ns = at_ns + channel.light_time.at(at_ns)
            heapq.heappush(self._cues, (at_receiver_ns, self._next_cue(), receiver, None))

    def _next_cue(self) -> int:
        self._numbered += 1
        return self._numbered

    def _due_cues(self, now_ns: int) -> list[Side]:
        due: list[Side] = []
        while self._cues and self._cues[0][0] <= now_ns:
            _, _, side, then = heapq.heappop(self._cues)
            if then is not None:
                then()
            if side not in due:
                due.append(side)
        return due


def _channel(scenario: Scenario, name: str, seed: int) -> Channel:
    direction: Direction = getattr(scenario.link, name)
    return Channel(
        name,
        rate=scenario.rate(name),
        light_time=scenario.light_time(name),
        queue_bytes=direction.queue_bytes,
        mtu_bytes=direction.mtu_bytes,
        contact=scenario.contact_windows(name).minus(scenario.outages(name, "planned")),
        cued=scenario.outages(name, "cued"),
        silent=scenario.outages(name, "silent"),
        stuck=scenario.outages(name, "stuck"),
        impairments=Impairments(
            direction,
            lambda cause: substream(seed, f"{name}/{cause}"),
            scenario.traced_loss(name),
        ),
        frame_check=direction.frame_check,
    )
