"""The ground station as a pure machine: the ledger of questions and their budgets.

Each question of the workload ends with exactly one outcome. A question is sent only when it is on
disk, an answer is acknowledged to the node only when it is on disk: `StoreQuestion` and `Settled`
come back as commands.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from dtn import agent as bundles
from dtn.bpv7.bundle import BundleId
from ground import outcomes
from ground.air import Air
from ground.bulk.sender import BulkOutput, ReadPiece, Sender, UploadTold
from ground.contact_watch import ContactWatch, last_chance_ns
from ground.entry import Entry
from ground.expectation import Expectation
from ground.outputs import (
    Asking,
    BudgetMissed,
    GroundOutput,
    NodeHealth,
    Rejected,
    Request,
    Settled,
    StageReached,
    StoredQuestion,
    StorePart,
    StoreQuestion,
)
from ground.parts import Parts
from ground.results.record import LoopRecord, Planned
from ground.stamps import NOTHING_KNOWN, Quickest, Stamps
from ground.timers import Due, Timers
from ground.wording import Wording
from ground.workload import planned_again, planned_now, question_of
from roundtrip import codec, message
from roundtrip.budget import Budget
from roundtrip.bulk.wire import Have, Offer, Piece, Shard, Told
from roundtrip.contacts import ContactPlan
from roundtrip.errors import BadMessage, OtherRelease
from roundtrip.machine import Deadline, earliest
from roundtrip.message import (
    Answer,
    Asked,
    Cancel,
    Health,
    Part,
    Refusal,
    Unreadable,
    index_of,
)
from roundtrip.modem import Carrier
from roundtrip.stages import Stage
from roundtrip.transport import OTHER_RELEASE, lifetime_ms, reason_of
from roundtrip.units import NS_PER_MS

CANCEL_LIFETIME_MS = 600_000


class GroundMachine:
    """Asks a workload, and keeps the ledger.

    Args:
        agent: the bundle agent of this end.
        workload: the questions, by intended time.
        asking: what they have in common.
        budget: what a loop may take.
        plan: the contact plan, for estimates and to know when no answer can come any more.
        quickest: what no frame on the link can beat, for estimates.
        standing: questions may come at any time besides; such a machine is never finished.
        recovered: what the ledger of an interrupted run holds; questions without an outcome are
            sent again with the first cue.
    """

    def __init__(
        self,
        agent: bundles.BundleAgent,
        workload: Sequence[Planned],
        *,
        asking: Asking,
        budget: Budget,
        plan: ContactPlan,
        quickest: Quickest = NOTHING_KNOWN,
        standing: bool = False,
        recovered: Iterable[StoredQuestion] = (),
    ) -> None:
        self._agent = agent
        self._asking = asking
        self._budget = budget
        self._plan = plan
        self._quickest = quickest
        known = {index_of(stored.question_id): stored for stored in recovered}
        self._to_come = deque(planned for planned in workload if planned.index not in known)
        self._queue: deque[Planned] = deque()
        self._open: dict[int, Entry] = {}
        self._by_bundle: dict[BundleId, int] = {}
        self._timers = Timers()
        self._to_accept: dict[int, BundleId] = {}
        self._contact = ContactWatch()
        self._standing = standing
        self._unsettled = len(workload)
        self._last_chance_ns = last_chance_ns(plan)
        self._to_send_again: list[int] = []
        self._wording = Wording()
        self._air = Air()
        self.uploads = Sender(agent)
        """Does nothing but by `upload`."""
        self._expectation = Expectation(plan)
        self._next_index = max([len(workload), *(index + 1 for index in known)])
        for planned in workload:
            if planned.index in known:
                self._recover(planned, known.pop(planned.index))
        for stored in known.values():
            self._unsettled += 1
            self._recover(None, stored)

    def _recover(self, planned: Planned | None, stored: StoredQuestion) -> None:
        """Take a question up again, of the workload or one that came besides."""
        if stored.settled:
            self._unsettled -= 1
            return
        question = codec.question_in(stored.payload)
        if planned is None:
            planned = planned_again(stored.asked_ns, question)
        budget = Budget(*stored.budget_ns, self._budget.objective) if stored.budget_ns else None
        entry = self._new_entry(planned, budget=budget)
        entry.question = question
        entry.stamps.own[Stage.SUBMITTED] = stored.asked_ns
        entry.stamps.interrupted = True
        entry.parts = Parts(stored.parts)
        self._set_timers(entry)
        self._to_send_again.append(entry.question_id)

    @property
    def finished(self) -> bool:
        """Whether every question has its outcome, on disk and acknowledged to the node."""
        return self._unsettled == 0 and not self._to_accept and not self._standing

    @property
    def air(self) -> dict[str, dict[str, int]]:
        """What the bytes on the air were for, see `Air.table`."""
        return self._air.table(self._agent, self.uploads.sent_bytes)

    # -- time --------------------------------------------------------------------------------------

    def timeout(self, *, now_ns: int) -> Sequence[GroundOutput]:
        """Ask what is due, note missed budgets, expire what has waited too long."""
        outputs: list[GroundOutput] = []
        while self._to_come and self._to_come[0].intended_ns <= now_ns:
            self._queue.append(self._to_come.popleft())
        if now_ns >= self._last_chance_ns and self._unsettled and not self._standing:
            return outputs + list(self.stop("no_further_contact", now_ns=now_ns))
        for question_id, due in self._timers.due(now_ns):
            entry = self._open.get(question_id)
            if entry is None:
                continue
            if due is Due.EXPIRED:
                outputs += self._expire(entry, "expired", now_ns)
            elif due is Due.AGAIN:
                outputs += self._ask_overdue(entry, now_ns)
            elif not entry.missed:
                entry.missed = True
                outputs.append(BudgetMissed(entry.planned))
        outputs += self._ask_queued(now_ns)
        outputs += self._from_agent(self.uploads.timeout(now_ns=now_ns), now_ns)
        return outputs + self._from_agent(self._agent.timeout(now_ns=now_ns), now_ns)

    @property
    def deadline(self) -> Deadline | None:
        """The next question, budget or transport timer."""
        ask = (self._to_come[0].intended_ns, "ask") if self._to_come else None
        timer_ns = self._timers.next_ns
        timer = (timer_ns, "budget") if timer_ns is not None else None
        ends = self._unsettled and not self._standing
        over = (self._last_chance_ns, "no further contact") if ends else None
        return earliest(ask, timer, over, self.uploads.deadline, self._agent.deadline)

    def stop(self, reason: str, *, now_ns: int) -> Sequence[GroundOutput]:
        """End now: every question that is open or still to come expires for `reason`."""
        outputs: list[GroundOutput] = []
        for planned in [*self._queue, *self._to_come]:
            self._new_entry(planned)
        for entry in list(self._open.values()):
            outputs += self._expire(entry, reason, now_ns)
        self._queue.clear()
        self._to_come.clear()
        return outputs

    # -- asking ------------------------------------------------------------------------------------

    def _ask_queued(self, now_ns: int) -> list[GroundOutput]:
        outputs: list[GroundOutput] = []
        while self._queue and len(self._open) < self._asking.max_outstanding:
            outputs += self._word(self._new_entry(self._queue.popleft()), now_ns)
        return outputs

    def _new_entry(
        self, planned: Planned, asking: Asking | None = None, budget: Budget | None = None
    ) -> Entry:
        question_id = message.question_id(self._asking.run_id, planned.index)
        stamps = Stamps({Stage.INTENDED: planned.intended_ns})
        entry = Entry(planned, question_id, stamps, asking or self._asking, budget or self._budget)
        self._open[question_id] = entry
        return entry

    def _set_timers(self, entry: Entry) -> None:
        intended_ns, question_id = entry.planned.intended_ns, entry.question_id
        self._timers.put(intended_ns + entry.budget.loop_ns, question_id, Due.LATE)
        self._timers.put(intended_ns + entry.budget.expire_ns, question_id, Due.EXPIRED)

    def next_id(self) -> int:
        """The id of the question that comes next besides the workload, for `ask`."""
        return message.question_id(self._asking.run_id, self._next_index)

    def ask(self, request: Request, *, now_ns: int) -> Sequence[GroundOutput]:
        """A question comes besides the workload; it gets `next_id`."""
        if self._next_index >> message.INDEX_BITS:
            return [Rejected("no more questions in one run")]
        planned = planned_now(self._next_index, now_ns, request)
        self._next_index += 1
        self._unsettled += 1
        return self._word(self._new_entry(planned, request.asking, request.budget), now_ns)

    def cancel(self, question_id: int, *, now_ns: int) -> Sequence[GroundOutput]:
        """Nobody waits for a question any more; one that is not open is no error."""
        entry = self._open.get(question_id)
        if entry is None:
            return []
        told: list[bundles.AgentOutput] = []
        if entry.stamps.sessions:  # it may be there
            _, told = self._agent.send(
                codec.encode(Cancel(question_id)), lifetime_ms=CANCEL_LIFETIME_MS, now_ns=now_ns
            )
        expired = self._expire(entry, "cancelled", now_ns)
        return [*expired, *self._from_agent(told, now_ns)]

    def _word(self, entry: Entry, now_ns: int) -> list[GroundOutput]:
        """Make a question of it, and put it on disk."""
        asking, planned = entry.asking, entry.planned
        remaining_ns = planned.intended_ns + entry.budget.loop_ns - now_ns
        remaining_ms = max(0, remaining_ns) // NS_PER_MS
        question = entry.question = question_of(entry.question_id, planned, asking, remaining_ms)
        self._set_timers(entry)
        payload = codec.encode(question, texts=())
        own = None if entry.budget is self._budget else entry.budget
        budget_ns = None if own is None else (own.loop_ns, own.expire_ns)
        return [StoreQuestion(entry.question_id, payload, now_ns, budget_ns)]

    def question_stored(self, question_id: int, *, now_ns: int) -> Sequence[GroundOutput]:
        """The question is on disk: send it."""
        entry = self._open.get(question_id)
        if entry is None:
            return []
        entry.stamps.own.setdefault(Stage.SUBMITTED, now_ns)
        told: list[GroundOutput] = []
        assert entry.question is not None
        entry.sent = self._wording.form(entry.question)
        payload = self._wording.payload(entry.question)
        if entry.expected_ns is None:  # the first word counts
            entry.expected_ns = self._expectation.of(
                len(payload), self._agent.queued_bundles, now_ns=now_ns
            )
            told.append(StageReached(entry.planned, Stage.SUBMITTED, now_ns, entry.expected_ns))
        bundle_id, outputs = self._agent.send(
            payload,
            lifetime_ms=lifetime_ms(entry.planned.intended_ns + entry.budget.expire_ns - now_ns),
            priority=2 - entry.planned.priority,
            due_ns=entry.planned.intended_ns + entry.budget.loop_ns,
            now_ns=now_ns,
        )
        if bundle_id is None:  # one that was there once may still be answered
            given_up = [] if entry.stamps.sessions else self._expire(entry, "too_long", now_ns)
            return [*told, *given_up]
        entry.bundle_id = bundle_id
        self._by_bundle[bundle_id] = question_id
        self._air.asked(entry.question, payload, named=entry.sent.named)
        return [*told, *self._from_agent(outputs, now_ns)]

    # -- the link ----------------------------------------------------------------------------------

    def receive(self, payload: bytes, *, now_ns: int) -> Sequence[GroundOutput]:
        """A frame came off the link."""
        return self._from_agent(self._agent.receive(payload, now_ns=now_ns), now_ns)

    def carrier(self, cue: Carrier, *, now_ns: int) -> Sequence[GroundOutput]:
        """The modem says what can be sent and heard."""
        self._contact.cue(cue.tx_up and cue.rx_up, now_ns)
        self._wording.rate_bps = cue.tx_rate_bps
        outputs = self._agent.carrier(
            tx_up=cue.tx_up,
            rx_up=cue.rx_up,
            tx_rate_bps=cue.tx_rate_bps,
            rx_rate_bps=cue.rx_rate_bps,
            one_way_ns=cue.one_way_ns,
            now_ns=now_ns,
        )
        mine = self._from_agent(outputs, now_ns)
        again, self._to_send_again = self._to_send_again, []
        if again:
            self._contact.resumed(now_ns)
        for question_id in again:
            mine += self.question_stored(question_id, now_ns=now_ns)
        return mine + self._from_agent(self.uploads.carrier(cue, now_ns=now_ns), now_ns)

    def upload(
        self, command: Callable[..., list[BulkOutput]], *args: Any, now_ns: int, **options: Any
    ) -> Sequence[GroundOutput]:
        """Have `uploads` do something: one of its commands."""
        return self._from_agent(command(*args, now_ns=now_ns, **options), now_ns)

    def _from_agent(self, outputs: Sequence[BulkOutput], now_ns: int) -> list[GroundOutput]:
        mine: list[GroundOutput] = []
        for output in outputs:
            match output:
                case bundles.Transmit() | bundles.ClocksDiffer() | ReadPiece() | UploadTold():
                    mine.append(output)
                case bundles.BundleReceived():
                    mine += self._take(output, now_ns)
                case bundles.TransmissionStarted():
                    mine += self._uplink_started(output, now_ns)
                case bundles.Acknowledged(bundle_id=bundle_id, at_ns=at_ns):
                    mine += self._acknowledged(bundle_id, at_ns)
                    mine += self._upload_left(bundle_id, now_ns, arrived=True)
                case bundles.Expired() | bundles.Damaged() | bundles.SentOnce():
                    mine += self._upload_left(output.bundle_id, now_ns, arrived=False)
                case bundles.Rejected():
                    mine.append(Rejected(reason_of(output)))
                case _:
                    pass
        return mine

    def _upload_left(
        self, bundle_id: BundleId, now_ns: int, *, arrived: bool
    ) -> list[GroundOutput]:
        left = self.uploads.left(bundle_id, arrived=arrived, now_ns=now_ns)
        return self._from_agent(left, now_ns)

    def _uplink_started(
        self, begun: bundles.TransmissionStarted, now_ns: int
    ) -> list[GroundOutput]:
        entry = self._open.get(self._by_bundle.get(begun.bundle_id, -1))
        if entry is None or not entry.stamps.uplink_started(begun, now_ns=now_ns):
            return []
        return [StageReached(entry.planned, Stage.UPLINK_STARTED, begun.at_ns)]

    def _acknowledged(self, bundle_id: BundleId, at_ns: int) -> list[GroundOutput]:
        entry = self._open.get(self._by_bundle.pop(bundle_id, -1))
        if entry is None or entry.question is None:
            return []
        self._wording.arrived(entry.question)
        again_ns = entry.overdue.arrived(at_ns, entry.budget.loop_ns)
        self._timers.put(again_ns, entry.question_id, Due.AGAIN)
        if not entry.stamps.acknowledged(at_ns):
            return []
        return [StageReached(entry.planned, Stage.DELIVERED, at_ns)]

    def _ask_overdue(self, entry: Entry, now_ns: int) -> Sequence[GroundOutput]:
        if entry.bundle_id in self._by_bundle:
            return []  # it is on its way again
        if entry.overdue.quiet(entry.parts.text) and self._contact.is_up:
            return self.question_stored(entry.question_id, now_ns=now_ns)
        self._timers.put(now_ns + entry.overdue.after_ns, entry.question_id, Due.AGAIN)
        return []

    def _take(self, received: bundles.BundleReceived, now_ns: int) -> list[GroundOutput]:
        bundle_id = received.bundle.id
        try:
            reply = codec.decode(received.bundle.payload)
        except OtherRelease:
            return [Rejected(OTHER_RELEASE), *self._accept(bundle_id, now_ns)]
        except BadMessage as error:
            return [Rejected(f"message: {error}"), *self._accept(bundle_id, now_ns)]
        match reply:
            case Health():
                self._agent.compress()
                self._wording.told(reply)
                return [NodeHealth(reply), *self._accept(bundle_id, now_ns)]
            case Have():
                told = self._from_agent(self.uploads.told(reply, now_ns=now_ns), now_ns)
                return [*self._accept(bundle_id, now_ns), *told]
            case Asked() | Cancel() | Offer() | Piece() | Shard() | Told():
                return [Rejected("a question"), *self._accept(bundle_id, now_ns)]
            case Unreadable():
                return [*self._accept(bundle_id, now_ns), *self._ask_again(reply, now_ns)]
            case Part():
                self._air.told(reply, received.bundle.payload)
                entry = self._open.get(reply.question_id)
                if entry is None:
                    return self._accept(bundle_id, now_ns)
                entry.parts.add(reply)
                return [StorePart(reply, bundle_id)]
            case Answer() | Refusal():
                self._air.told(reply, received.bundle.payload)
                entry = self._open.get(reply.question_id)
                if entry is None:
                    return [
                        Rejected("reply to a question that is not open"),
                        *self._accept(bundle_id, now_ns),
                    ]
                if entry.question is not None:
                    self._wording.arrived(entry.question)
                if entry.stamps.downlink_session is None:
                    entry.stamps.downlink_session = received.session
                if isinstance(reply, Answer):
                    whole = entry.parts.whole(reply)
                    if whole is None:  # asked again, it comes whole
                        again = self.question_stored(reply.question_id, now_ns=now_ns)
                        rejected = Rejected("answer to other parts than came")
                        return [rejected, *self._accept(bundle_id, now_ns), *again]
                    reply = whole
                self._to_accept[reply.question_id] = bundle_id
                settled = self._settle(entry, reply, received, now_ns)
                return settled + self._ask_queued(now_ns)

    def _ask_again(self, unreadable: Unreadable, now_ns: int) -> list[GroundOutput]:
        """The node has dropped a question: it goes up again, in words that the node knows. One that
        had nothing left out is given up to its budget."""
        self._wording.unreadable(unreadable)
        lost = unreadable.what == "damaged"
        reason = "node has damaged a question" if lost else f"node knows no such {unreadable.what}"
        outputs: list[GroundOutput] = [Rejected(reason)]
        asked = self._open.get(unreadable.question_id)
        if asked is not None and asked.question is not None and unreadable.what == "turns":
            asked.question = replace(asked.question, after=None)
        for entry in list(self._open.values()) if asked is None else [asked]:
            if entry.question is None:
                continue
            if lost or entry.sent != self._wording.form(entry.question):
                entry.stamps.dropped()
                if entry.bundle_id is not None:  # its arrival says nothing any more
                    self._by_bundle.pop(entry.bundle_id, None)
                outputs += self.question_stored(entry.question_id, now_ns=now_ns)
        return outputs

    def _accept(self, bundle_id: BundleId, now_ns: int) -> list[GroundOutput]:
        return self._from_agent(self._agent.accept(bundle_id, now_ns=now_ns), now_ns)

    def part_stored(self, bundle_id: BundleId, *, now_ns: int) -> Sequence[GroundOutput]:
        """A part of an answer is on disk: the node need not send it again."""
        return self._accept(bundle_id, now_ns)

    def outcome_stored(self, question_id: int, *, now_ns: int) -> Sequence[GroundOutput]:
        """The outcome is on disk: let the node forget its answer."""
        bundle_id = self._to_accept.pop(question_id, None)
        if bundle_id is None:
            return []
        return self._accept(bundle_id, now_ns)

    # -- outcomes ----------------------------------------------------------------------------------

    def _settle(
        self,
        entry: Entry,
        reply: Answer | Refusal,
        received: bundles.BundleReceived,
        now_ns: int,
    ) -> list[GroundOutput]:
        intended_ns = entry.planned.intended_ns
        record = outcomes.replied(
            entry.planned,
            reply,
            received,
            entry.stamps,
            budget=entry.budget,
            quickest=self._quickest,
            downlink=self._plan.downlink,
            in_contact_ns=self._contact.in_contact_ns(intended_ns, received.received_ns),
            names=entry.question.names if entry.question else (),
            model=self._wording.model_of(reply),
        )
        if record.answered and record.node_times is not None:
            self._expectation.answered(record.node_times, received.block_bytes)
        return self._close(entry, record, now_ns)

    def _expire(self, entry: Entry, reason: str, now_ns: int) -> list[GroundOutput]:
        record = outcomes.expired(
            entry.question_id,
            entry.planned,
            reason,
            entry.stamps,
            entry.parts.text,
            now_ns=now_ns,
        )
        return self._close(entry, record, now_ns)

    def _close(self, entry: Entry, record: LoopRecord, now_ns: int) -> list[GroundOutput]:
        del self._open[entry.question_id]
        self._unsettled -= 1
        assert self._unsettled >= 0
        outputs: list[GroundOutput] = []
        if entry.bundle_id is not None:  # with an answer it has arrived, whatever was reported
            self._by_bundle.pop(entry.bundle_id, None)
            outputs += self._from_agent(self._agent.cancel(entry.bundle_id, now_ns=now_ns), now_ns)
        return [*outputs, Settled(replace(record, expected_at_ns=entry.expected_ns))]
