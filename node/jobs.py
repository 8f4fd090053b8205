"""The node's side of the engine: which question it works on, and what becomes of each.

A question on disk becomes a job, and a job a reply: an answer, or a refusal with its reason.
Nothing is judged before the engine's speed is known and the link has given its first cue, which
also tells the time. Pure.
"""

from __future__ import annotations

from collections import deque

from node.body.energy_book import EnergyBook
from node.engine.events import InferenceResult
from node.entry import Entry, State
from node.outputs import CutInference, NodeOutput, Rejected, StartInference, StoreAnswer
from node.quarantine import Quarantine
from node.scheduler import Hopeless, Job, Order, Scheduler
from node.speed import Speed
from roundtrip import codec, message
from roundtrip.machine import Deadline, earliest
from roundtrip.message import Answer, Refusal, Sight
from roundtrip.units import NS_PER_MS

MAX_ATTEMPTS = 2
"""A question over which the engine died this often is refused."""


class Jobs:
    """The work of one engine.

    Args:
        entries: the questions on board.
        scheduler: says which goes next, and which cannot make it.
        energy: told what the engine does.
    """

    def __init__(self, entries: dict[int, Entry], scheduler: Scheduler, energy: EnergyBook) -> None:
        self._entries = entries
        self._scheduler = scheduler
        self._energy = energy
        self._early: deque[int] = deque()
        """Questions that nothing can be said of yet."""
        self._heard = False
        """Whether there was a cue."""
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
        self.model = b""
        """Which one answers, as `Answer` has it; empty where that is not known."""
        self.tells_model = False

    # -- questions ---------------------------------------------------------------------------------

    def recover(self, question_id: int) -> None:
        """A question without a reply was found in the store."""
        self._early.append(question_id)

    def take(self, question_id: int, now_ns: int) -> list[NodeOutput]:
        """A question is on disk: it waits for the engine, or is refused."""
        entry = self._entries[question_id]
        if self._engine_gone is not None:
            return self._refuse(question_id, "engine_failed", self._engine_gone, now_ns)
        if entry.question in self._quarantine:
            detail = "the engine died over this prompt twice"
            return self._refuse(question_id, "quarantined", detail, now_ns)
        if len(self._early) + len(self._scheduler) >= self._scheduler.limit:
            return self._refuse(question_id, "queue_full", "", now_ns)
        entry.state = State.WAITING
        self._early.append(question_id)
        return [*self._admit(now_ns), *self.start_next(now_ns)]

    def cancel(self, question_id: int, now_ns: int) -> list[NodeOutput]:
        """Nobody waits for a question any more: it is refused, or ended where it is being answered;
        one that has its reply, or is not known, is no error."""
        if question_id in self._running and question_id not in self._cut:
            self._cut.add(question_id)
            return [CutInference(question_id)]
        if question_id in self._early:
            self._early.remove(question_id)
        elif not self._scheduler.remove(question_id):
            return []
        return self._refuse(question_id, "cancelled", "", now_ns)

    def heard(self, now_ns: int) -> list[NodeOutput]:
        """There was a cue."""
        first, self._heard = not self._heard, True
        return [*self._admit(now_ns), *self.start_next(now_ns)] if first else []

    def _admit(self, now_ns: int) -> list[NodeOutput]:
        outputs: list[NodeOutput] = []
        while self._early and self._speed is not None and self._heard:
            outputs += self._let_wait(self._early.popleft(), 0, now_ns)
        return outputs

    def _let_wait(self, question_id: int, attempt: int, now_ns: int) -> list[NodeOutput]:
        entry = self._entries[question_id]
        entry.state = State.WAITING
        assert self._speed is not None
        job = Job(entry.question, entry.delivered_ns, entry.deadline_ns, attempt)
        found = self._scheduler.add(job, self._speed, len(self._running), now_ns=now_ns)
        return [] if found is None else self._refuse_job(found, now_ns)

    # -- time --------------------------------------------------------------------------------------

    def timeout(self, now_ns: int) -> list[NodeOutput]:
        """The time of a question is over, or there is energy again."""
        outputs: list[NodeOutput] = []
        for question_id, order in self._running.items():
            if order.cut_ns is not None and order.cut_ns <= now_ns and question_id not in self._cut:
                self._cut.add(question_id)
                outputs.append(CutInference(question_id))
        return outputs + self.start_next(now_ns)

    @property
    def deadline(self) -> Deadline | None:
        """The end of a question's time, or when the battery is full enough."""
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
        )

    def start_next(self, now_ns: int) -> list[NodeOutput]:
        """Refuse what cannot make it any more, and give the engine what it has room for."""
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
            entry.began(now_ns)
            self._energy.started(question_id, now_ns=now_ns)
            outputs.append(StartInference(order))
        return outputs

    # -- the engine --------------------------------------------------------------------------------

    def engine_up(self, slots: int, speed: Speed, now_ns: int) -> list[NodeOutput]:
        """The engine is ready, for `slots` questions at once; `start_next` must follow."""
        self._slots = slots
        if self._speed is None:
            self._speed = speed
        return self._admit(now_ns)

    def forget_speed(self) -> None:
        """What was known of the engine's speed is of another model."""
        self._speed = None

    def engine_down(self, reason: str, *, final: bool, now_ns: int) -> list[NodeOutput]:
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

    def pause(self, paused: bool, now_ns: int) -> list[NodeOutput]:
        """Start no further job, for the engine is too hot; or go on."""
        self._paused = paused
        return self.start_next(now_ns)

    @property
    def is_busy(self) -> bool:
        """Whether the engine has any question."""
        return bool(self._running)

    def is_running(self, question_id: int) -> bool:
        """Whether the engine has the question."""
        return question_id in self._running

    def started(self, question_id: int, at_ns: int, now_ns: int) -> None:
        """The engine began on the job at `at_ns`."""
        if question_id in self._running:
            self._entries[question_id].began(min(at_ns, now_ns))

    def first_token(self, question_id: int, at_ns: int, now_ns: int) -> None:
        """The engine had its first token at `at_ns`."""
        if question_id in self._running:
            entry = self._entries[question_id]
            entry.first_token_ns = min(max(at_ns, entry.reading_ns), now_ns)
            self._energy.first_token(question_id, now_ns=now_ns)

    def called(self, question_id: int, at_ns: int, now_ns: int) -> None:
        """Its tools had answered at `at_ns`."""
        if question_id in self._running:
            entry = self._entries[question_id]
            entry.called_ns = entry.first_token_ns = min(max(at_ns, entry.started_ns), now_ns)
            self._energy.started(question_id, now_ns=now_ns)

    def done(
        self, question_id: int, result: InferenceResult, at_ns: int, now_ns: int
    ) -> list[NodeOutput]:
        """The engine has the whole answer since `at_ns`."""
        if question_id not in self._running:
            return [Rejected("result of a job that is not running")]
        spent_mj = self._ended(question_id, now_ns)
        entry = self._entries[question_id]
        if not result.text:
            reason = "no_time" if result.finish_reason == "deadline" else "no_answer"
            detail = f"no part of the answer in {result.output_tokens} tokens"
            return self._refuse(question_id, reason, detail, now_ns) + self.start_next(now_ns)
        assert self._speed is not None
        self._speed.follow(result.prefill_ns, result.step_ns)
        self._slots = result.sequences or self._slots
        text, cut = message.clipped(result.text)
        finished_ns = max(at_ns, entry.first_token_ns)
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
            finished_us=entry.since_us(finished_ns),
            called_us=None if entry.called_ns is None else entry.since_us(entry.called_ns),
            delivered_us=entry.delivered_us,
            rss_peak_bytes=result.rss_peak_bytes,
            spent_mj=spent_mj,
            thoughts=message.clipped(result.thoughts)[0] if entry.question.thoughts else "",
            exposed=result.exposed,
            seen=tuple(
                Sight(one.what, max(0, finished_ns - one.at_ns) // NS_PER_MS, one.digest, one.size)
                for one in result.seen
            ),
            model=self.model if self.tells_model else b"",
        )
        return self._reply(answer) + self.start_next(now_ns)

    def refused(self, question_id: int, reason: str, detail: str, now_ns: int) -> list[NodeOutput]:
        """The engine cannot do this job (the prompt does not fit), and is free again."""
        if question_id not in self._running:
            return [Rejected("refusal of a job that is not running")]
        self._ended(question_id, now_ns)
        return self._refuse(question_id, reason, detail, now_ns) + self.start_next(now_ns)

    def _ended(self, question_id: int, now_ns: int) -> int:
        """What it cost, mJ."""
        del self._running[question_id]
        self._cut.discard(question_id)
        return self._energy.ended(question_id, now_ns=now_ns)

    # -- replies -----------------------------------------------------------------------------------

    def _refuse_hopeless(self, now_ns: int) -> list[NodeOutput]:
        if self._speed is None:
            return []
        found = self._scheduler.hopeless(self._speed, now_ns=now_ns)
        return [output for one in found for output in self._refuse_job(one, now_ns)]

    def _refuse_job(self, found: Hopeless, now_ns: int) -> list[NodeOutput]:
        return self._refuse(found.job.question.question_id, found.reason, found.detail, now_ns)

    def _refuse(self, question_id: int, reason: str, detail: str, now_ns: int) -> list[NodeOutput]:
        entry = self._entries[question_id]
        refused_us = entry.since_us(now_ns)
        refusal = Refusal(question_id, reason, detail[:200], refused_us, entry.delivered_us)
        return self._reply(refusal)

    def _reply(self, reply: Answer | Refusal) -> list[NodeOutput]:
        entry = self._entries[reply.question_id]
        entry.state = State.REPLYING
        entry.reply = reply
        return [StoreAnswer(reply.question_id, codec.encode(reply, texts=()))]
