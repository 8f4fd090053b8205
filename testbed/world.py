"""Ground, link and node on one event heap: a run in virtual time.

The machines are the ones that run live; the engine is replaced by measured service times, and disks
by a delay.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from dtn.agent import BundleAgent, Transmit
from dtn.security import Security
from ground import outputs as ground
from ground.machine import GroundMachine
from ground.record import LoopRecord
from ground.results import Run
from ground.split import split_by_log
from ground.workload import asking_of, planned_questions
from link_sim.link import Cue, Deliver, Link
from node import outputs as node
from node.beacon import Beacon, MeasureVitals, los_of
from node.energy import Battery, battery_of
from node.machine import MAX_REPLIES, REPLY_LIFETIME_S, NodeMachine
from node.service_time import (
    EngineDone,
    EngineFirstToken,
    EngineStarted,
    EngineWrote,
    Profile,
    VirtualEngine,
)
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
        part_ns = s_to_ns(scenario.node.part_s)
        engine = VirtualEngine(profile, substream(seed, "node/service"), part_ns)
        self._engine = Actor(self._clock, "engine", engine, self._from_engine, trace)
        self._out = _Collected()
        link = Link(scenario, seed)
        self._link = Actor(self._clock, "link", link, self._from_link, trace)
        ground_cue = link.cue(Side.GROUND, now_ns=0).carrier
        node_cue = link.cue(Side.NODE, now_ns=0).carrier
        workload = scenario.workload
        planned = [replace(p, expected=None) for p in planned_questions(workload, seed)]
        self._last_intended_ns = planned[-1].intended_ns
        self._ground = Actor(
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
        self._node = Actor(
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
        profile = self._engine.machine.profile
        self._link.call(self._link.machine.start)
        sequences = self._scenario.node.sequences or profile.sequences
        self._node.call(self._node.machine.engine_up, self._health(), sequences, profile.speed())
        if self._battery is not None:
            self._sample(self._battery)
        self._clock.run(lambda: self._ground.machine.finished, limit_ns=self._length_ns)
        if not self._ground.machine.finished:
            self._ground.call(self._ground.machine.stop, "unfinished")
        records = sorted(self._out.records, key=lambda record: record.planned.index)
        return Run(
            self._scenario,
            self._seed,
            "virtual",
            split_by_log(records, self._out.fates),
            self._out.health,
            self._out.fates,
            0,
            ns_to_s(self._clock.now_ns()),
            False,
            dict(sorted(self._out.rejected.items())),
            self._out.charge,
        )

    def _sample(self, battery: Battery) -> None:
        """Note the charge, a few hundred times in a run."""
        now_ns = self._clock.now_ns()
        battery.advance(now_ns)
        self._out.charge.append((now_ns, round(battery.charge_share * 1000)))
        every_ns = max(self._length_ns // CHARGE_SAMPLES, NS_PER_S)
        self._clock.call_at(now_ns + every_ns, lambda: self._sample(battery))

    def _health(self, vitals: Vitals | None = None) -> Health:
        profile, node = self._engine.machine.profile, self._scenario.node
        return Health(profile.model, profile.quantization, node.context, profile.threads, 0, vitals)

    def _from_link(self, output: Any) -> None:
        match output:
            case Deliver(side=Side.NODE, frame=frame):
                self._node.call(self._node.machine.receive, frame)
            case Deliver(side=Side.GROUND, frame=frame):
                self._ground.call(self._ground.machine.receive, frame)
            case Cue(side=Side.NODE, carrier=carrier):
                self._node.call(self._node.machine.carrier, carrier)
            case Cue(side=Side.GROUND, carrier=carrier):
                self._ground.call(self._ground.machine.carrier, carrier)
            case FrameFate():
                self._out.fates.append(output)

    def _from_ground(self, output: Any) -> None:
        machine = self._ground.machine
        match output:
            case Transmit(frame=frame):
                self._link.call(self._link.machine.send, Side.GROUND, frame)
            case ground.StoreQuestion(question_id=question_id):
                self._after(
                    self._engine.machine.store_ns,
                    lambda: self._ground.call(machine.question_stored, question_id),
                )
            case ground.StorePart(bundle_id=bundle_id):
                self._after(
                    self._engine.machine.store_ns,
                    lambda: self._ground.call(machine.part_stored, bundle_id),
                )
            case ground.Settled(record=record):
                self._out.records.append(record)
                self._after(
                    self._engine.machine.store_ns,
                    lambda: self._ground.call(machine.outcome_stored, record.question_id),
                )
            case ground.NodeHealth(health=health):
                self._out.health = health
            case ground.Rejected(reason=reason):
                self._out.rejected[reason] += 1
            case _:
                pass

    def _from_node(self, output: Any) -> None:
        machine = self._node.machine
        match output:
            case Transmit(frame=frame):
                self._link.call(self._link.machine.send, Side.NODE, frame)
            case node.StoreQuestion(question_id=question_id):
                self._after(
                    self._engine.machine.store_ns,
                    lambda: self._node.call(machine.question_stored, question_id),
                )
            case node.StoreAnswer(question_id=question_id):
                self._after(
                    self._engine.machine.store_ns,
                    lambda: self._node.call(machine.answer_stored, question_id),
                )
            case node.StartInference(order=order):
                self._engine.call(self._engine.machine.infer, order)
            case node.CutInference(question_id=question_id):
                self._engine.call(self._engine.machine.cut, question_id)
            case MeasureVitals():
                profile = self._engine.machine.profile
                vitals = Vitals(round(profile.rss_peak_mb * 1e6), threads=profile.threads)
                self._node.call(machine.beacon, self._health(vitals))
            case _:
                pass

    def _from_engine(self, output: Any) -> None:
        machine = self._node.machine
        match output:
            case EngineStarted(question_id=question_id, at_ns=at_ns):
                self._node.call(machine.inference_started, question_id, at_ns)
            case EngineFirstToken(question_id=question_id, at_ns=at_ns):
                self._node.call(machine.first_token, question_id, at_ns)
            case EngineWrote(question_id=question_id, text=text):
                self._node.call(self._node.machine.wrote, question_id, text)
            case EngineDone(question_id=question_id, at_ns=at_ns, result=result):
                self._node.call(machine.inference_done, question_id, result, at_ns)

    def _after(self, delay_ns: int, callback: Any) -> None:
        self._clock.call_at(self._clock.now_ns() + delay_ns, callback)


def _security(side: Side, seed: int) -> Security:
    """As live, with keys and initialisation vectors that are no secret."""
    keys = new_keys(substream(seed, "keys").randbytes)
    return link_security(keys, side, random_bytes=substream(seed, f"{side.value}/iv").randbytes)
