"""The satellite as a pure machine: frames in, jobs for the engine, answer frames out.

A question is acknowledged to the ground only when it is on disk, and an answer is sent only when it
is on disk: `StoreQuestion` and `StoreAnswer` come back as `question_stored` and `answer_stored`.
Each question gets exactly one answer or refusal, which is kept until the ground has acknowledged
it. `Radio` has the link's side of this, `Jobs` the engine's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dtn import agent as bundles
from dtn.bpv7.bundle import BundleId
from node.beacon import Beacon
from node.board.spacecraft import Doing
from node.body.energy import Battery
from node.body.energy_book import EnergyBook
from node.bulk.unconfirmed import Unconfirmed
from node.downlink import Downlink
from node.engine.events import InferenceResult
from node.entry import Entry, State
from node.jobs import Jobs
from node.outputs import NodeOutput, RollBack, StoredQuestion, StoreQuestion
from node.radio import Radio
from node.scheduler import Policy, Scheduler
from node.speed import Speed
from roundtrip import codec
from roundtrip.bulk.wire import Have
from roundtrip.contacts import ContactPlan
from roundtrip.machine import Deadline, earliest
from roundtrip.message import MODEL_BYTES, Health, Question
from roundtrip.modem import Carrier
from roundtrip.units import NS_PER_MS

REPLY_LIFETIME_S = 86_400
"""How long an answer waits for the ground."""
MAX_REPLIES = 1024
"""Replies in the bundle agent at once; more wait in the machine."""
FAR_MS = 1 << 40
"""A deadline is at most so far away, which is 34 years, whatever a question says."""


class NodeMachine:
    """Questions in, answers out.

    Args:
        agent: the bundle agent of this end.
        queue: questions that may wait on board.
        lifetime_ms: of answer bundles.
        plan: when the ground can be reached; None: as the modem's cues say.
        policy: of the scheduler.
        recovered: what the store still holds of this run, oldest first.
        damaged: questions that it held; the ground is told, and asks them again.
        beacon: when to say how the node does; None: never.
        battery: what it runs on; None: energy does not matter.
    """

    def __init__(
        self,
        agent: bundles.BundleAgent,
        *,
        queue: int,
        lifetime_ms: int,
        plan: ContactPlan | None = None,
        policy: Policy = "deadline",
        recovered: Iterable[StoredQuestion] = (),
        damaged: Iterable[int] = (),
        beacon: Beacon | None = None,
        battery: Battery | None = None,
    ) -> None:
        self._entries: dict[int, Entry] = {}
        downlink, energy = Downlink(plan), EnergyBook(battery)
        self._energy = energy
        self._radio = Radio(
            agent,
            self._entries,
            downlink,
            energy,
            beacon or Beacon(),
            lifetime_ms=lifetime_ms,
            take=self._take,
            cancel=self._cancel,
        )
        scheduler = Scheduler(queue, downlink, policy, energy.may_run)
        self._jobs = Jobs(self._entries, scheduler, energy)
        self._trial: Unconfirmed | None = None
        for stored in recovered:
            self._recover(stored)
        self._radio.lost(damaged)

    def _recover(self, stored: StoredQuestion) -> None:
        state = State.WAITING
        if stored.reply is not None:
            state = State.SETTLED if stored.settled else State.REPLYING
        question_id = stored.question.question_id
        self._entries[question_id] = Entry(
            stored.question, stored.delivered_ns, stored.deadline_ns, state, reply=stored.reply
        )
        if state is State.WAITING:
            self._jobs.recover(question_id)
        else:
            self._radio.recover(question_id)

    @property
    def idle(self) -> bool:
        """Nothing waits, runs, or is on its way to the ground."""
        return all(entry.state is State.SETTLED for entry in self._entries.values())

    @property
    def is_busy(self) -> bool:
        """Whether a question is being answered."""
        return self._jobs.is_busy

    def doing(self, *, now_ns: int) -> Doing:
        """What the node does now, as its telemetry shows it."""
        self._energy.advance(now_ns)
        permille = self._energy.charge_permille
        charge = None if permille is None else permille / 1000
        return Doing(charge, self._jobs.is_busy, self._radio.is_heard)

    # -- time --------------------------------------------------------------------------------------

    def timeout(self, *, now_ns: int) -> Sequence[NodeOutput]:
        """A timer of the transport, or a beacon, is due, or the time of a question is over."""
        outputs = [*self._radio.beacon_due(now_ns), *self._jobs.timeout(now_ns)]
        return outputs + self._radio.timeout(now_ns)

    @property
    def deadline(self) -> Deadline | None:
        """The next timer of the transport, the next beacon, or the end of a question's time."""
        return earliest(self._jobs.deadline, self._radio.deadline)

    # -- the link ----------------------------------------------------------------------------------

    def receive(self, payload: bytes, *, now_ns: int) -> Sequence[NodeOutput]:
        """A frame came off the link."""
        return self._radio.receive(payload, now_ns)

    def carrier(self, cue: Carrier, *, now_ns: int) -> Sequence[NodeOutput]:
        """The modem says what can be sent and heard."""
        outputs = [*self._radio.carrier(cue, now_ns), *self._jobs.heard(now_ns)]
        if self._trial is not None and self._trial.over(cue.rx_up):
            self._trial = None
            outputs.append(RollBack("nobody confirmed it in time"))
        return outputs

    def beacon(self, health: Health, *, now_ns: int) -> Sequence[NodeOutput]:
        """What was measured: tell the ground."""
        return self._radio.send_beacon(health, now_ns)

    def _take(self, question: Question, received: bundles.BundleReceived) -> list[NodeOutput]:
        """A question that is not known yet."""
        bundle_id, received_ns = received.bundle.id, received.received_ns
        left_ms = max(-FAR_MS, min(question.remaining_ms - received.age_ms, FAR_MS))
        entry = Entry(
            question, received_ns, received_ns + left_ms * NS_PER_MS, State.STORING, bundle_id
        )
        self._entries[question.question_id] = entry
        payload = codec.encode(question, texts=())
        return [
            StoreQuestion(question.question_id, payload, received_ns, entry.deadline_ns, bundle_id)
        ]

    def _cancel(self, question_id: int, now_ns: int) -> list[NodeOutput]:
        return self._jobs.cancel(question_id, now_ns)

    def upset(self, bit: int, *, now_ns: int) -> Sequence[NodeOutput]:
        """A bit of the bundles that wait to be sent has flipped; those that are damaged are thrown
        away on the ground, and asked for again."""
        self._radio.upset(bit)
        return []

    # -- uploads -----------------------------------------------------------------------------------

    def upload_taken(
        self, bundle_id: BundleId, reply: Have | None, *, now_ns: int
    ) -> Sequence[NodeOutput]:
        """A piece of an upload is on disk, or the vault has something to say."""
        told = [] if reply is None else self._tell_upload(reply, now_ns)
        return [*self._radio.accept(bundle_id, now_ns), *told]

    def upload_does(self, have: Have, *, now_ns: int) -> Sequence[NodeOutput]:
        """How an upload does, unasked: one on trial is watched from now on, until it is not."""
        self._trial = Unconfirmed() if have.state == "trial" else None
        return self._tell_upload(have, now_ns)

    def _tell_upload(self, have: Have, now_ns: int) -> list[NodeOutput]:
        """From now on the model may change while answers wait: they say which one it was."""
        self._jobs.tells_model = True
        return self._radio.tell_upload(have, now_ns)

    # -- the store ---------------------------------------------------------------------------------

    def question_stored(self, question_id: int, *, now_ns: int) -> Sequence[NodeOutput]:
        """The question is on disk: acknowledge it, and let it wait for the engine."""
        entry = self._entries[question_id]
        outputs: list[NodeOutput] = []
        if entry.bundle_id is not None:
            outputs += self._radio.accept(entry.bundle_id, now_ns)
            entry.bundle_id = None
        return outputs + self._jobs.take(question_id, now_ns)

    def answer_stored(self, question_id: int, *, now_ns: int) -> Sequence[NodeOutput]:
        """The answer is on disk: send it."""
        return self._radio.send_reply(question_id, now_ns)

    # -- the engine --------------------------------------------------------------------------------

    def engine_up(
        self, health: Health, slots: int, speed: Speed, *, now_ns: int
    ) -> Sequence[NodeOutput]:
        """The engine is ready, for `slots` questions at once: tell the ground what runs here, and
        start on what waits."""
        self._jobs.model = bytes.fromhex(health.sha256)[:MODEL_BYTES]
        outputs = self._jobs.engine_up(slots, speed, now_ns)
        outputs += self._radio.announce(health, now_ns)
        return outputs + self._jobs.start_next(now_ns)

    def engine_changed(
        self, health: Health, slots: int, speed: Speed, *, now_ns: int
    ) -> Sequence[NodeOutput]:
        """Another model answers from now on."""
        self._jobs.forget_speed()
        return self.engine_up(health, slots, speed, now_ns=now_ns)

    def engine_down(self, reason: str, *, final: bool, now_ns: int) -> Sequence[NodeOutput]:
        """The engine died; see `Jobs`."""
        return self._jobs.engine_down(reason, final=final, now_ns=now_ns)

    def pause(self, paused: bool, *, now_ns: int) -> Sequence[NodeOutput]:
        """Start no further job, for the engine is too hot; or go on."""
        return self._jobs.pause(paused, now_ns)

    def inference_started(
        self, question_id: int, at_ns: int, *, now_ns: int
    ) -> Sequence[NodeOutput]:
        """The engine began on the job at `at_ns`."""
        self._jobs.started(question_id, at_ns, now_ns)
        return []

    def first_token(self, question_id: int, at_ns: int, *, now_ns: int) -> Sequence[NodeOutput]:
        """The engine had its first token at `at_ns`."""
        self._jobs.first_token(question_id, at_ns, now_ns)
        return []

    def tools_called(self, question_id: int, at_ns: int, *, now_ns: int) -> Sequence[NodeOutput]:
        """The tools that the job called had answered at `at_ns`."""
        self._jobs.called(question_id, at_ns, now_ns)
        return []

    def wrote(self, question_id: int, text: str, *, now_ns: int) -> Sequence[NodeOutput]:
        """The engine has so much of an answer."""
        if not self._jobs.is_running(question_id):
            return []
        return self._radio.send_part(question_id, text, now_ns)

    def inference_done(
        self, question_id: int, result: InferenceResult, at_ns: int, *, now_ns: int
    ) -> Sequence[NodeOutput]:
        """The engine has the whole answer since `at_ns`."""
        return self._jobs.done(question_id, result, at_ns, now_ns)

    def inference_refused(
        self, question_id: int, reason: str, detail: str, *, now_ns: int
    ) -> Sequence[NodeOutput]:
        """The engine cannot do this job (the prompt does not fit), and is free again."""
        return self._jobs.refused(question_id, reason, detail, now_ns)
