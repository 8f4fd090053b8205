"""The engine in virtual time: how long each job takes, by a measured profile.

Profiles are TOML files in `node/profiles/`, each saying where it was measured.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from node.body.energy import PowerSection
from node.body.limits import LimitsSection
from node.engine.events import (
    EngineDone,
    EngineFirstToken,
    EngineStarted,
    EngineWrote,
    InferenceResult,
    JobEvent,
)
from node.scheduler import Order
from node.speed import Speed, best_width
from roundtrip.config import HourMs
from roundtrip.errors import BadConfig
from roundtrip.files import bad_config, read_toml
from roundtrip.machine import Deadline, earliest
from roundtrip.units import NS_PER_S, ms_to_ns

PROFILES = Path(__file__).parent / "profiles"

Rate = Annotated[float, Field(ge=1e-3, le=1e9)]
"""Tokens a second."""
Tokens = Annotated[int, Field(ge=0, le=10**6)]
Sized = Annotated[dict[Annotated[int, Field(ge=1, le=10**6)], Rate], Field(min_length=1)]
"""A rate by a number of tokens."""
MOST_AT_ONCE = 8
"""Questions, unless a scenario says otherwise."""
TYPICAL_TOKENS = 256
"""The size for which a scheduler is told a speed that depends on it."""


class Profile(BaseModel):
    """Service times of one model on one machine, the limits that stand for this machine where
    another plays its part, and what it draws."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: Annotated[str, Field(max_length=200)]
    quantization: Annotated[str, Field(max_length=200)]
    measured_on: str
    """Machine, build and date; or "a choice" and why."""
    threads: int = Field(gt=0, le=1024)
    prefill_tok_s: Rate | Sized
    """One figure, or by the prompt's tokens."""
    decode_tok_s: Rate | Sized
    """Of one sequence: one figure, or by the tokens it has."""
    batch_tok_s: dict[Annotated[int, Field(ge=1, le=1024)], Rate] = Field(default_factory=dict)
    """Of so many sequences together; where none is given, they share the speed of one."""
    sequences: int = Field(default=0, ge=0, le=64)
    """Questions at once; 0: as many as is fastest in all, 8 at most."""
    start_ms: HourMs = 0.5
    """From the job's start to the first prefill."""
    store_ms: HourMs = 1.0
    """To put a question or an answer on disk, and to hand it on."""
    tool_ms: HourMs = 60.0
    """A call of a tool, in a process of its own."""
    bytes_per_token: float = Field(default=4.0, ge=0.1, le=100)
    """Text bytes a token; for the prompt's length and the answer's size."""
    template_tokens: Tokens = 20
    """Chat template around a question."""
    answer_tokens_mean: float | None = Field(default=None, ge=0.01, le=1e6)
    """Mean length of an answer (exponential, cut at max_tokens); None: always max_tokens."""
    answer_tokens: tuple[Tokens, ...] = ()
    """Or its quantiles, from the least to the greatest, evenly spaced."""
    jitter: float = Field(default=0.02, ge=0, lt=1)
    """Relative standard deviation of prefill and decode time."""
    rss_peak_mb: float = Field(default=0, ge=0, le=1e9)
    weights_mb: float = Field(default=4.19, ge=0.001, le=1e9)
    """What upsets hit; that of the builtin by default."""
    scrub_mb_s: float = Field(default=5000, ge=1, le=1e9)
    """Of the weights, that one core checks."""
    upset_harm: float = Field(default=0.0044, ge=0, le=1)
    """Share of upsets that spoil an answer, as measured on the builtin: docs/radiation.md."""
    limits: LimitsSection = LimitsSection()
    power: PowerSection | None = None
    """None: not known, and the energy model cannot be used with this profile."""

    def at_once(self) -> int:
        """How many questions the engine takes at once."""
        return self.sequences or best_width(self.speed().step_ns, MOST_AT_ONCE)

    def speed(self) -> Speed:
        """As the node would know it."""
        single = at_size(self.decode_tok_s, TYPICAL_TOKENS)
        together = {n: n * NS_PER_S / tok_s for n, tok_s in self.batch_tok_s.items()}
        return Speed(
            NS_PER_S / at_size(self.prefill_tok_s, TYPICAL_TOKENS),
            {1: NS_PER_S / single, **together},
            bytes_per_token=self.bytes_per_token,
        )


def at_size(table: float | dict[int, float], size: float) -> float:
    """A figure that may depend on a size: linear between those given, constant beyond them."""
    if isinstance(table, float | int):
        return table
    known = sorted(table)
    at = bisect_left(known, size)
    if at == 0 or at == len(known):
        return table[known[min(at, len(known) - 1)]]
    low, high = known[at - 1], known[at]
    return table[low] + (table[high] - table[low]) * (size - low) / (high - low)


def _quantile(values: Sequence[int], share: float) -> float:
    """The value below which a share lies, of evenly spaced quantiles."""
    place = share * (len(values) - 1)
    low = min(int(place), len(values) - 2) if len(values) > 1 else 0
    return values[low] + (values[min(low + 1, len(values) - 1)] - values[low]) * (place - low)


@dataclass(slots=True)
class _Running:
    order: Order
    prompt_tokens: int
    output_tokens: int
    factor: float
    """By how much slower than the profile its tokens come."""
    prefill_ns: float
    steps: float
    """Left to be decoded, each of the profile's time."""
    tell_ns: int = 0
    """When its answer is told of next."""

    @property
    def question_id(self) -> int:
        return self.order.job.question.question_id

    @property
    def written(self) -> int:
        """Tokens."""
        return max(0, int(self.output_tokens - self.steps / self.factor))


Words = Callable[[str, int], str]
"""An answer to a question's text, in so many characters."""


def dots(_: str, size: int) -> str:
    """An answer that says nothing."""
    return "." * size


class VirtualEngine:
    """The engine as a pure machine: prompts are read one after the other, then answers written
    together, as fast as the profile says for so many.

    Args:
        profile: the measured one.
        rng: the stream "node/service"; three draws a job, whatever they are used for.
        tell_ns: how often an answer is told of while it is written; 0 for only when it is done.
        words: what is answered to a question's text, in so many characters.
    """

    def __init__(
        self, profile: Profile, rng: random.Random, tell_ns: int = 0, words: Words = dots
    ) -> None:
        self.profile = profile
        self.mended: int | None = None
        """Of damaged weights: nobody looks."""
        self._words = words
        self._tell_ns = tell_ns
        self._rng = rng
        self._now_ns = 0.0
        self._starting: deque[tuple[int, _Running]] = deque()
        self._reading: deque[_Running] = deque()
        self._writing: list[_Running] = []
        self._heads: set[str] = set()
        """System prompts that were read before: their state is kept."""
        self._speed = profile.speed()

    @property
    def store_ns(self) -> int:
        """Time to put something on disk."""
        return ms_to_ns(self.profile.store_ms)

    def speed(self) -> Speed:
        """As the node would know it."""
        return self.profile.speed()

    def at_once(self) -> int:
        """How many questions it takes."""
        return self.profile.at_once()

    def infer(self, order: Order, *, now_ns: int) -> Sequence[JobEvent]:
        """Take a job."""
        outputs = self.timeout(now_ns=now_ns)
        starts_ns = now_ns + ms_to_ns(self.profile.start_ms)
        self._starting.append((starts_ns, self._drawn(order)))
        return outputs

    def _drawn(self, order: Order) -> _Running:
        profile, question = self.profile, order.job.question
        length_draw = self._rng.expovariate(1.0)
        prefill_factor = max(0.1, self._rng.gauss(1.0, profile.jitter))
        decode_factor = max(0.1, self._rng.gauss(1.0, profile.jitter))
        text_tokens = round(question.size_bytes / profile.bytes_per_token)
        head_tokens = round(len(question.system.encode()) / profile.bytes_per_token)
        prompt_tokens = profile.template_tokens + text_tokens + head_tokens
        read = prompt_tokens
        if question.system in self._heads:
            read -= head_tokens
        elif question.system:
            self._heads.add(question.system)
        output_tokens = order.max_tokens
        drawn: float | None = None
        if profile.answer_tokens:
            drawn = _quantile(profile.answer_tokens, 1 - math.exp(-length_draw))
        elif profile.answer_tokens_mean is not None:
            drawn = 1 + length_draw * profile.answer_tokens_mean
        if drawn is not None:
            output_tokens = min(max(1, int(drawn)) + order.think_tokens, order.max_tokens)
        tok_s = at_size(profile.decode_tok_s, prompt_tokens + output_tokens / 2)
        factor = decode_factor * (NS_PER_S / tok_s) / self._speed.step(1)
        prefill_ns = read / at_size(profile.prefill_tok_s, read) * prefill_factor * NS_PER_S
        steps = output_tokens * factor
        return _Running(order, prompt_tokens, output_tokens, factor, prefill_ns, steps)

    def cut(self, question_id: int, *, now_ns: int) -> Sequence[JobEvent]:
        """End a job now, with what there is of it."""
        outputs = list(self.timeout(now_ns=now_ns))
        for job in [*self._writing, *self._reading, *(job for _, job in self._starting)]:
            if job.question_id == question_id:
                written = 0
                if job in self._writing:
                    written = job.written
                self._writing = [other for other in self._writing if other is not job]
                self._reading = deque(other for other in self._reading if other is not job)
                self._starting = deque(pair for pair in self._starting if pair[1] is not job)
                outputs.append(self._done(job, written, "deadline", now_ns))
        return outputs

    def timeout(self, *, now_ns: int) -> Sequence[JobEvent]:
        """What the engine has done until now."""
        outputs: list[JobEvent] = []
        while self._starting and self._starting[0][0] <= now_ns:
            at_ns, job = self._starting.popleft()
            outputs += self._work(at_ns)
            outputs.append(EngineStarted(job.question_id, at_ns))
            self._reading.append(job)
        return outputs + self._work(now_ns)

    def _work(self, until_ns: int) -> list[JobEvent]:
        outputs: list[JobEvent] = []
        while True:
            end_ns, tell_ns = self._next_end_ns(), self._next_tell_ns()
            if tell_ns is not None and tell_ns <= until_ns and (end_ns or 0) > tell_ns:
                outputs += self._tell_all(tell_ns)
                continue
            if end_ns is None or end_ns > until_ns:
                break
            outputs.append(self._end_one(end_ns))
        left_ns = until_ns - self._now_ns
        if self._reading:
            self._reading[0].prefill_ns -= left_ns
        elif self._writing:
            self._write(left_ns)
        self._now_ns = float(until_ns)
        return outputs

    def _next_end_ns(self) -> int | None:
        if self._reading:
            return math.ceil(self._now_ns + max(0.0, self._reading[0].prefill_ns))
        if not self._writing:
            return None
        steps = min(job.steps for job in self._writing)
        return math.ceil(self._now_ns + max(0.0, steps) * self._speed.step(len(self._writing)))

    def _next_tell_ns(self) -> int | None:
        if not self._tell_ns or self._reading:
            return None
        told = min((job.tell_ns for job in self._writing), default=None)
        return None if told is None else max(told, math.ceil(self._now_ns))

    def _tell_all(self, now_ns: int) -> list[JobEvent]:
        """What there is of the answers that were not told of for long."""
        self._write(now_ns - self._now_ns)
        self._now_ns = float(now_ns)
        told: list[JobEvent] = []
        for job in self._writing:
            if job.tell_ns <= now_ns:
                job.tell_ns = now_ns + self._tell_ns
                told.append(EngineWrote(job.question_id, self._text(job, job.written)))
        return told

    def _end_one(self, end_ns: int) -> JobEvent:
        """The prompt or answer that is done next, at `end_ns`."""
        if self._reading:
            job = self._reading.popleft()
            self._writing.append(job)
            job.tell_ns = end_ns + self._tell_ns
            self._now_ns = float(end_ns)
            return EngineFirstToken(job.question_id, end_ns)
        self._write(end_ns - self._now_ns)
        self._now_ns = float(end_ns)
        job = min(self._writing, key=lambda one: one.steps)
        self._writing.remove(job)
        cut = job.output_tokens >= job.order.max_tokens
        return self._done(job, job.output_tokens, "length" if cut else "stop", end_ns)

    def _write(self, duration_ns: float) -> None:
        steps = duration_ns / self._speed.step(len(self._writing))
        for job in self._writing:
            job.steps -= steps

    def _text(self, job: _Running, written: int) -> str:
        answered = max(0, written - job.order.think_tokens)
        size = round(answered * self.profile.bytes_per_token)
        return self._words(job.order.job.question.text, size)

    def _done(self, job: _Running, written: int, reason: str, at_ns: int) -> EngineDone:
        return EngineDone(
            job.question_id,
            at_ns,
            InferenceResult(
                text=self._text(job, written),
                finish_reason=reason,
                prompt_tokens=job.prompt_tokens,
                output_tokens=written,
                rss_peak_bytes=round(self.profile.rss_peak_mb * 1e6),
            ),
        )

    @property
    def deadline(self) -> Deadline | None:
        """When a prompt or an answer will be done."""
        start = (self._starting[0][0], "start") if self._starting else None
        end_ns = self._next_end_ns()
        tell_ns = self._next_tell_ns()
        return earliest(
            start,
            (tell_ns, "tell") if tell_ns is not None else None,
            (end_ns, "engine") if end_ns is not None else None,
        )


def load_profile(name: str) -> Profile:
    """A profile by its name in node/profiles, or by its file.

    Raises:
        BadConfig: there is none, or it does not hold what a profile must.
    """
    path = Path(name) if name.endswith(".toml") else PROFILES / f"{name}.toml"
    if not name.endswith(".toml") and not path.is_file():
        known = ", ".join(sorted(p.stem for p in PROFILES.glob("*.toml")))
        raise BadConfig("node.profile", "", f"one of {known}, or a .toml file", repr(name)[:80])
    table = read_toml(path, "a profile")
    try:
        return Profile.model_validate(table)
    except ValidationError as error:
        raise bad_config(error, str(path)) from None
