"""The ground station, live: machine, modem and ledger put together; asks one workload and comes
back with the records."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dtn.agent import BundleAgent, Transmit
from ground.machine import GroundMachine
from ground.outputs import NodeHealth, Rejected, Settled, StoreOutcome, StoreQuestion
from ground.progress import Progress
from ground.record import LoopRecord
from ground.store import GroundStore
from ground.workload import asking_of, planned_questions
from roundtrip.config import Scenario
from roundtrip.drive import clock
from roundtrip.drive.actor import Actor
from roundtrip.drive.realtime import ModemPort, RealtimeClock, Worker, origin_of, stop_signals
from roundtrip.message import Health
from roundtrip.modem import Carrier, Side
from roundtrip.rng import substream
from roundtrip.transport import agent_config

REFRESH_S = 0.125


@dataclass(slots=True)
class Asked:
    """What the station brings back."""

    records: list[LoopRecord] = field(default_factory=list)
    health: Health | None = None
    rejected: Counter[str] = field(default_factory=Counter)
    length_s: float = 0.0
    interrupted: bool = False


class Station:
    """One run of one workload against a modem.

    Args:
        scenario, seed: what to ask, and when.
        endpoint: the modem's.
        store_path: the ledger's file.
        progress: told of everything.
    """

    def __init__(
        self, scenario: Scenario, seed: int, endpoint: str, store_path: Path, progress: Progress
    ) -> None:
        self._scenario = scenario
        self._seed = seed
        self._endpoint = endpoint
        self._store_path = store_path
        self._progress = progress
        self._asked = Asked()
        self._actor: Actor[GroundMachine] | None = None
        self._modem: ModemPort | None = None
        self._store: GroundStore | None = None
        self._worker: Worker | None = None
        self._ended = asyncio.Event()
        self._fault: str | None = None

    async def run(self, *, link_limit_s: float | None) -> Asked:
        """Ask everything; returns when each question has its outcome, or after `stop`.

        Raises:
            EnvironmentFault: no modem answers within `link_limit_s`, or the ledger cannot be
            opened.
        """
        self._store = GroundStore(self._store_path)
        self._worker = Worker(lambda error: self.fail(f"ledger: {error}"))
        try:
            with stop_signals(self._interrupt):
                self._modem = ModemPort(
                    self._endpoint, self._frame, self._carrier, self._elapsed_ns
                )
                await self._wait_for_link(link_limit_s)
                with self._progress:
                    await self._follow()
        finally:
            if self._actor is not None:
                self._actor.stop()
            if self._modem is not None:
                self._modem.close()
            self._worker.close()
            self._store.close()
        self._asked.interrupted = self._ended.is_set()
        self._asked.records.sort(key=lambda record: record.planned.index)
        return self._asked

    async def _wait_for_link(self, limit_s: float | None) -> None:
        assert self._modem is not None
        link = asyncio.ensure_future(self._modem.wait_for_carrier(limit_s))
        ended = asyncio.ensure_future(self._ended.wait())
        await asyncio.wait({link, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if link.done():
            await link
        else:
            link.cancel()

    async def _follow(self) -> None:
        while self._actor is not None and not self._actor.machine.finished:
            self._progress.refresh(self._actor.clock.now_ns())
            try:
                await asyncio.wait_for(self._ended.wait(), REFRESH_S)
            except TimeoutError:
                continue
            reason = "interrupted" if self._fault is None else self._fault
            self._actor.call(self._actor.machine.stop, reason)
            break
        if self._actor is not None:
            self._asked.length_s = self._actor.clock.now_ns() / 1e9

    def fail(self, what: str) -> None:
        """End the run because something outside has broken; what was measured is kept."""
        self._fault = what
        self._ended.set()

    def _interrupt(self) -> None:
        self._ended.set()

    def _elapsed_ns(self) -> int | None:
        return self._actor.clock.now_ns() if self._actor is not None else None

    def _frame(self, frame: bytes) -> None:
        if self._actor is not None:
            self._actor.call(self._actor.machine.receive, frame)

    def _carrier(self, cue: Carrier) -> None:
        if self._actor is None:
            self._begin(cue)
        assert self._actor is not None
        self._progress.carrier(cue)
        self._actor.call(self._actor.machine.carrier, cue)

    def _begin(self, cue: Carrier) -> None:
        origin_ns = origin_of(cue)
        workload = self._scenario.workload
        settings = agent_config(Side.GROUND, cue, dtn_epoch_ms=clock.dtn_ms_at(origin_ns))
        machine = GroundMachine(
            BundleAgent(settings, rng=substream(clock.monotonic_ns(), "ground/ltp")),
            planned_questions(workload, self._seed),
            asking=asking_of(workload, run_id=clock.unix_s(), seed=self._seed),
            budget=self._scenario.budget.budget(),
            plan=self._scenario.plan(),
        )
        self._actor = Actor(RealtimeClock(origin_ns), "ground", machine, self._perform)

    def _perform(self, output: Any) -> None:
        assert self._actor is not None
        actor, machine = self._actor, self._actor.machine
        self._progress.output(output)
        match output:
            case Transmit(frame=frame):
                assert self._modem is not None
                self._modem.send(frame)
            case StoreQuestion(question_id=question_id):
                self._store_then(output, lambda: actor.call(machine.question_stored, question_id))
            case StoreOutcome(question_id=question_id):
                self._store_then(output, lambda: actor.call(machine.outcome_stored, question_id))
            case Settled(record=record):
                self._asked.records.append(record)
            case NodeHealth(health=health):
                self._asked.health = health
            case Rejected(reason=reason):
                self._asked.rejected[reason] += 1
            case _:
                pass

    def _store_then(self, output: StoreQuestion | StoreOutcome, done: Callable[[], None]) -> None:
        store, worker = self._store, self._worker
        assert store is not None
        assert worker is not None
        worker.submit(lambda: store.apply(output), done)
