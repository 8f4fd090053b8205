"""The ground station, live: machine, modem and ledger put together; asks one workload and comes
back with the records.

A ledger that was begun is gone on from: the run keeps its number and the plan's clock, by the wall
clock where the modem has lost it too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dtn.agent import BundleAgent, Transmit
from dtn.security import Security
from ground.machine import GroundMachine
from ground.outputs import (
    NodeHealth,
    Rejected,
    Settled,
    StoredQuestion,
    StorePart,
    StoreQuestion,
)
from ground.progress import Progress
from ground.record import LoopRecord
from ground.store import GroundStore, StartedRun
from ground.workload import asking_of, planned_questions
from roundtrip.drive import clock
from roundtrip.drive.actor import Actor
from roundtrip.drive.entropy import system_bytes
from roundtrip.drive.realtime import ModemPort, RealtimeClock, Worker, origin_of, unless
from roundtrip.drive.udp import SCHEME, UdpPort, udp_link
from roundtrip.errors import Stopped
from roundtrip.message import RUN_BITS, Health
from roundtrip.modem import Carrier, Hello, Side
from roundtrip.rng import substream
from roundtrip.scenario import Scenario
from roundtrip.transport import agent_config
from roundtrip.units import NS_PER_MS

REFRESH_S = 0.125


@dataclass(slots=True)
class Asked:
    """What the station brings back."""

    records: list[LoopRecord] = field(default_factory=list)
    health: Health | None = None
    charge: list[tuple[int, int]] = field(default_factory=list)
    """Of the node's battery: ns on the plan's clock, thousandths."""
    rejected: Counter[str] = field(default_factory=Counter)
    started_unix_s: int = 0
    length_s: float = 0.0
    interrupted: bool = False


class Station:
    """One run of one workload against a modem.

    Args:
        scenario, seed: what to ask, and when.
        endpoint: the modem's.
        store_path: the ledger's file.
        progress: told of everything.
        stopped: set to end the run early; what was measured is kept.
        security: secures and opens bundles; None for plain ones.
        listen: our own address, for a link over UDP.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        endpoint: str,
        store_path: Path,
        progress: Progress,
        stopped: asyncio.Event,
        security: Security | None,
        listen: str = "",
    ) -> None:
        self._scenario = scenario
        self._seed = seed
        self._endpoint = endpoint
        self._store_path = store_path
        self._progress = progress
        self._asked = Asked()
        self._run_id = int.from_bytes(system_bytes(RUN_BITS // 8), "big")
        self._begun: StartedRun | None = None
        self._recovered: list[StoredQuestion] = []
        self._actor: Actor[GroundMachine] | None = None
        self._modem: ModemPort | UdpPort | None = None
        self._store: GroundStore | None = None
        self._worker: Worker | None = None
        self._ended = stopped
        self._security = security
        self._listen = listen
        self._fault: str | None = None

    async def run(self, *, link_limit_s: float | None) -> Asked:
        """Ask everything; returns when each question has its outcome, or when stopped.

        Raises:
            EnvironmentFault: no modem answers within `link_limit_s`, or the ledger cannot be
            opened.
            Stopped: before the link was up.
        """
        self._store = GroundStore(self._store_path)
        self._worker = Worker(lambda error: self.fail(f"ledger: {error}"))
        try:
            self._recover(self._store)
            self._modem = self._open_link()
            await unless(self._ended, self._modem.wait_for_carrier(link_limit_s))
            if self._actor is None:
                raise Stopped(self._fault or "stopped before the link was up")
            with self._progress:
                await self._follow(self._actor)
        finally:
            if self._actor is not None:
                self._actor.stop()
            if self._modem is not None:
                self._modem.close()
            self._worker.close()
            self._store.close()
        assert self._begun is not None
        self._asked.started_unix_s = self._begun.dtn_epoch_ms // 1000 + clock.DTN_EPOCH_UNIX_S
        self._asked.interrupted = self._ended.is_set()
        self._asked.records.sort(key=lambda record: record.planned.index)
        return self._asked

    def _open_link(self) -> ModemPort | UdpPort:
        if not self._endpoint.startswith(SCHEME):
            return ModemPort(
                self._endpoint, self._frame, self._carrier, self._hello, self._progress.busy
            )
        link = udp_link(self._scenario.link, Side.GROUND, self._listen)
        return UdpPort(self._endpoint, link, self._frame, self._carrier, self._hello)

    def _recover(self, store: GroundStore) -> None:
        self._begun = store.started()
        if self._begun is None:
            return
        self._run_id = self._begun.run_id
        self._recovered, self._asked.records = store.recover()
        self._asked.health = store.health()
        self._progress.resumed(self._asked.records)

    async def _follow(self, actor: Actor[GroundMachine]) -> None:
        while not actor.machine.finished:
            self._progress.refresh(actor.clock.now_ns())
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._ended.wait()
            except TimeoutError:
                continue
            actor.call(actor.machine.stop, self._fault or "interrupted")
            break
        self._asked.length_s = actor.clock.now_ns() / 1e9

    def fail(self, what: str) -> None:
        """End the run because something outside has broken; what was measured is kept."""
        self._fault = what
        self._ended.set()

    def _hello(self) -> Hello:
        if self._actor is not None:
            return Hello(self._run_id, self._actor.clock.now_ns())
        if self._begun is not None:
            now_ms = clock.dtn_ms_at(clock.monotonic_ns())
            return Hello(self._run_id, max(0, now_ms - self._begun.dtn_epoch_ms) * NS_PER_MS)
        return Hello(self._run_id, None)

    def _frame(self, frame: bytes) -> None:
        if self._actor is not None:
            self._actor.call(self._actor.machine.receive, frame)

    def _carrier(self, cue: Carrier) -> bool:
        if cue.run_id != self._run_id:
            return False
        if self._actor is None:
            self._actor = self._begin(cue)
        self._progress.carrier(cue)
        self._actor.call(self._actor.machine.carrier, cue)
        return True

    def _begin(self, cue: Carrier) -> Actor[GroundMachine]:
        assert self._store is not None
        origin_ns = origin_of(cue)
        workload = self._scenario.workload
        if self._begun is None:
            self._begun = StartedRun(self._run_id, clock.dtn_ms_at(origin_ns))
            self._store.start(self._begun)
        settings = agent_config(
            Side.GROUND,
            cue,
            dtn_epoch_ms=self._begun.dtn_epoch_ms,
            max_bundles=workload.max_outstanding,
        )
        machine = GroundMachine(
            BundleAgent(
                settings,
                rng=substream(clock.monotonic_ns(), "ground/ltp"),
                security=self._security,
            ),
            planned_questions(workload, self._seed),
            asking=asking_of(workload, run_id=self._run_id, seed=self._seed),
            budget=self._scenario.budget.budget(),
            plan=self._scenario.plan(),
            recovered=self._recovered,
        )
        return Actor(RealtimeClock(origin_ns), "ground", machine, self._perform)

    def _perform(self, output: Any) -> None:
        assert self._actor is not None
        actor, machine = self._actor, self._actor.machine
        match output:
            case Transmit(frame=frame):
                assert self._modem is not None
                self._modem.send(frame)
            case StoreQuestion(question_id=question_id):
                self._store_then(output, lambda: actor.call(machine.question_stored, question_id))
            case StorePart(bundle_id=bundle_id):
                self._store_then(output, lambda: actor.call(machine.part_stored, bundle_id))
            case Settled(record=record):
                self._asked.records.append(record)
                question_id = record.question_id
                self._store_then(output, lambda: actor.call(machine.outcome_stored, question_id))
            case NodeHealth(health=health):
                self._asked.health = health
                if health.vitals is not None and health.vitals.charge_permille is not None:
                    at_ns = actor.clock.now_ns()
                    self._asked.charge.append((at_ns, health.vitals.charge_permille))
                self._store_then(output, lambda: None)
            case Rejected(reason=reason):
                self._asked.rejected[reason] += 1
            case _:
                pass
        self._progress.output(output)

    def _store_then(
        self,
        output: StoreQuestion | StorePart | Settled | NodeHealth,
        done: Callable[[], None],
    ) -> None:
        store, worker = self._store, self._worker
        assert store is not None
        assert worker is not None
        worker.submit(lambda: store.apply(output), done)
