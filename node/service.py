"""The node, live: machine, modem, store and engine put together in one process (and the engine's
own).

A cue of another run gives the node a new machine; engine and store stay.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dtn.agent import BundleAgent
from dtn.lifetime import CLOCKS_AGREE_MS
from node.beacon import Beacon
from node.board.errands import Errands
from node.board.record import ShownRecord, beside
from node.board.runner import ErrandRunner
from node.board.spacecraft import Doing
from node.body.exposure import Exposure
from node.body.guard import Guard
from node.body.health import HealthReader
from node.body.thermal import Level, ThermalPolicy
from node.bulk.flight import Flight
from node.consequences import Command, carry_out, command_of
from node.engine.bay import Bay
from node.engine.events import EngineDone, EngineMended, JobEvent
from node.engine.supervisor import EngineDown, EngineEvent, EngineUp
from node.machine import MAX_REPLIES, REPLY_LIFETIME_S, NodeMachine
from node.outputs import NodeOutput, StoreAnswer, StoreQuestion, StoreSettled, UploadCame
from node.run_config import NodeRunConfig
from node.scheduler import Order
from node.store import NodeStore
from roundtrip.anchor import Anchor
from roundtrip.bulk.wire import Have
from roundtrip.drive import clock
from roundtrip.drive.actor import Actor
from roundtrip.drive.notify import Notifier
from roundtrip.drive.realtime import (
    ModemPort,
    RealtimeClock,
    Worker,
    background,
    on_lifeline_cut,
    origin_of,
    stop_signals,
    unless,
)
from roundtrip.drive.udp import UdpPort
from roundtrip.errors import EnvironmentFault
from roundtrip.message import DIGEST_HEX, Health, Vitals
from roundtrip.modem import Carrier, Hello, Side
from roundtrip.node_config import NodeConfig
from roundtrip.radiation import RadiationConfig
from roundtrip.rng import substream
from roundtrip.text.packing import known, prepare
from roundtrip.transport import (
    CLOCKS_REMEDY,
    ENDPOINTS,
    MAX_REASONS,
    NO_DATE,
    agent_config,
    clocks_differ,
    with_remedy,
)
from roundtrip.units import NS_PER_MS, s_to_ns
from roundtrip.words import count

UPSETS_S = 0.2
"""How often those happen that are due."""
MAX_MENDED_SAID = 8
"""Damaged tensors that are told of one by one."""


class NodeService:
    """One node process."""

    def __init__(self, config: NodeRunConfig, report: Callable[[str], None]) -> None:
        self._config = config
        self._report = report
        self._stopped = asyncio.Event()
        self._failure: BaseException | None = None
        self._actor: Actor[NodeMachine] | None = None
        self._run_id: int | None = None
        self._origin_ns = 0
        self._gone: EngineDown | None = None
        self._rejected: set[str] = set()
        self._mended = 0
        self._store: NodeStore | None = None
        self._worker: Worker | None = None
        self._modem: ModemPort | UdpPort | None = None
        self._bay = Bay(self._engine_event, self._say)
        self._flight = Flight(
            config.node, config.store_path, ENDPOINTS[Side.NODE], config.signing, self._bay, self,
            self._say,
        )  # fmt: skip
        self._held = False
        self._untold: list[Have] = []
        self._notifier = Notifier(os.environ)
        self._policy = ThermalPolicy(config.node.thermal)
        self._guard: Guard | None = None
        self._watch: asyncio.Task[None] | None = None
        self._exposed: asyncio.Task[None] | None = None
        self._threads = 1
        """Of the engine, while it is cool."""
        self._reader: HealthReader | None = None
        self._measuring: Worker | None = None
        self._up: EngineUp | None = None
        shown = ShownRecord(beside(config.store_path))
        errands = Errands(config.board(self._doing, shown.keep), config.node.tools)
        self._errands = ErrandRunner(errands, self._now_ns, self._tell)

    async def run(self, *, lifeline: bool) -> None:
        """Answer questions until told to stop by a signal or the end of stdin.

        Raises:
            BadModel: the model is missing, damaged, not a Qwen3, or does not fit.
            EnvironmentFault: no modem answers, or the store cannot be opened.
        """
        node = self._flight.accept()
        try:
            with stop_signals(self.stop):
                if lifeline:
                    on_lifeline_cut(sys.stdin.fileno(), self.stop)
                await unless(self._stopped, self._set_up(node))
                await self._stopped.wait()
        finally:
            await self._close()
        if self._failure is not None:
            raise EnvironmentFault(
                "node store", str(self._failure), "free the disk and start the node again"
            )

    def stop(self) -> None:
        """End `run`."""
        self._stopped.set()

    async def _set_up(self, node: NodeConfig) -> None:
        config = self._config
        self._store = NodeStore(config.store_path, self._say)
        self._worker = Worker(self._store_failed)
        prepare()
        self._up = await self._bay.start(node)
        assert self._bay.supervisor is not None
        self._errands.begin(self._bay.supervisor)
        if self._up.note:
            self._report(f"node: {self._up.note}")
        self._threads = self._up.threads
        self._report(
            f"node: engine ready, {count(self._up.threads, 'thread')}, "
            f"{count(self._up.sequences, 'question')} at once, waiting for the link"
        )
        self._look_after()
        self._flight.begin(self._store_failed)
        hooks = self._frame, self._carrier, self._hello

        def on_busy() -> None:
            self._report("node: the link is busy with another node; waiting")

        if config.by_udp:
            self._modem = UdpPort(config.endpoint, config.udp, *hooks)
        else:
            self._modem = ModemPort(config.endpoint, *hooks, on_busy)
        await self._modem.wait_for_carrier(config.link_limit_s)

    def _look_after(self) -> None:
        """From now on: heartbeat, temperature, vitals, and the word to systemd that we are up."""
        enforcer = self._bay.enforcer
        groups = enforcer.plan.folders if enforcer is not None else ()
        self._reader = HealthReader([folder / "cpu.stat" for folder in groups])
        self._measuring = Worker(self._store_failed)
        self._guard = Guard(self._bay, self._policy, self._notifier, self._temperature_level)
        self._watch = background(self._guard.run())
        if (radiation := self._config.node.radiation) is not None and radiation.rate:
            self._exposed = background(self._radiate(radiation))
        self._notifier.tell("READY=1", "STATUS=the engine is ready")

    async def _radiate(self, radiation: RadiationConfig) -> None:
        """Let upsets happen to the store's file, and to the bundles that wait."""

        def strike(bit: int) -> None:
            if self._actor is not None:
                self._actor.call(self._actor.machine.upset, bit)

        rng = substream(radiation.seed, "node/store and queue/upsets")
        store, now_ns = self._config.store_path, clock.monotonic_ns()
        exposure = Exposure(radiation.rate, rng, store, strike, now_ns=now_ns)
        while True:
            await asyncio.sleep(UPSETS_S)
            exposure.happen(clock.monotonic_ns())

    def _say(self, line: str) -> None:
        self._report(f"node: {line}")

    def _store_failed(self, error: BaseException) -> None:
        self._failure = error
        self.stop()

    # -- the link ----------------------------------------------------------------------------------

    def _hello(self) -> Hello:
        if not self._config.by_udp:
            return Hello(self._run_id, None)
        assert self._store is not None
        now, anchor, elapsed_ns = clock.reading(), self._store.anchor(), 0
        if self._config.trusted_clock and now.dtn_ms <= 0:
            self._say(NO_DATE)
        if anchor is not None:
            resumed = anchor.resumed(now, last_ns=self._store.last_ns(), by_date=False)
            elapsed_ns = resumed.elapsed_ns
            if resumed.note:
                self._say(resumed.note)
        epoch_ms = now.epoch_ms(elapsed_ns) if self._config.trusted_clock else 0
        return Hello(None, elapsed_ns, epoch_ms)

    def _frame(self, frame: bytes) -> None:
        if self._actor is not None:
            self._actor.call(self._actor.machine.receive, frame)

    def _carrier(self, cue: Carrier) -> bool:
        if cue.run_id != self._run_id:
            self._begin(cue)
        assert self._actor is not None
        self._actor.call(self._actor.machine.carrier, cue)
        return True

    def _begin(self, cue: Carrier) -> None:
        assert self._store is not None
        if self._actor is not None:
            self._actor.stop()
        self._errands.clear()
        self._run_id = cue.run_id
        self._origin_ns = origin_ns = origin_of(cue)
        by_udp = self._config.by_udp
        if by_udp:
            self._store.keep_anchor(Anchor(cue.host, origin_ns, cue.dtn_epoch_ms))
        else:
            self._compare_clocks(cue)
        settings = agent_config(Side.NODE, cue, max_bundles=MAX_REPLIES, shared_clock=not by_udp)
        agent = BundleAgent(
            settings,
            rng=substream(clock.monotonic_ns(), "node/ltp"),
            security=self._config.security,
        )
        recovered, damaged = self._store.recover(cue.run_id or None)
        agent.remember(self._store.seen())
        machine = NodeMachine(
            agent,
            queue=self._config.node.queue,
            lifetime_ms=REPLY_LIFETIME_S * 1000,
            plan=self._config.plan,
            policy=self._config.node.policy,
            recovered=recovered,
            damaged=damaged,
            beacon=Beacon(s_to_ns(self._config.node.beacon_s), self._config.los_ns),
            battery=self._config.battery(),
        )
        self._actor = Actor(RealtimeClock(origin_ns), "node", machine, self._perform)
        if self._up is not None:
            up = self._up
            self._actor.call(machine.engine_up, self._health(up), up.sequences, up.speed)
        elif self._gone is not None:
            self._actor.call(machine.engine_down, self._gone.reason, final=True)
        self._pause()
        for have in self._untold:
            self._actor.call(machine.upload_does, have)
        self._untold.clear()

    def _compare_clocks(self, cue: Carrier) -> None:
        """Say where this machine's date is not the run's."""
        ahead_ms = cue.dtn_epoch_ms + cue.elapsed_ns // NS_PER_MS - clock.reading().dtn_ms
        if cue.dtn_epoch_ms and abs(ahead_ms) > CLOCKS_AGREE_MS:
            self._say(f"{clocks_differ(Side.GROUND, ahead_ms)}; the run goes by the ground's")

    def _health(self, up: EngineUp, vitals: Vitals | None = None) -> Health:
        model = self._bay.model
        assert model is not None
        return Health(
            model=up.model or model.title,
            quantization=model.quantization,
            context=up.context,
            threads=up.threads,
            engine_restarts=up.restarts,
            vitals=vitals,
            texts=known(),
            sha256=model.sha256[:DIGEST_HEX],
        )

    def _temperature_level(self, level: Level) -> None:
        threads = self._policy.threads(self._threads)
        self._say(f"the processor is {'too hot' if level else 'cool again'}: {level.name.lower()}")
        if threads and self._bay.supervisor is not None:
            self._bay.supervisor.set_threads(threads)
        self._pause()

    def _pause(self) -> None:
        if self._actor is not None:
            paused = self._held or self._policy.level is Level.PAUSED
            self._actor.call(self._actor.machine.pause, paused)

    # -- the hands of the machine ------------------------------------------------------------------

    def _perform(self, output: NodeOutput) -> None:
        assert self._actor is not None
        carry_out(output, self._actor.machine, self)

    def send(self, frame: bytes) -> None:
        """Give a frame to the modem."""
        assert self._modem is not None
        self._modem.send(frame)

    def store(
        self,
        output: StoreQuestion | StoreAnswer | StoreSettled,
        command: Command | None,
        *args: Any,
    ) -> None:
        """Put it on disk, then give the machine the command, if it is still the same machine."""
        store, worker, actor = self._store, self._worker, self._actor
        assert store is not None
        assert worker is not None
        assert actor is not None

        def done() -> None:
            if command is not None and actor is self._actor:
                actor.call(command, *args)

        worker.submit(lambda: store.apply(output), done)

    def infer(self, order: Order) -> None:
        """Have the engine answer."""
        self._errands.infer(order)

    def cut(self, question_id: int) -> None:
        """Have the engine end an answer now."""
        self._errands.cut(question_id)

    def _now_ns(self) -> int:
        assert self._actor is not None
        return self._actor.clock.now_ns()

    def _doing(self) -> Doing:
        if self._actor is None:
            return Doing()
        return self._actor.machine.doing(now_ns=self._now_ns())

    def _tell(self, event: JobEvent, by_engine: bool) -> None:
        if self._actor is not None:
            origin_ns = self._origin_ns if by_engine else 0
            self._actor.call(command_of(event, self._actor.machine, origin_ns=origin_ns))

    def rejected(self, reason: str) -> None:
        """Say, once for each reason, that something was not taken."""
        if reason not in self._rejected and len(self._rejected) < MAX_REASONS:
            self._rejected.add(reason)
            self._say(f"not taken: {with_remedy(reason)}")

    def clocks_differ(self, ground_ahead_ms: int) -> None:
        """Say that the ground's clock shows another time."""
        self._say(f"{clocks_differ(Side.GROUND, ground_ahead_ms)}; {CLOCKS_REMEDY}")

    def measure(self) -> None:
        """Measure on a thread, then let the machine say it."""
        supervisor = self._bay.supervisor
        reader, worker, up = self._reader, self._measuring, self._up
        actor = self._actor
        if reader is None or worker is None or supervisor is None or up is None or actor is None:
            return
        pid, threads = supervisor.pid, self._policy.threads(up.threads)
        found: list[Vitals] = []

        def tell() -> None:
            vitals = found[0]
            if self._config.node.radiation is not None:
                vitals = replace(vitals, mended=self._mended)
            actor.call(actor.machine.beacon, self._health(up, vitals))

        def measured() -> Vitals:
            engine_mb = self._flight.memory_bytes // 1_000_000
            vitals = reader.read(pid, threads)
            return replace(vitals, engine_mb=engine_mb, room_mb=self._flight.room_mb)

        worker.submit(lambda: found.append(measured()), tell)

    # -- uploads -----------------------------------------------------------------------------------

    def take_upload(self, came: UploadCame) -> None:
        """Have the vault take it, then give the machine `upload_taken`."""
        self._flight.take(came)

    def roll_back(self, reason: str) -> None:
        """Have the model fly that flew before."""
        self._flight.roll_back(reason)

    def taken(self, came: UploadCame, reply: Have | None) -> None:
        """Tell the machine that a message was taken."""
        if self._actor is not None:
            self._actor.call(self._actor.machine.upload_taken, came.bundle_id, reply)

    def does(self, have: Have) -> None:
        """Tell the machine how an upload does; before there is one, it waits for it."""
        if self._actor is None:
            self._untold.append(have)
        else:
            self._actor.call(self._actor.machine.upload_does, have)

    def hold(self, held: bool) -> None:
        """Have the machine begin no question, or go on."""
        self._held = held
        self._pause()

    @property
    def busy(self) -> bool:
        """Whether a question is being answered."""
        return self._actor is not None and self._actor.machine.is_busy

    def changed(self, up: EngineUp) -> None:
        """Another engine answers from now on."""
        assert self._bay.supervisor is not None
        self._errands.begin(self._bay.supervisor)
        self._up, self._threads = up, up.threads
        if self._actor is not None:
            machine, health = self._actor.machine, self._health(up)
            self._actor.call(machine.engine_changed, health, up.sequences, up.speed)

    # -- what the engine says ----------------------------------------------------------------------

    def _engine_event(self, event: EngineEvent) -> None:
        match event:
            case EngineUp():
                self._up = event
                if self._actor is not None:
                    machine = self._actor.machine
                    health = self._health(event)
                    self._actor.call(machine.engine_up, health, event.sequences, event.speed)
            case EngineDown(reason=reason, final=final):
                self._up = None
                self._errands.clear()
                self._report(f"node: the engine died: {reason}" + (", for good" if final else ""))
                final = final and not self._flight.died(reason)
                self._gone = event if final else None
                if self._actor is not None:
                    self._actor.call(self._actor.machine.engine_down, reason, final=final)
            case EngineMended():
                self._note_mended(event)
            case _:
                if isinstance(event, EngineDone):
                    peak_bytes = event.result.rss_peak_bytes + _own_rss_peak_bytes()
                    event = replace(event, result=replace(event.result, rss_peak_bytes=peak_bytes))
                if self._actor is not None:
                    self._errands.heard(event)

    def _note_mended(self, event: EngineMended) -> None:
        self._mended += 1
        if self._mended <= MAX_MENDED_SAID:
            self._say(
                f"{event.tensor} was damaged; read again from {event.source}, and "
                f"{count(event.again, 'question')} begun anew"
            )
        if self._mended == MAX_MENDED_SAID:
            self._say("further ones are only counted, in the beacons")

    async def _close(self) -> None:
        self._notifier.tell("STOPPING=1")
        for task in (self._watch, self._exposed):
            if task is not None:
                task.cancel()
        if self._actor is not None:
            self._actor.stop()
        if self._modem is not None:
            self._modem.close()
        self._errands.clear()
        self._flight.close()
        await self._bay.stop()
        if self._measuring is not None:
            self._measuring.close()
        if self._worker is not None:
            self._worker.close()
        if self._store is not None:
            self._store.close()


def _own_rss_peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
