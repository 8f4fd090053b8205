"""Ground, link and node on one event heap: a run in virtual time.

The machines are the ones that run live; the engine is replaced by measured service times, and disks
by a delay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from dtn.agent import BundleAgent
from dtn.bpsec.security import Security
from ground import consequences as ground
from ground.machine import GroundMachine
from ground.outputs import GroundOutput
from ground.results.record import LoopRecord
from ground.results.split import split_by_log
from ground.results.summary import Run
from ground.workload import asking_of, planned_questions
from link_sim.link import Cue, Deliver, Link
from node import consequences as node
from node.beacon import Beacon, los_of
from node.body.energy import Battery, battery_of
from node.engine.events import JobEvent
from node.machine import MAX_REPLIES, REPLY_LIFETIME_S, NodeMachine
from node.outputs import NodeOutput
from node.scheduler import Order
from node.service_time import Profile, VirtualEngine
from roundtrip.drive.actor import Actor
from roundtrip.drive.virtual import VirtualClock
from roundtrip.framelog import FrameFate
from roundtrip.keys import link_security, new_keys
from roundtrip.message import Health, Vitals
from roundtrip.modem import Side
from roundtrip.rng import substream
from roundtrip.scenario import Scenario
from roundtrip.trace import Trace
from roundtrip.transport import agent_config
from roundtrip.units import NS_PER_S, ns_to_s, s_to_ns

DTN_EPOCH_MS = 820_540_800_000
"""2026-01-01 00:00:00 UTC in DTN time: the date of every virtual run."""

CHARGE_SAMPLES = 400
"""Of the battery, in a run of full length."""


@dataclass(slots=True)
class _Collected:
    records: list[LoopRecord] = field(default_factory=list)
    fates: list[FrameFate] = field(default_factory=list)
    health: Health | None = None
    rejected: Counter[str] = field(default_factory=Counter)
    charge: list[tuple[int, int]] = field(default_factory=list)


class World:
    """One virtual run.

    Args:
        scenario: what happens.
        seed: of every random stream.
        profile: the engine's service times.
        trace: told of every output of every machine.
        plain: neither sign nor encrypt.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        profile: Profile,
        trace: Trace | None = None,
        *,
        plain: bool = False,
    ) -> None:
        self._scenario = scenario
        self._seed = seed
        self._clock = VirtualClock()
        self._ground_hands = _GroundHands(self)
        self._node_hands = _NodeHands(self)
        part_ns = s_to_ns(scenario.node.part_s)
        engine = VirtualEngine(profile, substream(seed, "node/service"), part_ns)
        self.engine = Actor(self._clock, "engine", engine, self._from_engine, trace)
        self.out = _Collected()
        link = Link(scenario, seed)
        self.link = Actor(self._clock, "link", link, self._from_link, trace)
        ground_cue = link.cue(Side.GROUND, now_ns=0).carrier
        node_cue = link.cue(Side.NODE, now_ns=0).carrier
        workload = scenario.workload
        planned = [replace(p, expected=None) for p in planned_questions(workload, seed)]
        self._last_intended_ns = planned[-1].intended_ns
        self.ground = Actor(
            self._clock,
            "ground",
            GroundMachine(
                BundleAgent(
                    agent_config(
                        Side.GROUND,
                        ground_cue,
                        dtn_epoch_ms=DTN_EPOCH_MS,
                        max_bundles=workload.max_outstanding,
                    ),
                    rng=substream(seed, "ground/ltp"),
                    security=None if plain else _security(Side.GROUND, seed),
                ),
                planned,
                asking=asking_of(workload, run_id=seed, seed=seed),
                budget=scenario.budget.budget(),
                plan=scenario.plan(),
            ),
            self._from_ground,
            trace,
        )
        self._length_ns = scenario.budget.budget().expire_ns + self._last_intended_ns + 1
        self._battery = battery_of(scenario, profile.power, self._length_ns)
        self.node = Actor(
            self._clock,
            "node",
            NodeMachine(
                BundleAgent(
                    agent_config(
                        Side.NODE, node_cue, dtn_epoch_ms=DTN_EPOCH_MS, max_bundles=MAX_REPLIES
                    ),
                    rng=substream(seed, "node/ltp"),
                    security=None if plain else _security(Side.NODE, seed),
                ),
                queue=scenario.node.queue,
                lifetime_ms=REPLY_LIFETIME_S * 1000,
                plan=scenario.plan(),
                policy=scenario.node.policy,
                beacon=Beacon(s_to_ns(scenario.node.beacon_s), los_of(scenario)),
                battery=self._battery,
            ),
            self._from_node,
            trace,
        )

    def run(self) -> Run:
        """Run until every question has its outcome."""
        profile = self.engine.machine.profile
        self.link.call(self.link.machine.start)
        sequences = self._scenario.node.sequences or profile.at_once()
        self.node.call(self.node.machine.engine_up, self.node_health(), sequences, profile.speed())
        if self._battery is not None:
            self._sample(self._battery)
        self._clock.run(lambda: self.ground.machine.finished, limit_ns=self._length_ns)
        if not self.ground.machine.finished:
            self.ground.call(self.ground.machine.stop, "unfinished")
        records = sorted(self.out.records, key=lambda record: record.planned.index)
        return Run(
            self._scenario,
            self._seed,
            "virtual",
            split_by_log(records, self.out.fates),
            self.out.health,
            self.out.fates,
            0,
            ns_to_s(self._clock.now_ns()),
            False,
            dict(sorted(self.out.rejected.items())),
            self.out.charge,
        )

    def _sample(self, battery: Battery) -> None:
        """Note the charge, a few hundred times in a run."""
        now_ns = self._clock.now_ns()
        battery.advance(now_ns)
        self.out.charge.append((now_ns, round(battery.charge_share * 1000)))
        every_ns = max(self._length_ns // CHARGE_SAMPLES, NS_PER_S)
        self._clock.call_at(now_ns + every_ns, lambda: self._sample(battery))

    def node_health(self, vitals: Vitals | None = None) -> Health:
        profile, node = self.engine.machine.profile, self._scenario.node
        return Health(profile.model, profile.quantization, node.context, profile.threads, 0, vitals)

    def _from_link(self, output: Any) -> None:
        match output:
            case Deliver(side=Side.NODE, frame=frame):
                self.node.call(self.node.machine.receive, frame)
            case Deliver(side=Side.GROUND, frame=frame):
                self.ground.call(self.ground.machine.receive, frame)
            case Cue(side=Side.NODE, carrier=carrier):
                self.node.call(self.node.machine.carrier, carrier)
            case Cue(side=Side.GROUND, carrier=carrier):
                self.ground.call(self.ground.machine.carrier, carrier)
            case FrameFate():
                self.out.fates.append(output)

    def _from_ground(self, output: GroundOutput) -> None:
        ground.carry_out(output, self.ground.machine, self._ground_hands)

    def _from_node(self, output: NodeOutput) -> None:
        node.carry_out(output, self.node.machine, self._node_hands)

    def _from_engine(self, event: JobEvent) -> None:
        self.node.call(node.command_of(event, self.node.machine))

    def after_store(self, actor: Actor[Any], command: Callable[..., Any], *args: Any) -> None:
        """Give a machine a command when its disk has taken something."""
        at_ns = self._clock.now_ns() + self.engine.machine.store_ns
        self._clock.call_at(at_ns, lambda: actor.call(command, *args))


class _GroundHands:
    """Carries out what the ground's machine puts out, on the event heap."""

    def __init__(self, world: World) -> None:
        self._world = world

    def send(self, frame: bytes) -> None:
        link = self._world.link
        link.call(link.machine.send, Side.GROUND, frame)

    def store(self, output: object, command: ground.Command | None, *args: Any) -> None:
        if command is not None:
            self._world.after_store(self._world.ground, command, *args)

    def settled(self, record: LoopRecord) -> None:
        self._world.out.records.append(record)

    def health(self, health: Health) -> None:
        self._world.out.health = health

    def rejected(self, reason: str) -> None:
        self._world.out.rejected[reason] += 1


class _NodeHands:
    """Carries out what the node's machine puts out, on the event heap."""

    def __init__(self, world: World) -> None:
        self._world = world

    def send(self, frame: bytes) -> None:
        link = self._world.link
        link.call(link.machine.send, Side.NODE, frame)

    def store(self, output: object, command: node.Command | None, *args: Any) -> None:
        if command is not None:
            self._world.after_store(self._world.node, command, *args)

    def infer(self, order: Order) -> None:
        engine = self._world.engine
        engine.call(engine.machine.infer, order)

    def cut(self, question_id: int) -> None:
        engine = self._world.engine
        engine.call(engine.machine.cut, question_id)

    def measure(self) -> None:
        world = self._world
        profile = world.engine.machine.profile
        vitals = Vitals(round(profile.rss_peak_mb * 1e6), threads=profile.threads)
        world.node.call(world.node.machine.beacon, world.node_health(vitals))

    def rejected(self, reason: str) -> None:
        pass  # the ground counts what a run reports


def _security(side: Side, seed: int) -> Security:
    """As live, with keys and initialisation vectors that are no secret."""
    keys = new_keys(substream(seed, "keys").randbytes)
    return link_security(keys, side, random_bytes=substream(seed, f"{side.value}/iv").randbytes)
