"""Two bundle agents over a simulated link in virtual time, for what the transport does when frames
are lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dtn.agent import Acknowledged, BundleAgent, BundleReceived, Transmit
from dtn.bpv7.bundle import BundleId
from link_sim.link import Cue, Deliver, Link
from roundtrip.config import ContactConfig, Direction, LinkConfig, OutageConfig
from roundtrip.drive.actor import Actor
from roundtrip.drive.virtual import VirtualClock
from roundtrip.framelog import FrameFate
from roundtrip.machine import Deadline
from roundtrip.modem import Carrier, Side
from roundtrip.rng import substream
from roundtrip.scenario import Scenario
from roundtrip.transport import agent_config
from roundtrip.workload_config import WorkloadConfig as Workload

LIFETIME_MS = 100_000_000


def scenario_of(
    *,
    rate_bps: int,
    one_way_ms: float,
    loss: float = 0.0,
    contacts: Sequence[tuple[float, float]] = (),
    outages: Sequence[tuple[float, float, str]] = (),
) -> Scenario:
    """A link that is the same in both directions; times in s."""
    direction = Direction(
        rate_bps=rate_bps, one_way_delay_ms=one_way_ms, loss=loss, queue_bytes=1 << 20
    )
    return Scenario(
        link=LinkConfig(uplink=direction, downlink=direction),
        contact=tuple(ContactConfig(start_s=start, end_s=end) for start, end in contacts),
        outage=tuple(
            OutageConfig.model_validate({"start_s": start, "end_s": end, "kind": kind})
            for start, end, kind in outages
        ),
        workload=Workload(count=1),
    )


class _End:
    """A bundle agent as a machine that accepts whatever comes."""

    def __init__(self, agent: BundleAgent) -> None:
        self.agent = agent

    def receive(self, frame: bytes, *, now_ns: int) -> list[Any]:
        outputs = self.agent.receive(frame, now_ns=now_ns)
        for output in list(outputs):
            if isinstance(output, BundleReceived):
                outputs += self.agent.accept(output.bundle.id, now_ns=now_ns)
        return outputs

    def send(self, payload: bytes, priority: int, *, now_ns: int) -> list[Any]:
        _, outputs = self.agent.send(
            payload, lifetime_ms=LIFETIME_MS, priority=priority, now_ns=now_ns
        )
        return outputs

    def carrier(self, cue: Carrier, *, now_ns: int) -> list[Any]:
        return self.agent.carrier(
            tx_up=cue.tx_up,
            rx_up=cue.rx_up,
            tx_rate_bps=cue.tx_rate_bps,
            rx_rate_bps=cue.rx_rate_bps,
            one_way_ns=cue.one_way_ns,
            now_ns=now_ns,
        )

    def timeout(self, *, now_ns: int) -> list[Any]:
        return self.agent.timeout(now_ns=now_ns)

    @property
    def deadline(self) -> Deadline | None:
        return self.agent.deadline


@dataclass
class Seen:
    """What happened, by the plan's clock in ns."""

    received: dict[BundleId, int] = field(default_factory=dict)
    """When each bundle was at the node."""
    acknowledged: dict[BundleId, int] = field(default_factory=dict)
    """When the ground knew."""
    frames: list[FrameFate] = field(default_factory=list)


class Pair:
    """Ground and node, and the link between them."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.clock = VirtualClock()
        self.seen = Seen()
        link = Link(scenario, seed, dtn_epoch_ms=10**12)
        self._link = Actor(self.clock, "link", link, self._from_link)
        self._ends = {
            side: Actor(
                self.clock,
                side.value,
                _End(
                    BundleAgent(
                        agent_config(
                            side,
                            link.cue(side, now_ns=0).carrier,
                            max_bundles=1000,
                        ),
                        rng=substream(seed, side.value),
                    )
                ),
                self._performer(side),
            )
            for side in Side
        }
        self._link.call(link.start)

    def send(self, payload: bytes, *, priority: int = 0) -> None:
        """Send a bundle from the ground now."""
        ground = self._ends[Side.GROUND]
        ground.call(ground.machine.send, payload, priority)

    def at(self, at_ns: int, action: Callable[[], None]) -> None:
        """Do something later."""
        self.clock.call_at(at_ns, action)

    def run(self, until: Callable[[], bool], *, limit_s: float) -> None:
        """Run until something is so.

        Raises:
            AssertionError: it never came to be.
        """
        done = self.clock.run(until, limit_ns=round(limit_s * 1e9))
        assert done, f"not done within {limit_s} s"

    def _performer(self, side: Side) -> Callable[[Any], None]:
        def perform(output: Any) -> None:
            match output:
                case Transmit(frame=frame):
                    self._link.call(self._link.machine.send, side, frame)
                case BundleReceived(bundle=bundle, received_ns=at_ns) if side is Side.NODE:
                    self.seen.received[bundle.id] = at_ns
                case Acknowledged(bundle_id=bundle_id, at_ns=at_ns):
                    self.seen.acknowledged[bundle_id] = at_ns

        return perform

    def _from_link(self, output: Any) -> None:
        match output:
            case Deliver(side=side, frame=frame):
                end = self._ends[side]
                end.call(end.machine.receive, frame)
            case Cue(side=side, carrier=carrier):
                end = self._ends[side]
                end.call(end.machine.carrier, carrier)
            case FrameFate():
                self.seen.frames.append(output)
