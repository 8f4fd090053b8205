"""Which job runs next, how many tokens it may spend, and which cannot make it. Pure.

`deadline` runs the job with the least slack first, among those of the highest priority: slack is
what is left until its answer must leave for the ground, less what the engine needs for it. A job
that cannot make it is refused as soon as that is known; one that can make it only in part is cut
when its time comes. `edf` (earliest deadline first) and `fifo` refuse and cut nothing.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from node.downlink import Downlink
from node.speed import Speed
from roundtrip.contacts import FOREVER_NS
from roundtrip.message import Question

Policy = Literal["deadline", "edf", "fifo"]
MIN_TOKENS = 8
"""A part of an answer with fewer tokens is not worth its way."""
EARLY_REFUSAL = 1.5
"""A job is refused on arrival when the jobs before it would take this much longer than it has."""
THINK_SHARE = 0.5
"""Of the tokens that there is time for."""


@dataclass(frozen=True, slots=True)
class Job:
    """One question to be answered by the engine."""

    question: Question
    delivered_ns: int
    deadline_ns: int
    """When its answer must be on the ground."""
    attempt: int = 0
    """0 at first; 1 when the engine died over it once."""
    leave_ns: int | None = None
    """The last moment at which its answer can leave for the ground; None where there is none."""


@dataclass(frozen=True, slots=True)
class Order:
    """A job, and what the engine may spend on it."""

    job: Job
    max_tokens: int
    thinking: bool
    think_tokens: int
    alone: bool
    """Nothing may run beside it: it may be what the engine died over."""
    cut_ns: int | None
    """When its generation must end; None: never."""
    tools: str = ""
    """What the model is told of tools; empty where there are none for it."""
    rounds: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """What it has called so far, and what came back."""
    images: tuple[str, ...] = ()
    """What it is to see, as data URLs."""


@dataclass(frozen=True, slots=True)
class Hopeless:
    """A job that cannot make it."""

    job: Job
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Waiting:
    rank: tuple[int, int, int]
    job: Job
    service_ns: float
    """What the engine needs for it, alone."""
    last_start_ns: int
    """After this moment it cannot make it any more."""


@dataclass(slots=True)
class Scheduler:
    """The jobs that wait, in the order in which they go.

    Args:
        limit: jobs that may wait; one that is retried is let in all the same.
        downlink: the way to the ground.
        policy: see above.
        may_run: whether there is energy for a job; one without is deferred, others go before it.
    """

    limit: int
    downlink: Downlink
    policy: Policy = "deadline"
    may_run: Callable[[Job], bool] = lambda job: True
    deferred: set[int] = field(default_factory=set)
    """Questions that wait for energy."""
    _waiting: list[_Waiting] = field(default_factory=list)
    _work_ns: float = 0.0
    """Of all that wait."""
    next_check_ns: int = FOREVER_NS
    """When the first of those that wait may not make it any more."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, job: Job, speed: Speed, running: int, *, now_ns: int) -> Hopeless | None:
        """Let a job wait, unless it cannot make it."""
        last_start_ns = FOREVER_NS
        if self.policy == "deadline":
            job = self._with_leave(job, speed, now_ns)
            hopeless = self._judge(job, speed, now_ns)
            if hopeless is not None:
                return hopeless
            assert job.leave_ns is not None
            last_start_ns = job.leave_ns - _least_ns(job, speed)
        waiting = _Waiting(self._rank(job, speed), job, self._service_ns(job, speed), last_start_ns)
        hopeless = self._behind(waiting, speed, running, now_ns)
        if hopeless is not None:
            return hopeless
        insort(self._waiting, waiting, key=lambda one: one.rank)
        self._work_ns += waiting.service_ns
        self.next_check_ns = min(self.next_check_ns, last_start_ns + 1)
        return None

    def remove(self, question_id: int) -> bool:
        """Take a question out, wherever it waits; whether it was there."""
        for waiting in self._waiting:
            if waiting.job.question.question_id == question_id:
                self._take(waiting)
                return True
        return False

    def hopeless(self, speed: Speed, *, now_ns: int) -> list[Hopeless]:
        """Take out the jobs that cannot make it any more."""
        if now_ns < self.next_check_ns:
            return []
        found: list[Hopeless] = []
        for waiting in list(self._waiting):
            if waiting.last_start_ns < now_ns:
                deferred = waiting.job.question.question_id in self.deferred
                self._take(waiting)
                if deferred:
                    detail = "the battery was under its floor until it was too late"
                    found.append(Hopeless(waiting.job, "no_energy", detail))
                    continue
                hopeless = self._judge(waiting.job, speed, now_ns)
                late = Hopeless(waiting.job, "no_time", "waited until it was too late")
                found.append(hopeless or late)
        times = (waiting.last_start_ns + 1 for waiting in self._waiting)
        self.next_check_ns = min(times, default=FOREVER_NS)
        return found

    def next_order(self, speed: Speed, running: int, *, alone: bool, now_ns: int) -> Order | None:
        """Take the job that should run now.

        Args:
            speed: of the engine.
            running: jobs that run already.
            alone: one of them must run alone.
            now_ns: the time.
        """
        if not self._waiting or alone:
            return None
        waiting = next((one for one in self._waiting if self.may_run(one.job)), None)
        if waiting is None:
            self.deferred.update(one.job.question.question_id for one in self._waiting)
            return None
        if waiting.job.attempt and running:
            return None
        self._take(waiting)
        return self._order(waiting.job, speed, running, now_ns)

    def drain(self) -> list[Job]:
        """Take out all jobs."""
        jobs = [waiting.job for waiting in self._waiting]
        self._waiting, self._work_ns, self.next_check_ns = [], 0.0, FOREVER_NS
        self.deferred.clear()
        return jobs

    def _take(self, waiting: _Waiting) -> None:
        self._waiting.remove(waiting)
        self.deferred.discard(waiting.job.question.question_id)
        self._work_ns -= waiting.service_ns

    # -- what it goes by ---------------------------------------------------------------------------

    def _rank(self, job: Job, speed: Speed) -> tuple[int, int, int]:
        """The lowest goes first; one that is tried again before all others."""
        if self.policy == "fifo":
            return -job.attempt, 0, job.delivered_ns
        if self.policy == "edf" or job.leave_ns is None:
            return -job.attempt, job.deadline_ns, job.delivered_ns
        slack_end_ns = job.leave_ns - round(self._service_ns(job, speed))
        return -job.question.priority, slack_end_ns, job.delivered_ns

    def _with_leave(self, job: Job, speed: Speed, now_ns: int) -> Job:
        text_bytes = job.question.max_tokens * speed.bytes_per_token
        leave_ns = self.downlink.last_start_ns(text_bytes, job.deadline_ns, now_ns)
        if leave_ns is None:
            leave_ns = self.downlink.last_start_ns(
                MIN_TOKENS * speed.bytes_per_token, job.deadline_ns, now_ns
            )
        return replace(job, leave_ns=leave_ns)

    def _service_ns(self, job: Job, speed: Speed) -> float:
        tokens = speed.expected_tokens(job.question.max_tokens)
        return _prefill_ns(job, speed) + tokens * speed.step(1)

    def _judge(self, job: Job, speed: Speed, now_ns: int) -> Hopeless | None:
        left_s = (job.deadline_ns - now_ns) / 1e9
        if job.leave_ns is None:
            if left_s <= 0:
                return Hopeless(job, "no_time", f"{-left_s:.0f} s past its deadline")
            if self.downlink.is_open(now_ns, job.deadline_ns):
                return Hopeless(job, "no_time", f"{left_s:.1f} s are too short for the way back")
            detail = f"none in the {left_s:.0f} s to its deadline"
            return Hopeless(job, "no_contact_before_deadline", detail)
        least_ns = _least_ns(job, speed)
        if now_ns + least_ns <= job.leave_ns:
            return None
        has_s = max(0.0, (job.leave_ns - now_ns) / 1e9)
        return Hopeless(job, "no_time", f"needs {least_ns / 1e9:.1f} s, has {has_s:.1f}")

    def _behind(
        self, waiting: _Waiting, speed: Speed, running: int, now_ns: int
    ) -> Hopeless | None:
        """Whether the jobs that go before leave it no time."""
        together = max(1, running)
        gain = together * speed.step(1) / speed.step(together)
        has_ns = waiting.last_start_ns - now_ns
        if self._work_ns <= EARLY_REFUSAL * has_ns * gain:
            return None
        ahead = self._waiting[: bisect_right(self._waiting, waiting.rank, key=lambda o: o.rank)]
        needs_ns = sum(other.service_ns for other in ahead) / gain
        if needs_ns <= EARLY_REFUSAL * has_ns:
            return None
        detail = f"{len(ahead)} before it need {needs_ns / 1e9:.1f} s, has {has_ns / 1e9:.1f}"
        return Hopeless(waiting.job, "no_time", detail)

    def _order(self, job: Job, speed: Speed, running: int, now_ns: int) -> Order:
        question = job.question
        cut_ns = None
        tokens = question.max_tokens
        if self.policy == "deadline" and job.leave_ns is not None:
            job = self._with_leave(job, speed, now_ns)
            cut_ns = now_ns if job.leave_ns is None else job.leave_ns
            time_ns = cut_ns - now_ns - _prefill_ns(job, speed)
            tokens = int(min(tokens, max(1.0, time_ns / speed.step(running + 1))))
        thinking = question.thinking == "on" or (
            question.thinking == "auto" and tokens >= question.max_tokens
        )
        budget = question.think_tokens or int(THINK_SHARE * tokens)
        return Order(
            job,
            question.max_tokens,
            thinking,
            min(budget, tokens) if thinking else 0,
            alone=bool(job.attempt),
            cut_ns=cut_ns,
        )


def _prefill_ns(job: Job, speed: Speed) -> float:
    return job.question.size_bytes / speed.bytes_per_token * speed.prefill_ns


def _least_ns(job: Job, speed: Speed) -> int:
    tokens = min(MIN_TOKENS, speed.expected_tokens(job.question.max_tokens))
    return round(_prefill_ns(job, speed) + tokens * speed.step(1))
