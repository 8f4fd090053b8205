"""What the ground alone knows of a question's stages: its own stamps, and bounds for the others.

Pure. A bound holds whatever the link does: light is never faster, nor the transmitter, and time
that frames have waited or were repeated only makes an interval wider.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dtn.agent import TransmissionStarted
from dtn.ltp.notices import serialisation_ns
from dtn.ltp.segment import SessionId
from ground.results.record import NodeTimes
from roundtrip.contacts import Windows
from roundtrip.message import TICK_US
from roundtrip.scenario import Scenario
from roundtrip.stages import Stage, in_order
from roundtrip.units import NS_PER_MS, NS_PER_US

REPORT_BYTES = 11
"""The shortest LTP report on a whole block."""
CONTRADICTION_NS = 20 * NS_PER_MS
"""How far measuring errors may turn an interval around."""


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of a link at its quickest; by default nothing is known."""

    rate_bps: int = 0
    """0: frames take no time."""
    one_way_ns: int = 0

    def least_ns(self, size_bytes: int) -> int:
        """From the first bit of a block to its last at the other end."""
        return serialisation_ns(size_bytes, self.rate_bps) + self.one_way_ns


@dataclass(frozen=True, slots=True)
class Quickest:
    """Both directions at their quickest."""

    up: Way
    down: Way


NOTHING_KNOWN = Quickest(Way(), Way())


def quickest(scenario: Scenario) -> Quickest:
    """What no frame on a scenario's link can beat."""
    up, down = (
        Way(scenario.rate(name).most_bps, scenario.light_time(name).least_ns)
        for name in ("uplink", "downlink")
    )
    return Quickest(up, down)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Stamps, and how far the worst of them may be off."""

    stamps: Mapping[Stage, int]
    uncertainty_ns: int


@dataclass(slots=True)
class Stamps:
    """One question's, as the ground comes to know them. Times are ns on the plan's clock."""

    own: dict[Stage, int]
    """As they were reached, by the ground's own doing."""
    interrupted: bool = False
    """Taken up again after a restart: it may have left before."""
    sessions: list[SessionId] = field(default_factory=list)
    """That carried the question."""
    handed_ns: int = 0
    """When the modem got the first frame of the first of them."""
    block_bytes: int = 0
    """Of that session."""
    acknowledged_ns: int | None = None
    downlink_session: SessionId | None = None
    """That brought the first reply."""

    def uplink_started(self, begun: TransmissionStarted, *, now_ns: int) -> bool:
        """A session with the question begins; whether it is the first."""
        self.sessions.append(begun.session)
        if Stage.UPLINK_STARTED in self.own:
            return False
        self.own[Stage.UPLINK_STARTED] = begun.at_ns
        self.handed_ns = now_ns
        self.block_bytes = begun.block_bytes
        return True

    def acknowledged(self, at_ns: int) -> bool:
        """The node says that it has the question; whether it is the first time."""
        if self.acknowledged_ns is not None:
            return False
        self.acknowledged_ns = at_ns
        return True

    def dropped(self) -> None:
        """What the node had acknowledged it could not read; it is asked again."""
        self.acknowledged_ns = None

    def expired(self, at_ns: int) -> Estimate:
        """No reply has come."""
        return self._with({}, {}, at_ns)

    def replied(
        self, times: NodeTimes, at_ns: int, block_bytes: int, quick: Quickest, downlink: Windows
    ) -> Estimate:
        """The reply is here, in a block of so many bytes.

        `delivered` lies between the earliest that light and the uplink's rate allow and the latest
        that the report and the reply allow. With a report in hand the latest is taken, for the
        node reports as soon as the question is on its disk; else the earliest. The reply is taken
        to leave when it is finished, or with the next contact.
        """
        self.own[Stage.ANSWERED] = at_ns
        up_ns, down_ns = quick.up.least_ns(self.block_bytes), quick.down.least_ns(block_bytes)
        earliest_ns = self._left_ns + up_ns
        latest_ns = at_ns - down_ns - times.finished_ns
        delivered_ns = earliest_ns
        if self.acknowledged_ns is not None:
            reported_ns = self.acknowledged_ns - quick.down.least_ns(REPORT_BYTES)
            latest_ns = min(latest_ns, reported_ns)
            delivered_ns = max(latest_ns, earliest_ns)
        if latest_ns < earliest_ns - CONTRADICTION_NS:
            return self._with({}, {}, at_ns)  # the node counts from another delivery
        latest_ns = max(latest_ns, earliest_ns)
        since_ns = times.stamps
        guess = {stage: delivered_ns + after_ns for stage, after_ns in since_ns.items()}
        finished_ns = guess[Stage.FINISHED]
        next_ns = None if downlink.at(finished_ns) else downlink.next_start(finished_ns)
        guess[Stage.DELIVERED] = delivered_ns
        guess[Stage.DOWNLINK_STARTED] = finished_ns if next_ns is None else next_ns
        bounds = {
            stage: (earliest_ns + after_ns, latest_ns + after_ns + TICK_US * NS_PER_US)
            for stage, after_ns in since_ns.items()
        }
        bounds[Stage.DELIVERED] = earliest_ns, latest_ns
        bounds[Stage.DOWNLINK_STARTED] = earliest_ns + times.finished_ns, at_ns - down_ns
        return self._with(guess, bounds, latest_ns - up_ns)

    @property
    def _left_ns(self) -> int:
        """The earliest that a frame of the question can have left."""
        return self.own[Stage.SUBMITTED] if self.interrupted else self.handed_ns

    def _with(
        self, guess: dict[Stage, int], bounds: dict[Stage, tuple[int, int]], left_by_ns: int
    ) -> Estimate:
        """`left_by_ns`: the latest that the first frame can have left. The stamp is that of the
        modelled transmitter, but a modem may be ahead of it, or hold the frame back."""
        stamps = in_order(self.own | guess)
        if Stage.UPLINK_STARTED in stamps:
            bounds = bounds | {Stage.UPLINK_STARTED: (self._left_ns, left_by_ns)}
        off_ns = (
            abs(edge_ns - stamps[stage]) for stage, edges in bounds.items() for edge_ns in edges
        )
        return Estimate(stamps, max(off_ns, default=0))
