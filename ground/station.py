"""The ground station, live: machine, modem and ledger put together; asks one workload and comes
back with the records.

A ledger that was begun is gone on from: the run keeps its number, the plan's clock and its date;
see `Anchor` for how the clock is found where the modem has lost it too.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dtn.agent import BundleAgent
from dtn.bpsec.security import Security
from ground.books import Books, Seen
from ground.bulk.sender import ROOM
from ground.consequences import Command, carry_out
from ground.desk import MAX_OPEN, Desk
from ground.machine import GroundMachine
from ground.notes import Notes
from ground.outputs import (
    GroundOutput,
    NodeHealth,
    Settled,
    StoredQuestion,
    StorePart,
    StoreQuestion,
)
from ground.progress import NotesOnly, Progress
from ground.results.record import LoopRecord
from ground.results.split import split_by_log
from ground.results.summary import Run
from ground.stamps import NOTHING_KNOWN, quickest
from ground.store import GroundStore, StartedRun
from ground.workload import asking_of, planned_questions
from roundtrip.anchor import Anchor
from roundtrip.bulk.wire import Have
from roundtrip.drive import clock
from roundtrip.drive.actor import Actor
from roundtrip.drive.entropy import system_bytes
from roundtrip.drive.realtime import ModemPort, RealtimeClock, Worker, origin_of, unless
from roundtrip.drive.udp import SCHEME, UdpPort, udp_link
from roundtrip.errors import GroundloopError, Stopped
from roundtrip.framelog import read_log
from roundtrip.message import RUN_BITS, Health
from roundtrip.modem import Carrier, Hello, Side
from roundtrip.rng import substream
from roundtrip.scenario import Scenario
from roundtrip.screen import Screen
from roundtrip.text import packing
from roundtrip.transport import (
    CLOCKS_REMEDY,
    MAX_REASONS,
    NO_DATE,
    OTHER_RELEASE,
    agent_config,
    clocks_differ,
    with_remedy,
)
from roundtrip.units import s_to_ns

REFRESH_S = 0.125
PRINTED_AFTER_S = 0.01


@dataclass(slots=True)
class Asked:
    """What the station brings back."""

    records: list[LoopRecord] = field(default_factory=list)
    health: Health | None = None
    charge: list[tuple[int, int]] = field(default_factory=list)
    """Of the node's battery: ns on the plan's clock, thousandths."""
    rejected: Counter[str] = field(default_factory=Counter)
    air: dict[str, dict[str, int]] | None = None
    """What the bytes on the air were for, see `ground.air`."""
    node_ahead_ms: int | None = None
    """How far the node's clock is ahead; None where nothing shows that it differs."""
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
        trusted_clock: this machine knows the time.
        desk: questions may come there at any time: the station stands until it is stopped, and
            what is open then stays open for the next one.
        books: of a station that stands.
        workload: the scenario's workload is asked.
        grade: says of records whether their answers are right, where it knows what was seen.
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
        *,
        trusted_clock: bool = True,
        desk: Desk | None = None,
        books: Books | None = None,
        workload: bool = True,
        grade: Callable[[LoopRecord], LoopRecord] | None = None,
    ) -> None:
        self._desk = desk
        self._grade = grade
        self._books = books
        self._writing: asyncio.Future[None] | None = None
        self._planned = planned_questions(scenario.workload, seed) if workload else []
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
        self._trusted_clock = trusted_clock
        self._resumed_ns = 0
        """Where the plan's clock of an interrupted run was when this process began."""
        self._resumed_at_ns = 0
        self._fault: str | None = None

    async def run(self, *, link_limit_s: float | None) -> Asked:
        """Ask everything; returns when each question has its outcome, or when stopped.

        Raises:
            EnvironmentFault: no modem answers within `link_limit_s`, or the ledger cannot be
            opened.
            Stopped: before the link was up.
        """
        self._store = GroundStore(self._store_path, self._progress.note)
        self._worker = Worker(lambda error: self.fail(f"ledger: {error}"))
        packing.prepare()
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
        if self._books is not None:
            await self._last_books(self._books, self._actor.clock.now_ns())
        assert self._begun is not None
        epoch_ms = self._begun.anchor.epoch_ms
        self._asked.started_unix_s = epoch_ms // 1000 + clock.DTN_EPOCH_UNIX_S if epoch_ms else 0
        self._asked.interrupted = self._ended.is_set()
        self._asked.records.sort(key=lambda record: record.planned.index)
        return self._asked

    @property
    def _by_udp(self) -> bool:
        return self._endpoint.startswith(SCHEME)

    def _open_link(self) -> ModemPort | UdpPort:
        if not self._by_udp:
            return ModemPort(
                self._endpoint, self._frame, self._carrier, self._hello, self._progress.busy
            )
        link = udp_link(self._scenario.link, Side.GROUND, self._listen)
        return UdpPort(self._endpoint, link, self._frame, self._carrier, self._hello)

    def _recover(self, store: GroundStore) -> None:
        self._begun = store.started()
        if self._begun is None:
            if self._trusted_clock and clock.reading().dtn_ms <= 0:
                self._progress.note(NO_DATE)
            return
        self._run_id = self._begun.run_id
        self._recovered, self._asked.records = store.recover()
        self._asked.health = store.health()
        unsettled = sum(not stored.settled for stored in self._recovered)
        self._progress.resumed(self._asked.records, unsettled)
        known = [stored.asked_ns for stored in self._recovered]
        known += [record.settled_ns for record in self._asked.records]
        now = clock.reading()
        resumed = self._begun.anchor.resumed(now, last_ns=max(known, default=0), by_date=True)
        self._resumed_ns, self._resumed_at_ns = resumed.elapsed_ns, now.monotonic_ns
        self._progress.note(resumed.note)

    async def _follow(self, actor: Actor[GroundMachine]) -> None:
        while not actor.machine.finished:
            self._progress.refresh(actor.clock.now_ns())
            self._close_books(actor.clock.now_ns())
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._ended.wait()
            except TimeoutError:
                continue
            if self._desk is None:
                actor.call(actor.machine.stop, self._fault or "interrupted")
            break
        self._asked.air = actor.machine.air
        self._asked.length_s = actor.clock.now_ns() / 1e9

    def _close_books(self, now_ns: int) -> None:
        """Have the runs written that are over."""
        if self._books is None or self._writing is not None or not self._books.over(now_ns):
            return
        self._writing = asyncio.ensure_future(self._write(self._books, now_ns, stopped=False))
        self._writing.add_done_callback(self._books_closed)

    def _books_closed(self, _: asyncio.Future[None]) -> None:
        self._writing = None

    async def _write(self, books: Books, now_ns: int, *, stopped: bool) -> None:
        """On a thread of its own; what fails is said, and stays in the ledger for the next time."""
        asked = self._asked
        seen = Seen(asked.health, asked.charge, asked.rejected, asked.node_ahead_ms)
        asked.charge, asked.rejected = [], Counter()
        try:
            await asyncio.to_thread(books.write, self._store_path, now_ns, seen, stopped=stopped)
        except (OSError, sqlite3.Error, GroundloopError) as error:
            self._progress.note(f"a run was not written: {error}")

    async def _last_books(self, books: Books, now_ns: int) -> None:
        """What there is of the present run, when the station is stopped."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        await self._write(books, now_ns, stopped=True)

    def fail(self, what: str) -> None:
        """End the run because something outside has broken; what was measured is kept."""
        self._fault = what
        self._ended.set()

    def _hello(self) -> Hello:
        if self._actor is not None:
            assert self._begun is not None
            return Hello(self._run_id, self._actor.clock.now_ns(), self._begun.anchor.epoch_ms)
        if self._begun is not None:
            since_ns = clock.monotonic_ns() - self._resumed_at_ns
            return Hello(self._run_id, self._resumed_ns + since_ns, self._begun.anchor.epoch_ms)
        if not self._trusted_clock:
            return Hello(self._run_id, None, 0)
        standing = self._desk is not None and not self._planned
        under_way_ns = self._under_way_ns() if standing else None
        return Hello(self._run_id, under_way_ns, clock.reading().epoch_ms(under_way_ns or 0))

    def _under_way_ns(self) -> int | None:
        """How long the plan of a station that stands has been under way by the clock, where it is
        of an orbit and today's."""
        orbit = self._scenario.orbit
        if orbit is None:
            return None
        since_s = clock.unix_s() - orbit.start.timestamp()
        return s_to_ns(since_s) if 0 <= since_s < orbit.hours * 3600 else None

    def _frame(self, frame: bytes) -> None:
        if self._actor is not None:
            self._actor.call(self._actor.machine.receive, frame)

    def _carrier(self, cue: Carrier) -> bool:
        if cue.run_id != self._run_id:
            return False
        if self._actor is None:
            self._actor = self._begin(cue)
        self._progress.carrier(cue)
        if self._desk is not None:
            self._desk.carrier(cue)
            if self._desk.uplink is not None:
                self._desk.uplink.carrier(cue)
        self._actor.call(self._actor.machine.carrier, cue)
        return True

    def _begin(self, cue: Carrier) -> Actor[GroundMachine]:
        assert self._store is not None
        origin_ns = origin_of(cue)
        workload = self._scenario.workload
        anchor = Anchor(clock.host_id(), origin_ns, cue.dtn_epoch_ms)
        self._begun = StartedRun(self._run_id, anchor)
        self._store.start(self._begun)
        if self._books is not None:
            self._books.begin(anchor.epoch_ms, self._asked.records)
            self._asked.records = []
        settings = agent_config(
            Side.GROUND,
            cue,
            max_bundles=ROOM + max(workload.max_outstanding, 0 if self._desk is None else MAX_OPEN),
            shared_clock=not self._by_udp,
        )
        machine = GroundMachine(
            BundleAgent(
                settings,
                rng=substream(clock.monotonic_ns(), "ground/ltp"),
                security=self._security,
            ),
            self._planned,
            asking=asking_of(workload, run_id=self._run_id, seed=self._seed),
            budget=self._scenario.budget.budget(),
            plan=self._scenario.plan(),
            quickest=NOTHING_KNOWN if self._by_udp else quickest(self._scenario),
            standing=self._desk is not None,
            recovered=self._recovered,
        )
        actor = Actor(RealtimeClock(origin_ns), "ground", machine, self._perform)
        if self._desk is not None:
            zero_s = cue.dtn_epoch_ms / 1000 + clock.DTN_EPOCH_UNIX_S if cue.dtn_epoch_ms else 0.0
            self._desk.recovered(self._recovered)
            self._desk.stands(actor, zero_s)
            if self._desk.uplink is not None:
                self._desk.uplink.stands(actor)
        return actor

    def _perform(self, output: GroundOutput) -> None:
        assert self._actor is not None
        if isinstance(output, Settled) and self._grade is not None:
            output = Settled(self._grade(output.record))
        carry_out(output, self._actor.machine, self)
        if self._desk is None:
            self._progress.output(output)
            return
        self._desk.output(output)
        loop = asyncio.get_running_loop()  # who asked does not wait for what is printed
        loop.call_later(PRINTED_AFTER_S, self._progress.output, output)

    def send(self, frame: bytes, *, bulk: bool) -> None:
        """Give a frame to the modem."""
        assert self._modem is not None
        self._modem.send(frame, bulk=bulk)

    def store(
        self,
        output: StoreQuestion | StorePart | Settled | NodeHealth,
        command: Command | None,
        *args: Any,
    ) -> None:
        """Put it on disk, then give the machine the command."""
        store, worker, actor = self._store, self._worker, self._actor
        assert store is not None
        assert worker is not None
        assert actor is not None

        def done() -> None:
            if command is not None:
                actor.call(command, *args)

        def write() -> None:
            store.apply(output)
            if self._books is not None and isinstance(output, Settled):
                self._books.note(output.record)

        worker.submit(write, done)

    def settled(self, record: LoopRecord) -> None:
        """A question has its outcome."""
        if self._desk is None:  # one that stands has them in its ledger
            self._asked.records.append(record)

    def health(self, health: Health) -> None:
        """The node said how it does."""
        assert self._actor is not None
        self._asked.health = health.after(self._asked.health)
        if health.vitals is not None and health.vitals.charge_permille is not None:
            at_ns = self._actor.clock.now_ns()
            self._asked.charge.append((at_ns, health.vitals.charge_permille))

    def rejected(self, reason: str) -> None:
        """Count what was not taken, and say it the first time."""
        rejected = self._asked.rejected
        if reason not in rejected and len(rejected) >= MAX_REASONS:
            reason = "others"
        if reason not in rejected:
            self._progress.note(f"not taken: {with_remedy(reason)}")
        rejected[reason] += 1
        if reason == OTHER_RELEASE:
            self.fail("the node is of another release")

    def read_piece(self, upload: bytes, number: int) -> None:
        """Read a piece of what goes up, then give the machine `piece_read` of its uploads."""
        if self._desk is not None and self._desk.uplink is not None:
            self._desk.uplink.read_piece(upload, number)

    def upload_does(self, have: Have) -> None:
        """The node says how an upload does."""
        if self._desk is not None and self._desk.uplink is not None:
            self._desk.uplink.told(have)

    def clocks_differ(self, node_ahead_ms: int) -> None:
        """The node's clock shows another time."""
        self._asked.node_ahead_ms = node_ahead_ms
        self._progress.note(f"{clocks_differ(Side.NODE, node_ahead_ms)}; {CLOCKS_REMEDY}")


async def ask(
    scenario: Scenario,
    seed: int,
    endpoint: str,
    folder: Path,
    console: Screen,
    stopped: asyncio.Event,
    *,
    security: Security | None,
    link_limit_s: float | None,
    listen: str = "",
    trusted_clock: bool = True,
    desk: Desk | None = None,
    books: Books | None = None,
    workload: bool = True,
    grade: Callable[[LoopRecord], LoopRecord] | None = None,
    on_ready: Callable[[Callable[[str], None]], None] | None = None,
) -> Asked:
    """Ask the workload, or stand; see `Station` and `Station.run`.

    `on_ready` is given the station's `fail`, for whoever watches over the other processes.
    """
    total = scenario.workload.count if workload else 0
    shown_by = NotesOnly if isinstance(console, Notes) else Progress
    progress = shown_by(console, scenario.plan(), scenario.budget.loop_s, total)
    ledger = folder / "ledger.sqlite"
    station = Station(
        scenario,
        seed,
        endpoint,
        ledger,
        progress,
        stopped,
        security,
        listen,
        trusted_clock=trusted_clock,
        desk=desk,
        books=books,
        workload=workload,
        grade=grade,
    )
    if on_ready is not None:
        on_ready(station.fail)
    return await station.run(link_limit_s=link_limit_s)


def run_of(scenario: Scenario, seed: int, asked: Asked, folder: Path) -> Run:
    """The run that a folder holds the link's log of, if there is one."""
    frames = folder / "frames.jsonl"
    fates = list(read_log(frames)) if frames.exists() else None
    return Run(
        scenario,
        seed,
        "live",
        split_by_log(asked.records, fates) if fates else asked.records,
        asked.health,
        fates,
        asked.started_unix_s,
        asked.length_s,
        asked.interrupted,
        dict(sorted(asked.rejected.items())),
        asked.charge,
        asked.air,
        asked.node_ahead_ms,
    )
