"""Looks on from outside, and says where a promise is broken.

It sees what the machines put out and what is safe on their disks, and shares no code with them but
the names of things.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from ground.outputs import Settled, StageReached
from ground.outputs import StoreQuestion as StoreAsked
from ground.results.histogram import histograms
from ground.results.record import LoopRecord
from node.engine.events import EngineDone, EngineFirstToken, EngineStarted, JobEvent
from node.outputs import StartInference, StoreAnswer
from node.outputs import StoreQuestion as StoreTaken
from roundtrip.budget import Budget, Outcome
from roundtrip.contacts import Windows
from roundtrip.message import TICK_US, index_of
from roundtrip.modem import Side
from roundtrip.stages import STAGES, Stage
from roundtrip.units import NS_PER_S, NS_PER_US
from testbed.chaos.faults import Faults

ENOUGH_NS = 100 * NS_PER_S
"""In contact, after all is well again: then a question that expires was lost."""
ENGINE_ONLY = ("engine_failed", "quarantined")
"""Reasons of refusals that need an engine that died."""


class Checker:
    """Of one run.

    Args:
        words: what is answered to a question, in so many characters.
        faults: that the run has.
        heals_ns: from when on nothing goes wrong.
        forged: acknowledgments may be somebody else's.
    """

    def __init__(
        self,
        words: Callable[[str, int], str] | None,
        faults: Faults,
        heals_ns: int,
        *,
        forged: bool = False,
    ) -> None:
        self._forged = forged
        self._words = words
        self._faults = faults
        self._heals_ns = heals_ns
        self.broken: list[str] = []
        self._on_disk: dict[Side, set[tuple[type, int]]] = {side: set() for side in Side}
        self._settled: set[tuple[int, int]] = set()
        """Life of the ground, and question."""
        self._asked: set[int] = set()
        self._taken: set[int] = set()
        """Questions that the node has, and not yet on disk."""
        self._times: defaultdict[int, dict[Stage, int]] = defaultdict(dict)
        self._answered: defaultdict[int, list[dict[Stage, int]]] = defaultdict(list)
        """The times of each of its answers; more than one where one was lost."""
        self._shifted = False
        self._engine_died = False

    def _breaks(self, what: str, question_id: int) -> None:
        self.broken.append(f"question {index_of(question_id)}: {what}")

    # -- what happens ------------------------------------------------------------------------------

    def safe(self, side: Side, output: object) -> None:
        """An output is on a side's disk."""
        question_id = _question_of(output)
        if question_id is None:
            return
        key = type(output), question_id
        if key[0] is Settled and key in self._on_disk[side]:
            self._breaks("has two outcomes on disk", question_id)
        self._on_disk[side].add(key)
        if isinstance(output, StoreTaken):
            self._taken.discard(question_id)
            self._times[question_id][Stage.DELIVERED] = output.delivered_ns

    def lost(self, side: Side, outputs: Sequence[object]) -> None:
        """A side is gone, and its disk has these no longer, though it had said so."""
        if side is Side.NODE:
            self._taken.clear()
        for output in outputs:
            question_id = _question_of(output)
            if question_id is not None:
                self._on_disk[side].discard((type(output), question_id))

    def shifted(self) -> None:
        """The node's clock shows another time from now on."""
        self._shifted = True

    def engine_died(self) -> None:
        """The node knows that its engine is gone."""
        self._engine_died = True

    def ground(self, life: int, output: object) -> None:
        """The ground puts something out."""
        match output:
            case StoreAsked(question_id=question_id):
                self._asked.add(question_id)
            case Settled(record=record):
                question_id = record.question_id
                if (life, question_id) in self._settled:
                    self._breaks("is settled twice", question_id)
                self._settled.add((life, question_id))
                from_node = record.outcome is not Outcome.EXPIRED
                if from_node and not self._has(Side.NODE, StoreAnswer, question_id):
                    self._breaks("has a reply that the node had not on disk", question_id)
            case StageReached(stage=Stage.DELIVERED, planned=planned):
                if not self._forged and planned.index in map(index_of, self._taken):
                    self._breaks("is acknowledged and not yet on disk", planned.index)
            case _:
                pass

    def node(self, output: object) -> None:
        """The node puts something out."""
        if isinstance(output, StoreTaken):
            self._taken.add(output.question_id)
        if isinstance(output, StoreAnswer):
            times = self._times[output.question_id]
            self._answered[output.question_id].append(dict(times))
        if not isinstance(output, StartInference):
            return
        question_id = output.order.job.question.question_id
        if question_id not in self._asked:
            self._breaks("is answered and nobody asked it", question_id)
        if self._has(Side.NODE, StoreAnswer, question_id, lies_count=False):
            self._breaks("is answered a second time on board", question_id)
        if not self._has(Side.NODE, StoreTaken, question_id):
            self._breaks("is answered and was not on disk", question_id)

    def engine(self, event: JobEvent) -> None:
        """The engine says how far it is."""
        times = self._times[event.question_id]
        match event:
            case EngineStarted(at_ns=at_ns):
                times[Stage.STARTED] = at_ns
            case EngineFirstToken(at_ns=at_ns):
                times[Stage.FIRST_TOKEN] = at_ns
            case EngineDone(at_ns=at_ns):
                times[Stage.FINISHED] = at_ns
            case _:
                pass

    def _has(self, side: Side, kind: type, question_id: int, *, lies_count: bool = True) -> bool:
        """Whether it is on disk; where disks lie, it may have been."""
        there = (kind, question_id) in self._on_disk[side]
        return there or (lies_count and self._faults.lies)

    # -- how it ends -------------------------------------------------------------------------------

    def ends(
        self,
        records: Sequence[LoopRecord],
        count: int,
        budget: Budget,
        contacts: Windows,
        down_ns: int,
    ) -> list[str]:
        """Hold the outcomes against what was promised.

        Args:
            records: of the ledger.
            count: of the questions that were to be asked.
            budget: of a loop.
            contacts: when question and answer can both pass.
            down_ns: for how long the ground was down, at most.

        Returns:
            What is broken, all in all.
        """
        found = [record.planned.index for record in records]
        if sorted(found) != list(range(count)):
            missing = sorted(set(range(count)) - set(found))
            self.broken.append(f"outcomes of {len(found)} questions of {count}; none of {missing}")
        loops = histograms(records, budget).get("loop")
        if count and (loops is None or loops.total_count != len(records)):
            self.broken.append("the histogram has another count than the ledger")
        for record in records:
            self._judge(record, budget, contacts, down_ns)
        return self.broken

    def _judge(self, record: LoopRecord, budget: Budget, contacts: Windows, down_ns: int) -> None:
        question_id, text = record.question_id, record.planned.text
        words, answer = self._words, record.answer
        if words and answer is not None and answer != words(text, len(answer)):
            self._breaks(f"has another's answer: {answer[:40]!r}", question_id)
        if record.answered and record.answer is None:
            self._breaks("is answered without an answer", question_id)
        if record.loop_ns is not None and sum(record.phases_ns.values()) != record.loop_ns:
            self._breaks("has phases that do not add up to its loop", question_id)
        stamps = [record.stamps[stage] for stage in STAGES if stage in record.stamps]
        if stamps != sorted(stamps):
            self._breaks("has stamps out of order", question_id)
        if record.reason in ENGINE_ONLY and not self._engine_died:
            self._breaks(f"is refused for {record.reason}, and the engine never died", question_id)
        if record.node_times is not None and record.answered and not self._shifted:
            self._compare(record)
        due_ns = record.planned.intended_ns + budget.expire_ns
        if record.reason == "unfinished" or record.settled_ns > due_ns + down_ns:
            self._breaks("outlives its expiry", question_id)
        if record.outcome is Outcome.EXPIRED:
            self._judge_expired(record, due_ns, contacts)

    def _compare(self, record: LoopRecord) -> None:
        """The node's own times against the engine's."""
        assert record.node_times is not None
        told = record.node_times.stamps
        answers = self._answered[record.question_id]
        if not any(_agree(real, told) for real in answers):
            self._breaks(f"has the times {told}, and the engine {answers}", record.question_id)

    def _judge_expired(self, record: LoopRecord, due_ns: int, contacts: Windows) -> None:
        if record.reason == "expired" and record.settled_ns < due_ns:
            self._breaks("expires before its time", record.question_id)
        open_ns = sum(
            max(0, min(end, due_ns) - max(start, self._heals_ns)) for start, end in contacts.spans
        )
        if open_ns >= ENOUGH_NS and not self._faults.lies:
            self._breaks(f"is lost: {record.reason}", record.question_id)


def _agree(real: dict[Stage, int], told: dict[Stage, int]) -> bool:
    """Whether times since the delivery are those that were, but for the steps in which they are
    told."""
    return all(
        0 <= real[stage] - real[Stage.DELIVERED] - after_ns <= TICK_US * NS_PER_US
        for stage, after_ns in told.items()
        if stage in real and Stage.DELIVERED in real
    )


def _question_of(output: object) -> int | None:
    if isinstance(output, Settled):
        return output.record.question_id
    found = getattr(output, "question_id", None)
    return found if isinstance(found, int) else None
