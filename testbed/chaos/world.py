"""A virtual run whose processes die at any output, with all that was not on their disks."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ground.outputs import GroundOutput
from ground.results.record import LoopRecord
from ground.store import GroundStore
from link_sim.link import Link
from node import consequences as node
from node.engine.events import JobEvent
from node.engine.stepped import SteppedEngine
from node.outputs import NodeOutput
from node.service_time import Profile
from node.store import NodeStore
from roundtrip.drive.actor import Actor, Alarm
from roundtrip.drive.virtual import VirtualClock
from roundtrip.modem import Side
from roundtrip.rng import substream
from roundtrip.scenario import Scenario
from roundtrip.units import NS_PER_S, s_to_ns
from testbed.chaos.checker import Checker
from testbed.chaos.disk import HurtDisk
from testbed.chaos.faults import HANG_NS, EngineFault, Faults, Kill, faults_of
from testbed.world import DTN_EPOCH_MS, World

IN_MEMORY = Path(":memory:")
DRAIN_NS = 300 * NS_PER_S
"""Beyond the last question's expiry, for what was down meanwhile."""


def words_of(question: str, size: int) -> str:
    """What the engine answers: it tells which question it belongs to, whatever is shown with it."""
    asked = question.rpartition("\n\n")[2]
    word = hashlib.sha256(asked.encode()).hexdigest()[:15] + " "
    return (word * (size // len(word) + 1))[:size]


class ShiftedClock:
    """The same clock, showing another time.

    Args:
        clock: the right one.
        ahead_ns: how far this one is ahead.
    """

    def __init__(self, clock: VirtualClock, ahead_ns: int) -> None:
        self._clock = clock
        self._ahead_ns = ahead_ns

    def now_ns(self) -> int:
        """What it shows."""
        return self._clock.now_ns() + self._ahead_ns

    def call_at(self, at_ns: int, callback: Callable[[], None]) -> Alarm:
        """Call back when it shows that."""
        return self._clock.call_at(at_ns - self._ahead_ns, callback)


class ChaosWorld(World):
    """One such run.

    Args:
        scenario, seed, profile: as of `World`.
        faults: None: those of the seed.
        forged: acknowledgments may be an enemy's.
        engine: as of `World`; what it says is not known beforehand, and not checked.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        profile: Profile,
        faults: Faults | None = None,
        *,
        forged: bool = False,
        engine: Callable[[], SteppedEngine] | None = None,
    ) -> None:
        last_s = scenario.workload.start_s + (
            scenario.workload.count * 60 / scenario.workload.rate_per_min
        )
        self.heals_ns = s_to_ns(last_s) + 60 * NS_PER_S
        self.faults = faults_of(seed, self.heals_ns) if faults is None else faults
        words = words_of if engine is None else None
        self.checker = Checker(words, self.faults, self.heals_ns, forged=forged)
        self.done: Counter[str] = Counter()
        """Faults, by kind."""
        self._kills = {name: list(kills) for name, kills in self.faults.kills.items()}
        self._left = {name: ones[0].after if ones else -1 for name, ones in self._kills.items()}
        self._down: set[str] = set()
        self._lives: Counter[str] = Counter()
        self._node_ahead_ns = 0
        own_clock = self.faults.own_clock
        super().__init__(
            scenario, seed, profile, shared_clock=not own_clock, words=words_of, engine=engine
        )
        self._length_ns += DRAIN_NS
        for fault in self.faults.engine:
            self._clock.call_at(fault.at_ns, partial(self._hurt_engine, fault))

    # -- what is made otherwise --------------------------------------------------------------------

    def _new_engine(self, life: int = 0) -> Actor[Any]:
        self._lives["engine"] += 1
        return super()._new_engine(self._lives["engine"] - 1)

    def _new_disk(self, side: Side) -> HurtDisk:
        return HurtDisk(
            self._clock,
            substream(self._seed, f"chaos/{side.value}/disk"),
            self.engine.machine.store_ns,
            partial(self.checker.safe, side),
        )

    def _tell_cue(self, side: Side) -> None:
        if "link" not in self._down:
            super()._tell_cue(side)

    def _over(self) -> bool:
        healed = self._clock.now_ns() >= self.heals_ns
        written = self._disk(Side.GROUND).idle
        return healed and not self._down and written and super()._over()

    def _records(self) -> Sequence[LoopRecord]:
        return self._ledger().settled()

    # -- what everybody puts out -------------------------------------------------------------------

    def _from_ground(self, output: GroundOutput) -> None:
        if "ground" not in self._down:
            self.checker.ground(self._lives["ground"], output)
            super()._from_ground(output)
            self._count("ground")

    def _from_node(self, output: NodeOutput) -> None:
        if "node" not in self._down:
            self.checker.node(output)
            super()._from_node(output)
            self._count("node")

    def _from_link(self, output: Any) -> None:
        if "link" not in self._down:
            super()._from_link(output)
            self._count("link")

    def _from_engine(self, event: JobEvent) -> None:
        self.checker.engine(event)
        command = node.command_of(event, self.node.machine, origin_ns=-self._node_ahead_ns)
        self.node.call(command)

    # -- what goes wrong ---------------------------------------------------------------------------

    def _count(self, name: str) -> None:
        self._left[name] -= 1
        if self._left[name] == 0 and self._clock.now_ns() < self.heals_ns:
            self._kill(name, self._kills[name].pop(0))

    def _kill(self, name: str, kill: Kill) -> None:
        self._down.add(name)
        self.done[f"{name} killed"] += 1
        actors: dict[str, list[Actor[Any]]] = {
            "ground": [self.ground], "node": [self.node, self.engine], "link": [self.link],
        }  # fmt: skip
        for actor in actors[name]:
            actor.stop()
        if name != "link":
            side = Side(name)
            disk = self._disk(side)
            lies = min(kill.lies, len(disk.kept))
            self.done["writes lost by a lying disk"] += lies
            self.checker.lost(side, disk.crash(lies))
        back = partial(getattr(self, f"_{name}_again"), kill)
        self._clock.call_at(self._clock.now_ns() + kill.down_ns, back)

    def _back(self, name: str) -> int:
        self._down.remove(name)
        self._lives[name] += 1
        ones = self._kills[name]
        self._left[name] = ones[0].after if ones else -1
        return self._lives[name]

    def _ground_again(self, _: Kill) -> None:
        recovered, _records = self._ledger().recover()
        self.restart_ground(self._back("ground"), recovered)

    def _node_again(self, kill: Kill) -> None:
        store = NodeStore(IN_MEMORY)
        for output in self._disk(Side.NODE).kept:
            store.apply(output)
        (recovered, _damaged), seen, last_ns = store.recover(None), store.seen(), store.last_ns()
        store.close()
        if kill.shift_ns:
            self.done["node's clock set"] += 1
            self.checker.shifted()
            now_ns = self._clock.now_ns() + self._node_ahead_ns + kill.shift_ns
            self._node_ahead_ns = max(now_ns, last_ns) - self._clock.now_ns()
        self.restart_node(self._back("node"), recovered, seen)

    def _link_again(self, _: Kill) -> None:
        life = self._back("link")
        seed = substream(self._seed, f"link{life}").getrandbits(32)
        link = Link(self._scenario, seed, dtn_epoch_ms=DTN_EPOCH_MS)
        self.link = Actor(self._clock, "link", link, self._from_link)
        self.link.call(link.start)

    def _hurt_engine(self, fault: EngineFault) -> None:
        if "node" in self._down:
            return
        self.done["engine hung" if fault.hangs else "engine died"] += 1
        self.engine.stop()
        life = self._lives["engine"]
        after_ns = HANG_NS if fault.hangs else 0
        self._clock.call_at(self._clock.now_ns() + after_ns, partial(self._engine_gone, life))
        again_ns = self._clock.now_ns() + after_ns + fault.down_ns
        self._clock.call_at(again_ns, partial(self._engine_again, life))

    def _engine_gone(self, life: int) -> None:
        if life == self._lives["engine"] and "node" not in self._down:
            self.checker.engine_died()
            self.node.call(self.node.machine.engine_down, "killed", final=False)

    def _engine_again(self, life: int) -> None:
        if life == self._lives["engine"] and "node" not in self._down:
            self.engine = self._new_engine(self._lives["node"])
            self._engine_up()

    # -- disks -------------------------------------------------------------------------------------

    def _disk(self, side: Side) -> HurtDisk:
        disk = self.disks[side]
        assert isinstance(disk, HurtDisk)
        return disk

    def _ledger(self) -> GroundStore:
        """The ground's ledger as a restart finds it."""
        store = GroundStore(IN_MEMORY)
        for output in self._disk(Side.GROUND).kept:
            store.apply(output)
        return store
