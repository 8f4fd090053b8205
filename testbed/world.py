"""Ground, link and node on one event heap: a run in virtual time.

The machines are the ones that run live; the engine is replaced by measured service times, and disks
by a delay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from dtn.agent import BundleAgent
from dtn.bpsec.security import Security
from dtn.bpv7.bundle import BundleId
from ground import consequences as ground
from ground.bulk.sender import ROOM
from ground.machine import GroundMachine
from ground.outputs import GroundOutput
from ground.outputs import StoredQuestion as StoredByGround
from ground.results.record import LoopRecord
from ground.results.split import split_by_log
from ground.results.summary import Run
from ground.stamps import quickest
from ground.workload import asking_of, planned_questions
from link_sim.link import Cue, Deliver, Link
from node import consequences as node
from node.beacon import Beacon, los_of
from node.board.build import board_of
from node.board.errand_engine import ErrandEngine
from node.board.errands import Errands
from node.board.spacecraft import Doing
from node.board.view import Board, unkept
from node.body.energy import Battery, battery_of
from node.engine.events import JobEvent
from node.engine.stepped import SteppedEngine
from node.machine import MAX_REPLIES, REPLY_LIFETIME_S, NodeMachine
from node.outputs import NodeOutput
from node.outputs import StoredQuestion as StoredByNode
from node.service_time import Profile, VirtualEngine, Words, dots
from node.upset_engine import SPOILT, UpsetEngine
from roundtrip.drive import clock
from roundtrip.drive.actor import Actor
from roundtrip.drive.virtual import VirtualClock
from roundtrip.framelog import FrameFate
from roundtrip.keys import link_security, new_keys
from roundtrip.message import Health, Vitals
from roundtrip.modem import Side
from roundtrip.radiation import QUEUE_BITS
from roundtrip.rng import substream
from roundtrip.scenario import Scenario
from roundtrip.text.packing import known
from roundtrip.trace import Trace
from roundtrip.transport import agent_config
from roundtrip.units import NS_PER_MS, NS_PER_S, ns_to_s, s_to_ns
from roundtrip.upsets import Upsets
from testbed.disk import Disk, SoundDisk
from testbed.grading import check_rules, graded
from testbed.uploads import VirtualUpload
from testbed.world_hands import GroundHands, NodeHands

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
        dtn_epoch_ms: the date that the ground gives the run; 0: it does not know it.
        shared_clock: a modem tells the node the time; else its clock is its own, as over UDP.
        words: what the engine answers.
        engine: makes one that really answers; None: it takes as long as the profile says.
        watch: a ground that stands, without a workload: nothing is kept here, this is told of every
            output of ground and node and of every frame's fate.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        profile: Profile,
        trace: Trace | None = None,
        *,
        plain: bool = False,
        dtn_epoch_ms: int = DTN_EPOCH_MS,
        shared_clock: bool = True,
        words: Words = dots,
        engine: Callable[[], SteppedEngine] | None = None,
        watch: Callable[[object], None] | None = None,
    ) -> None:
        check_rules(scenario)
        self._scenario = scenario
        self._watch = watch
        self._seed = seed
        self._clock = VirtualClock()
        self._ground_hands = GroundHands(self)
        self._node_hands = NodeHands(self)
        self._profile = profile
        self._trace = trace
        self._shared_clock = shared_clock
        self._words = words
        self._real = engine
        self._shown: dict[bytes, str] = {}
        """What the model was shown."""
        planned = planned_questions(scenario.workload, seed)
        if engine is None:
            planned = [replace(one, expected=None, rule="") for one in planned]
        self._planned = planned if watch is None else []
        self.upload = None if scenario.upload is None else VirtualUpload(scenario.upload, seed)
        self._length_ns = scenario.budget.budget().expire_ns + planned[-1].intended_ns + 1
        if self.upload is not None:
            self._length_ns = max(self._length_ns, self.upload.until_ns(scenario.plan().uplink))
        self._battery = battery_of(scenario, profile.power, self._length_ns)
        keep = self._shown.__setitem__ if watch is None else unkept
        zero_ns = dtn_epoch_ms * NS_PER_MS + clock.DTN_EPOCH_UNIX_S * NS_PER_S
        board = board_of(
            scenario,
            scenario.node,
            self._doing,
            length_ns=self._length_ns,
            unix_ns=lambda now_ns: zero_ns + now_ns,
            keep=keep,
        )
        self._errands = self._new_errands(board)
        self.engine = self._new_engine()
        self.disks = {side: self._new_disk(side) for side in Side}
        self.out = _Collected()
        self._plain = plain
        link = Link(scenario, seed, dtn_epoch_ms=dtn_epoch_ms)
        self.link = Actor(self._clock, "link", link, self._from_link, trace)
        ground = self._ground_machine()
        self.ground = Actor(self._clock, "ground", ground, self._from_ground, trace)
        node = self._node_machine()
        self.node = Actor(self._clock, "node", node, self._from_node, trace)

    def _new_errands(self, board: Board) -> Errands:
        return Errands(board, self._scenario.node.tools)

    def _doing(self) -> Doing:
        return self.node.machine.doing(now_ns=self._clock.now_ns())

    def _agent(self, side: Side, life: int, max_bundles: int) -> BundleAgent:
        """Of one process; a later one on the same side has numbers of its own."""
        name = f"{side.value}{life or ''}"
        cue = self.link.machine.cue(side, now_ns=0).carrier
        return BundleAgent(
            agent_config(side, cue, max_bundles=max_bundles, shared_clock=self._shared_clock),
            rng=substream(self._seed, f"{name}/ltp"),
            security=None if self._plain else _security(side, name, self._seed),
        )

    def _ground_machine(
        self, life: int = 0, recovered: Iterable[StoredByGround] = ()
    ) -> GroundMachine:
        scenario, seed = self._scenario, self._seed
        return GroundMachine(
            self._agent(Side.GROUND, life, scenario.workload.max_outstanding + ROOM),
            self._planned,
            asking=asking_of(scenario.workload, run_id=seed, seed=seed),
            budget=scenario.budget.budget(),
            plan=scenario.plan(),
            quickest=quickest(scenario),
            standing=self._watch is not None,
            recovered=recovered,
        )

    def _node_machine(
        self,
        life: int = 0,
        recovered: Iterable[StoredByNode] = (),
        seen: Iterable[BundleId] = (),
    ) -> NodeMachine:
        scenario = self._scenario
        agent = self._agent(Side.NODE, life, MAX_REPLIES)
        agent.remember(seen)
        return NodeMachine(
            agent,
            queue=scenario.node.queue,
            lifetime_ms=REPLY_LIFETIME_S * 1000,
            plan=scenario.plan(),
            policy=scenario.node.policy,
            recovered=recovered,
            beacon=Beacon(s_to_ns(scenario.node.beacon_s), los_of(scenario)),
            battery=self._battery,
        )

    def restart_ground(self, life: int, recovered: Iterable[StoredByGround]) -> None:
        """The ground's process is gone, and another goes on with what its ledger holds."""
        self.ground.stop()
        machine = self._ground_machine(life, recovered)
        self.ground = Actor(self._clock, "ground", machine, self._from_ground, self._trace)
        self._tell_cue(Side.GROUND)
        if self.upload is not None and self.upload.begun:
            self.send_upload()

    def restart_node(
        self, life: int, recovered: Iterable[StoredByNode], seen: Iterable[BundleId] = ()
    ) -> None:
        """The node's process is gone, and its engine; others go on with what its store holds."""
        self.node.stop()
        self.engine.stop()
        self.engine = self._new_engine(life)
        machine = self._node_machine(life, recovered, seen)
        self.node = Actor(self._clock, "node", machine, self._from_node, self._trace)
        self._tell_cue(Side.NODE)
        self._engine_up()
        for have in [] if self.upload is None else self.upload.restarted():
            self.node.call(machine.upload_does, have)

    def _tell_cue(self, side: Side) -> None:
        self._from_link(self.link.machine.cue(side, now_ns=self._clock.now_ns()))

    def _new_engine(self, life: int = 0) -> Actor[Any]:
        self._errands.clear()
        engine = ErrandEngine(self._answering(life), self._errands)
        return Actor(self._clock, "engine", engine, self._from_engine, self._trace)

    def _answering(self, life: int) -> VirtualEngine | UpsetEngine | SteppedEngine:
        if self._real is not None:
            return self._real()
        part_ns = s_to_ns(self._scenario.node.part_s)
        name = f"node{life or ''}"
        rng = substream(self._seed, f"{name}/service")
        engine: VirtualEngine | UpsetEngine
        engine = VirtualEngine(self._profile, rng, part_ns, self._words)
        if (radiation := self._scenario.node.radiation) is not None:
            engine = UpsetEngine(engine, radiation, substream(self._seed, f"{name}/upsets"))
        return engine

    def _engine_up(self) -> None:
        engine = self.engine.machine
        sequences = self._scenario.node.sequences or engine.at_once()
        health, speed = self.node_health(), engine.speed()
        self.node.call(self.node.machine.engine_up, health, sequences, speed)

    @property
    def ends(self) -> bool:
        """Whether the run ends by itself, and is kept for its results."""
        return self._watch is None

    def stand(self, until_ns: int) -> None:
        """Go on until a moment; for a ground that stands."""
        if not self._clock.events:
            self._begin()
        self._clock.run(lambda: False, limit_ns=until_ns)

    def _begin(self) -> None:
        self.link.call(self.link.machine.start)
        self._engine_up()
        if self.upload is not None:
            self._clock.call_at(s_to_ns(self.upload.config.at_s), self.send_upload)
        if (radiation := self._scenario.node.radiation) is not None:
            rng = substream(self._seed, "node/queue/upsets")
            self._strike(Upsets(radiation.rate, QUEUE_BITS, rng, 0))

    def send_upload(self) -> None:
        """Have the ground send what goes up, for the first time or after a restart."""
        upload, machine = self.upload, self.ground.machine
        assert upload is not None
        activate, upload.begun = upload.config.activate, True
        begin = partial(machine.uploads.begin, upload.signed, activate=activate, paused=False)
        self.ground.call(machine.upload, begin)

    def _strike(self, upsets: Upsets) -> None:
        """Let upsets happen to the bundles that wait on the node."""
        for bit in upsets.due(self._clock.now_ns()):
            self.node.call(self.node.machine.upset, bit)
        if upsets.next_ns is not None:
            self._clock.call_at(upsets.next_ns, lambda: self._strike(upsets))

    def run(self) -> Run:
        """Run until every question has its outcome."""
        self._begin()
        if self._battery is not None:
            self._sample(self._battery)
        self._clock.run(self._over, limit_ns=self._length_ns)
        if not self.ground.machine.finished:
            self.ground.call(self.ground.machine.stop, "unfinished")
        engine = self.engine.machine.inner
        records = sorted(self._records(), key=lambda record: record.planned.index)
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
            self.ground.machine.air,
            upsets=asdict(engine.hit) if isinstance(engine, UpsetEngine) else None,
            real_engine=self._real is not None,
            upload=self._uploaded(),
        )

    def _uploaded(self) -> dict[str, Any] | None:
        """What a summary has of the upload."""
        sent = self.ground.machine.uploads
        if self.upload is None or sent.upload is None:
            return None
        return self.upload.summary(sent.upload.state, sent.sent_bytes, self._scenario.plan().uplink)

    def _over(self) -> bool:
        sent = self.ground.machine.uploads.upload
        done = self.upload is None or (sent is not None and sent.ended)
        return done and self.ground.machine.finished

    def _records(self) -> Sequence[LoopRecord]:
        if self._scenario.node.radiation is None:
            return [graded(record, self._shown) for record in self.out.records]
        return [
            replace(record, graded=SPOILT not in record.answer)
            if record.answered and record.answer is not None
            else record
            for record in self.out.records
        ]

    def _sample(self, battery: Battery) -> None:
        """Note the charge, a few hundred times in a run."""
        now_ns = self._clock.now_ns()
        battery.advance(now_ns)
        self.out.charge.append((now_ns, round(battery.charge_share * 1000)))
        every_ns = max(self._length_ns // CHARGE_SAMPLES, NS_PER_S)
        self._clock.call_at(now_ns + every_ns, lambda: self._sample(battery))

    def node_health(self, vitals: Vitals | None = None) -> Health:
        profile, node = self._profile, self._scenario.node
        return Health(
            profile.model, profile.quantization, node.context, profile.threads, 0, vitals, known()
        )

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
            case FrameFate() if self._watch is not None:
                self._watch(output)
            case FrameFate():
                self.out.fates.append(output)

    def _from_ground(self, output: GroundOutput) -> None:
        if self._watch is not None:
            self._watch(output)
        ground.carry_out(output, self.ground.machine, self._ground_hands)

    def _from_node(self, output: NodeOutput) -> None:
        if self._watch is not None:
            self._watch(output)
        node.carry_out(output, self.node.machine, self._node_hands)

    def _from_engine(self, event: JobEvent) -> None:
        self.node.call(node.command_of(event, self.node.machine))

    def _new_disk(self, side: Side) -> Disk:
        return SoundDisk(self._clock, self.engine.machine.store_ns)

    @property
    def now_ns(self) -> int:
        """The plan's clock."""
        return self._clock.now_ns()

    def after(self, delay_ns: int, then: Callable[[], None]) -> None:
        """Do something later."""
        self._clock.call_at(self._clock.now_ns() + delay_ns, then)

    def keep(
        self, side: Side, output: object, command: Callable[..., Any] | None, *args: Any
    ) -> None:
        """Put something on a side's disk, then give its machine the command."""
        actor: Actor[Any] = self.ground if side is Side.GROUND else self.node
        done = None if command is None else partial(actor.call, command, *args)
        self.disks[side].write(output, done)


def _security(side: Side, name: str, seed: int) -> Security:
    """As live, with keys and initialisation vectors that are no secret."""
    keys = new_keys(substream(seed, "keys").randbytes)
    return link_security(keys, side, random_bytes=substream(seed, f"{name}/iv").randbytes)
