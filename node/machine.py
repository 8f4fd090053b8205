"""The satellite as a pure machine: frames in, jobs for the engine, answer frames out.

A question is acknowledged to the ground only when it is on disk, and an answer is sent only when it
is on disk: `StoreQuestion` and `StoreAnswer` come back as `question_stored` and `answer_stored`.
Each question gets exactly one answer or refusal, which is kept until the ground has acknowledged
it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from dtn import agent as bundles
from dtn.bpv7.bundle import BundleId
from node import beacon as beacons
from node.body.energy import Battery
from node.body.energy_book import EnergyBook
from node.downlink import BUNDLE_BYTES, Downlink
from node.entry import Entry, State
from node.outputs import (
    CutInference,
    InferenceResult,
    NodeOutput,
    Rejected,
    StartInference,
    StoreAnswer,
    StoredQuestion,
    StoreQuestion,
    StoreSettled,
)
from node.parts import Parts
from node.quarantine import Quarantine
from node.scheduler import Hopeless, Job, Order, Policy, Scheduler
from node.speed import Speed
from roundtrip import message
from roundtrip.contacts import ContactPlan
from roundtrip.errors import BadMessage
from roundtrip.machine import Deadline, earliest
from roundtrip.message import Answer, Health, Question, Refusal
from roundtrip.modem import Carrier
from roundtrip.transport import reason_of
from roundtrip.units import NS_PER_MS

REPLY_LIFETIME_S = 86_400
"""How long an answer waits for the ground."""
MAX_REPLIES = 1024
"""Replies in the bundle agent at once; more wait in the machine."""
MAX_ATTEMPTS = 2
"""A question over which the engine died this often is refused."""
KEPT_SETTLED = 4096
"""Settled questions kept in memory, so that one asked again gets the same answer."""
TRANSPORT_PRIORITY = (2, 1, 0)
"""Of bulk, normal and expedited questions; a lower number leaves first."""
PART_PRIORITY = 3
"""Of an answer that is still being written."""


class NodeMachine:
    """Questions in, answers out.

    Args:
        agent: the bundle agent of this end.
        queue: questions that may wait on board.
        lifetime_ms: of answer bundles.
        plan: when the ground can be reached; None: as the modem's cues say.
        policy: of the scheduler.
        recovered: what the store still holds of this run, oldest first.
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
        beacon: beacons.Beacon | None = None,
        battery: Battery | None = None,
    ) -> None:
        self._agent = agent
        self._beacon = beacon or beacons.Beacon()
        self._lifetime_ms = lifetime_ms
        self._downlink = Downlink(plan)
        self._parts = Parts()
        self._energy = EnergyBook(battery)
        self._scheduler = Scheduler(queue, self._downlink, policy, self._energy.may_run)
        self._early: deque[int] = deque()
        """Questions that came before the engine was up the first time, whose speed is unknown."""
        self._entries: dict[int, Entry] = {}
        self._replies: dict[BundleId, int] = {}
        self._running: dict[int, Order] = {}
        self._cut: set[int] = set()
        self._paused = False
        self._sun_ns: int | None = None
        """When the battery is full enough for what is deferred."""
        self._slots = 0
        """Questions that the engine takes at once; 0 while it is down."""
        self._speed: Speed | None = None
        self._quarantine = Quarantine()
        self._engine_gone: str | None = None
        self._unsent: deque[int] = deque()
        self._settled: OrderedDict[int, None] = OrderedDict()
        for stored in recovered:
            self._recover(stored)

    def _recover(self, stored: StoredQuestion) -> None:
        state = State.WAITING
        if stored.reply is not None:
            state = State.SETTLED if stored.settled else State.REPLYING
        question_id = stored.question.question_id
        self._entries[question_id] = Entry(
            stored.question, stored.delivered_ns, stored.deadline_ns, state, reply=stored.reply
        )
        if state is State.WAITING:
            self._early.append(question_id)
        elif state is State.REPLYING:
            self._unsent.append(question_id)
        else:
            self._remember_settled(question_id)

    # -- the link ----------------------------------------------------------------------------------

    def receive(self, payload: bytes, *, now_ns: int) -> Sequence[NodeOutput]:
        """A frame came off the link."""
        return self._from_agent(self._agent.receive(payload, now_ns=now_ns), now_ns)

    def carrier(self, cue: Carrier, *, now_ns: int) -> Sequence[NodeOutput]:
        """The modem says what can be sent and heard."""
        self._downlink.carrier(cue)
        self._energy.carrier(cue.rx_up, now_ns=now_ns)
        self._beacon.carrier(cue.tx_up, now_ns)
        outputs: list[NodeOutput] = []
        unsent, self._unsent = self._unsent, deque()
        for question_id in unsent:
            outputs += self._send_reply(question_id, now_ns)
        return outputs + self._from_agent(
            self._agent.carrier(
                tx_up=cue.tx_up,
                rx_up=cue.rx_up,
                tx_rate_bps=cue.tx_rate_bps,
                rx_rate_bps=cue.rx_rate_bps,
                one_way_ns=cue.one_way_ns,
                now_ns=now_ns,
            ),
            now_ns,
        )

    def timeout(self, *, now_ns: int) -> Sequence[NodeOutput]:
        """A timer of the transport, or a beacon, is due, or the time of a question is over."""
        outputs: list[NodeOutput] = [*self._beacon.take(now_ns)]
        for question_id, order in self._running.items():
            if order.cut_ns is not None and order.cut_ns <= now_ns and question_id not in self._cut:
                self._cut.add(question_id)
                outputs.append(CutInference(question_id))
        outputs += self._start_next(now_ns)
        return outputs + self._from_agent(self._agent.timeout(now_ns=now_ns), now_ns)

    @property
    def deadline(self) -> Deadline | None:
        """The next timer of the transport, the next beacon, or the end of a question's time."""
        cuts = (
            order.cut_ns
            for question_id, order in self._running.items()
            if order.cut_ns is not None and question_id not in self._cut
        )
        cut_ns = min(cuts, default=None)
        check_ns = self._scheduler.next_check_ns if len(self._scheduler) else None
        return earliest(
            (cut_ns, "cut") if cut_ns is not None else None,
            (check_ns, "no time") if check_ns is not None else None,
            (self._sun_ns, "energy") if self._sun_ns is not None else None,
            self._agent.deadline,
            self._beacon.deadline,
        )

    def beacon(self, health: Health, *, now_ns: int) -> Sequence[NodeOutput]:
        """What was measured: tell the ground, behind all answers, while it is worth something."""
        vitals = health.vitals or message.Vitals()
        charged = replace(vitals, charge_permille=self._energy.charge_permille)
        _, outputs = self._agent.send(
            message.encode(replace(health, vitals=charged)),
            lifetime_ms=beacons.LIFETIME_NS // NS_PER_MS,
            priority=beacons.PRIORITY,
            now_ns=now_ns,
        )
        return self._from_agent(outputs, now_ns)

    def _from_agent(self, outputs: Sequence[bundles.AgentOutput], now_ns: int) -> list[NodeOutput]:
        mine: list[NodeOutput] = []
        for output in outputs:
            match output:
                case bundles.Transmit():
                    mine.append(output)
                case bundles.BundleReceived():
                    mine += self._take_bundle(output, now_ns)
                case (
                    bundles.Acknowledged(bundle_id=bundle_id) | bundles.Expired(bundle_id=bundle_id)
                ):
                    arrived = isinstance(output, bundles.Acknowledged)
                    self._parts.left(bundle_id, acknowledged=arrived)
                    mine += self._reply_left(bundle_id, now_ns)
                case bundles.Rejected():
                    mine.append(Rejected(reason_of(output)))
                case bundles.QueueFull():
                    mine.append(Rejected("bundle queue full"))
                case _:
                    pass
        return mine

    def _take_bundle(self, received: bundles.BundleReceived, now_ns: int) -> list[NodeOutput]:
        bundle, received_ns = received.bundle, received.received_ns
        try:
            question = message.decode(bundle.payload)
        except BadMessage as error:
            return [Rejected(f"message: {error}"), *self._accept(bundle.id, now_ns)]
        if not isinstance(question, Question):
            return [Rejected("not a question"), *self._accept(bundle.id, now_ns)]
        entry = self._entries.get(question.question_id)
        if entry is None:
            deadline_ns = received_ns + (question.remaining_ms - received.age_ms) * NS_PER_MS
            self._entries[question.question_id] = Entry(
                question, received_ns, deadline_ns, State.STORING, bundle.id
            )
            left_ms = max(0, bundle.lifetime_ms - received.age_ms)
            return [
                StoreQuestion(
                    question.question_id,
                    bundle.payload,
                    received_ns,
                    deadline_ns,
                    left_ms,
                    bundle.id,
                )
            ]
        outputs: list[NodeOutput] = []
        if entry.state is State.STORING:
            entry.bundle_id = bundle.id
            return outputs
        if entry.state is State.SETTLED:
            entry.state = State.REPLYING
            del self._settled[question.question_id]
            outputs += self._send_reply(question.question_id, now_ns)
        return outputs + self._accept(bundle.id, now_ns)

    def _accept(self, bundle_id: BundleId, now_ns: int) -> list[NodeOutput]:
        return self._from_agent(self._agent.accept(bundle_id, now_ns=now_ns), now_ns)

    # -- the store ---------------------------------------------------------------------------------

    def question_stored(self, question_id: int, *, now_ns: int) -> Sequence[NodeOutput]:
        """The question is on disk: acknowledge it, and let it wait for the engine."""
        entry = self._entries[question_id]
        outputs: list[NodeOutput] = []
        if entry.bundle_id is not None:
            outputs += self._accept(entry.bundle_id, now_ns)
            entry.bundle_id = None
        if self._engine_gone is not None:
            return outputs + self._refuse(question_id, "engine_failed", self._engine_gone, now_ns)
        if entry.question in self._quarantine:
            detail = "the engine died over this prompt twice"
            return outputs + self._refuse(question_id, "quarantined", detail, now_ns)
        if len(self._early) + len(self._scheduler) >= self._scheduler.limit:
            return outputs + self._refuse(question_id, "queue_full", "", now_ns)
        entry.state = State.WAITING
        if self._speed is None:
            self._early.append(question_id)
            return outputs
        return [*outputs, *self._let_wait(question_id, 0, now_ns), *self._start_next(now_ns)]

    def _let_wait(self, question_id: int, attempt: int, now_ns: int) -> list[NodeOutput]:
        entry = self._entries[question_id]
        entry.state = State.WAITING
        assert self._speed is not None
        job = Job(entry.question, entry.delivered_ns, entry.deadline_ns, attempt)
        found = self._scheduler.add(job, self._speed, len(self._running), now_ns=now_ns)
        return [] if found is None else self._refuse_job(found, now_ns)

    def _refuse_job(self, found: Hopeless, now_ns: int) -> list[NodeOutput]:
        return self._refuse(found.job.question.question_id, found.reason, found.detail, now_ns)

    def _refuse_hopeless(self, now_ns: int) -> list[NodeOutput]:
        if self._speed is None:
            return []
        found = self._scheduler.hopeless(self._speed, now_ns=now_ns)
        return [output for one in found for output in self._refuse_job(one, now_ns)]

    def answer_stored(self, question_id: int, *, now_ns: int) -> Sequence[NodeOutput]:
        """The answer is on disk: send it."""
        return self._send_reply(question_id, now_ns)

    def _send_reply(self, question_id: int, now_ns: int) -> list[NodeOutput]:
        entry = self._entries[question_id]
        assert entry.reply is not None
        payload, given_up = self._parts.last(question_id, entry.reply)
        cancelled = [o for part in given_up for o in self._agent.cancel(part, now_ns=now_ns)]
        bundle_id, outputs = self._agent.send(
            payload,
            lifetime_ms=self._lifetime_ms,
            priority=TRANSPORT_PRIORITY[entry.question.priority],
            now_ns=now_ns,
        )
        if bundle_id is None:
            self._unsent.append(question_id)
        else:
            self._replies[bundle_id] = question_id
            self._energy.sent(question_id, now_ns=now_ns)
            self._downlink.backlog_bytes += len(entry.reply) + BUNDLE_BYTES
        return self._from_agent([*cancelled, *outputs], now_ns)

    def _reply_left(self, bundle_id: BundleId, now_ns: int) -> list[NodeOutput]:
        question_id = self._replies.pop(bundle_id, None)
        if question_id is None:
            return []
        entry = self._entries[question_id]
        entry.state = State.SETTLED
        self._energy.arrived(question_id, now_ns=now_ns)
        self._downlink.backlog_bytes -= len(entry.reply or b"") + BUNDLE_BYTES
        self._remember_settled(question_id)
        again = self._send_reply(self._unsent.popleft(), now_ns) if self._unsent else []
        return [StoreSettled(question_id), *again]

    def _remember_settled(self, question_id: int) -> None:
        self._settled[question_id] = None
        if len(self._settled) > KEPT_SETTLED:
            del self._entries[self._settled.popitem(last=False)[0]]

    # -- the engine --------------------------------------------------------------------------------

    def engine_up(
        self, health: Health, slots: int, speed: Speed, *, now_ns: int
    ) -> Sequence[NodeOutput]:
        """The engine is ready, for `slots` questions at once: say so, and start on what waits."""
        self._slots = slots
        if self._speed is None:
            self._speed = speed
        waiting: list[NodeOutput] = []
        while self._early:
            waiting += self._let_wait(self._early.popleft(), 0, now_ns)
        payload = message.encode(health)
        _, outputs = self._agent.send(payload, lifetime_ms=self._lifetime_ms, now_ns=now_ns)
        return waiting + self._from_agent(outputs, now_ns) + self._start_next(now_ns)

    def engine_down(self, reason: str, *, final: bool, now_ns: int) -> Sequence[NodeOutput]:
        """The engine died. Each job it had is tried once more, alone, then refused; with `final`,
        all are, and whatever comes later."""
        self._slots = 0
        self._engine_gone = reason if final else None
        outputs: list[NodeOutput] = []
        orders = list(self._running.values())
        for question_id in list(self._running):
            self._ended(question_id, now_ns)
        for order in orders:
            question_id = order.job.question.question_id
            if order.job.attempt + 1 < MAX_ATTEMPTS and not final:
                outputs += self._let_wait(question_id, order.job.attempt + 1, now_ns)
                continue
            if not final:
                self._quarantine.add(order.job.question)
            outputs += self._refuse(question_id, "engine_failed", reason, now_ns)
        if final:
            waiting = [job.question.question_id for job in self._scheduler.drain()]
            for question_id in [*self._early, *waiting]:
                outputs += self._refuse(question_id, "engine_failed", reason, now_ns)
            self._early.clear()
        return outputs

    def pause(self, paused: bool, *, now_ns: int) -> Sequence[NodeOutput]:
        """Start no further job, for the engine is too hot; or go on."""
        self._paused = paused
        return self._start_next(now_ns)

    def _start_next(self, now_ns: int) -> list[NodeOutput]:
        self._energy.advance(now_ns)
        outputs = self._refuse_hopeless(now_ns)
        self._sun_ns = None
        if self._paused:
            return outputs
        while self._speed is not None and len(self._running) < self._slots:
            alone = any(order.alone for order in self._running.values())
            order = self._scheduler.next_order(
                self._speed, len(self._running), alone=alone, now_ns=now_ns
            )
            if order is None:
                if self._scheduler.deferred:
                    self._sun_ns = self._energy.ready_ns
                break
            question_id = order.job.question.question_id
            self._running[question_id] = order
            entry = self._entries[question_id]
            entry.state = State.RUNNING
            entry.started_ns = entry.first_token_ns = now_ns
            self._energy.started(question_id, now_ns=now_ns)
            outputs.append(StartInference(order))
        return outputs

    def inference_started(
        self, question_id: int, at_ns: int, *, now_ns: int
    ) -> Sequence[NodeOutput]:
        """The engine began on the job at `at_ns`."""
        if question_id in self._running:
            entry = self._entries[question_id]
            entry.started_ns = entry.first_token_ns = min(at_ns, now_ns)
        return []

    def first_token(self, question_id: int, at_ns: int, *, now_ns: int) -> Sequence[NodeOutput]:
        """The engine had its first token at `at_ns`."""
        if question_id in self._running:
            entry = self._entries[question_id]
            entry.first_token_ns = min(max(at_ns, entry.started_ns), now_ns)
            self._energy.first_token(question_id, now_ns=now_ns)
        return []

    def wrote(self, question_id: int, text: str, *, now_ns: int) -> Sequence[NodeOutput]:
        """The engine has so much of an answer: what is new goes down, behind whole answers."""
        if question_id not in self._running or self._downlink.backlog_bytes:
            return []
        rate_bps = self._downlink.rate_bps(now_ns)
        part = self._parts.next_part(question_id, text, rate_bps, now_ns)
        if part is None or rate_bps is None:
            return []
        left_ms = (self._entries[question_id].deadline_ns - now_ns) // NS_PER_MS
        bundle_id, outputs = self._agent.send(
            message.encode(part), lifetime_ms=max(1, left_ms), priority=PART_PRIORITY, now_ns=now_ns
        )
        if bundle_id is not None:
            self._parts.sent(bundle_id, part, rate_bps, now_ns)
        return self._from_agent(outputs, now_ns)

    def inference_done(
        self, question_id: int, result: InferenceResult, at_ns: int, *, now_ns: int
    ) -> Sequence[NodeOutput]:
        """The engine has the whole answer since `at_ns`."""
        if question_id not in self._running:
            return [Rejected("result of a job that is not running")]
        spent_mj = self._ended(question_id, now_ns)
        entry = self._entries[question_id]
        if not result.text:
            reason = "no_time" if result.finish_reason == "deadline" else "no_answer"
            detail = f"no part of the answer in {result.output_tokens} tokens"
            return self._refuse(question_id, reason, detail, now_ns) + self._start_next(now_ns)
        assert self._speed is not None
        self._speed.follow(result.prefill_ns, result.step_ns)
        self._slots = result.sequences or self._slots
        text, cut = message.clipped(result.text)
        if result.finish_reason == "stop":
            self._speed.answered(result.output_tokens, len(text.encode()))
        answer = Answer(
            question_id,
            text,
            "length" if cut else result.finish_reason,
            result.prompt_tokens,
            result.output_tokens,
            started_us=entry.since_us(entry.started_ns),
            first_token_us=entry.since_us(entry.first_token_ns),
            finished_us=entry.since_us(max(at_ns, entry.first_token_ns)),
            delivered_us=entry.delivered_us,
            rss_peak_bytes=result.rss_peak_bytes,
            spent_mj=spent_mj,
        )
        return self._reply(question_id, message.encode(answer)) + self._start_next(now_ns)

    def inference_refused(
        self, question_id: int, reason: str, detail: str, *, now_ns: int
    ) -> Sequence[NodeOutput]:
        """The engine cannot do this job (the prompt does not fit), and is free again."""
        if question_id not in self._running:
            return [Rejected("refusal of a job that is not running")]
        self._ended(question_id, now_ns)
        return self._refuse(question_id, reason, detail, now_ns) + self._start_next(now_ns)

    def _ended(self, question_id: int, now_ns: int) -> int:
        """What it cost, mJ."""
        del self._running[question_id]
        self._cut.discard(question_id)
        return self._energy.ended(question_id, now_ns=now_ns)

    def _refuse(self, question_id: int, reason: str, detail: str, now_ns: int) -> list[NodeOutput]:
        entry = self._entries[question_id]
        refused_us = entry.since_us(now_ns)
        refusal = Refusal(question_id, reason, detail[:200], refused_us, entry.delivered_us)
        return self._reply(question_id, message.encode(refusal))

    def _reply(self, question_id: int, payload: bytes) -> list[NodeOutput]:
        entry = self._entries[question_id]
        entry.state = State.REPLYING
        entry.reply = payload
        return [StoreAnswer(question_id, payload)]

    @property
    def idle(self) -> bool:
        """Nothing waits, runs, or is on its way to the ground."""
        return all(entry.state is State.SETTLED for entry in self._entries.values())
