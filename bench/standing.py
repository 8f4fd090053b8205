"""A station that stands for a week of virtual time: what grows, how fast its history is found.

The machines are those of a virtual run; ledger, history, a day's runs and the node's store are
files as they are live, and so are the desk and what is shown on the terminal.
"""

from __future__ import annotations

import gc
import io
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TextIO

import psutil

from bench.row import Row
from ground import outputs as told_by_ground
from ground.books import HOUR_NS, Books, Seen
from ground.desk import Desk
from ground.history import History
from ground.outputs import Request
from ground.progress import Progress
from ground.store import GroundStore, StartedRun
from node import outputs as told_by_node
from node.service_time import load_profile
from node.store import NodeStore
from roundtrip.anchor import Anchor
from roundtrip.command import SHIPPED
from roundtrip.framelog import FrameFate, hour_log, to_line
from roundtrip.rng import substream
from roundtrip.scenario_file import load_scenario
from roundtrip.screen import Screen
from testbed.world import DTN_EPOCH_MS, World

DAYS = 7
QUESTIONS = 20_000
DAY_NS = 24 * HOUR_NS
QUERIES = ("battery", "temperature wheel", "is the", "7.1", "eps low", "nothing like it")


class _Standing:
    """The files of a station and its node, fed by a virtual run."""

    def __init__(self, folder: Path) -> None:
        self._scenario = load_scenario(SHIPPED / "geo-relay.toml")
        self._folder = folder
        self.history = History(folder / "history.sqlite")
        self.desk = Desk(self._scenario.plan().both, 120.0, self.history)
        self._books = Books(folder, self.history, self._scenario, 1, "day")
        self._books.begin(DTN_EPOCH_MS, [])
        self._ledger = folder / "ledger.sqlite"
        self._store = GroundStore(self._ledger)
        self._store.start(StartedRun(1, Anchor("", 0, DTN_EPOCH_MS)))
        self._node_store = NodeStore(folder / "node.sqlite")
        self._progress = Progress(Screen(file=io.StringIO()), self._scenario.plan(), 120.0, 0)
        self._log: TextIO | None = None
        self._hour = -1
        profile = load_profile("builtin")
        self.world = World(self._scenario, 1, profile, watch=self._told)
        self.desk.stands(self.world.ground)

    def ask(self, number: int) -> None:
        """One of the questions, in words of its own."""
        texts = self._scenario.workload.questions
        text = f"t={number}\n{texts[number % len(texts)].text}"
        self.desk.ask(Request(text))

    def _told(self, output: object) -> None:
        match output:
            case FrameFate():
                self._logged(output)
            case told_by_ground.Settled():
                self._store.apply(output)
                self._books.note(output.record)
            case told_by_ground.StoreQuestion() | told_by_ground.StorePart():
                self._store.apply(output)
            case told_by_ground.NodeHealth():
                self._store.apply(output)
            case told_by_node.StoreQuestion() | told_by_node.StoreAnswer():
                self._node_store.apply(output)
            case told_by_node.StoreSettled():
                self._node_store.apply(output)
            case _:
                pass
        if not isinstance(output, FrameFate):
            self.desk.output(output)
            self._progress.output(output)

    def _logged(self, fate: FrameFate) -> None:
        hour = fate.handed_ns // HOUR_NS
        if self._log is None or hour > self._hour:
            if self._log is not None:
                self._log.close()
            self._hour = hour
            self._log = hour_log(self._folder, hour).open("a", encoding="utf-8")
        self._log.write(to_line(fate) + "\n")

    def day(self, number: int) -> None:
        """Stand for a day, then write the one before it."""
        self.world.stand(number * DAY_NS + 2 * HOUR_NS)
        if self._log is not None:
            self._log.flush()
        self._books.write(self._ledger, number * DAY_NS + 2 * HOUR_NS, Seen(), stopped=False)

    def sizes(self) -> dict[str, int]:
        """Bytes of the files that must not grow."""
        names = ("ledger.sqlite", "node.sqlite")
        logs = sum(path.stat().st_size for path in self._folder.glob("frames-*"))
        return {name: (self._folder / name).stat().st_size for name in names} | {"frames": logs}


def rows() -> list[Row]:
    """Memory in MB, times in ms."""
    with tempfile.TemporaryDirectory() as name:
        return _rows(_Standing(Path(name)))


def _rows(it: _Standing) -> list[Row]:
    rng = substream(1, "bench/standing")
    at_ns = 0
    for number in range(QUESTIONS):
        at_ns += round(rng.expovariate(1) * DAYS * DAY_NS / QUESTIONS)
        it.world.ground.clock.call_at(at_ns, partial(it.ask, number))
    memory: list[float] = []
    for day in range(1, DAYS + 1):
        it.day(day)
        gc.collect()
        memory.append(psutil.Process().memory_info().rss / 1e6)
    asked = len(it.history)
    searches: list[float] = []
    for query in QUERIES:
        begin = time.perf_counter()
        it.history.find(query, 20)
        searches.append((time.perf_counter() - begin) * 1000)
    sizes = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in it.sizes().items())
    return [
        Row(
            f"standing {DAYS} days, {asked:,} questions: memory, last day less the first",
            memory[-1] - memory[0],
            "MB",
            20,
            False,
            f"{memory[0]:.0f} MB after the first; {sizes}",
        ),
        Row("search of that history, the slowest query", max(searches), "ms", 100, False),
    ]
