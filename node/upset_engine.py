"""The engine in virtual time whose weights flip: as `engine/guarded.py`, by measured figures.

A round of checks takes as long as the profile's machine needs for its weights, beside other work
`SHARE` of the time. An upset is harmful with the share that was measured on the builtin, and then
spoils every answer until it is mended: docs/radiation.md. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from node.engine.events import EngineDone, JobEvent
from node.engine.guarded import MAX_TRIES, SLICE_NS
from node.engine.scrub import SHARE
from node.scheduler import Order
from node.service_time import Profile, VirtualEngine
from node.speed import Speed
from roundtrip.machine import Deadline, earliest
from roundtrip.radiation import RadiationConfig
from roundtrip.units import NS_PER_S, s_to_ns
from roundtrip.upsets import Upsets

SPOILT = "\ufffd"
"""What a spoilt answer consists of."""


@dataclass(slots=True)
class Hit:
    """What upsets did in a run."""

    upsets: int = 0
    mended: int = 0
    again: int = 0
    """Answers that were begun anew."""
    exposed: int = 0
    spoilt: int = 0
    """Answers that were given, and wrong."""


@dataclass(slots=True)
class _Job:
    order: Order
    tries: int = 1
    spoilt: bool = False
    """A harmful upset stood when it was done."""
    exposed: bool = False
    """It is not begun anew any more."""


class UpsetEngine:
    """As `VirtualEngine`, and its memory is exposed.

    Args:
        inner: the engine.
        radiation: how often, and what is done against it.
        rng: of the upsets, and of what they do.
    """

    def __init__(
        self, inner: VirtualEngine, radiation: RadiationConfig, rng: random.Random
    ) -> None:
        self._inner = inner
        self._scrubs = radiation.scrub
        self._probe_ns = s_to_ns(radiation.probe_s)
        self._rng = rng
        profile = inner.profile
        self._upsets = Upsets(radiation.rate, round(profile.weights_mb * 8e6), rng, 0)
        self._round_ns = round(profile.weights_mb / profile.scrub_mb_s * NS_PER_S)
        self._harm = profile.upset_harm
        self._jobs: dict[int, _Job] = {}
        self._held: list[EngineDone] = []
        """Answers that wait for their check, with the end of it."""
        self._standing = self._harmful = 0
        """Upsets that nobody has found."""
        self._idle_ns = 0
        """Since when there was nothing to do, or the last check then."""
        self.hit = Hit()

    @property
    def profile(self) -> Profile:
        """The measured one."""
        return self._inner.profile

    def speed(self) -> Speed:
        """As the node would know it."""
        return self._inner.speed()

    def at_once(self) -> int:
        """How many questions it takes."""
        return self._inner.at_once()

    @property
    def mended(self) -> int:
        """Upsets that were found."""
        return self.hit.mended

    @property
    def store_ns(self) -> int:
        """Time to put something on disk."""
        return self._inner.store_ns

    def infer(self, order: Order, *, now_ns: int) -> Sequence[JobEvent]:
        """Take a job."""
        if not self._jobs and self._scrubs:
            checks = (now_ns - self._idle_ns) // self._probe_ns
            self._happen(self._idle_ns + checks * self._probe_ns)
            self._mend()
        self._jobs[order.job.question.question_id] = _Job(order)
        return self._inner.infer(order, now_ns=now_ns)

    def cut(self, question_id: int, *, now_ns: int) -> Sequence[JobEvent]:
        """End a job now, with what there is of it."""
        outputs = self._after(self._inner.cut(question_id, now_ns=now_ns), now_ns)
        for held in self._held:
            if held.question_id == question_id:
                self._held.remove(held)
                checked = not self._scrubs or self._round_ns <= SLICE_NS
                self._jobs[question_id].exposed |= not checked or self._found
                outputs.append(self._given(held, now_ns))
                break
        return outputs

    def timeout(self, *, now_ns: int) -> Sequence[JobEvent]:
        """What the engine has done until now."""
        return self._after(self._inner.timeout(now_ns=now_ns), now_ns)

    @property
    def deadline(self) -> Deadline | None:
        """When something will be done, or checked."""
        check_ns = min((held.at_ns for held in self._held), default=None)
        return earliest(self._inner.deadline, (check_ns, "check") if check_ns is not None else None)

    def _after(self, events: Sequence[JobEvent], now_ns: int) -> list[JobEvent]:
        outputs: list[JobEvent] = []
        for event in events:
            if isinstance(event, EngineDone):
                self._happen(event.at_ns)
                self._jobs[event.question_id].spoilt = self._harmful > 0
                busy = len(self._jobs) - len(self._held) > 1
                check_ns = self._round_ns / SHARE if busy else self._round_ns
                at_ns = event.at_ns + round(check_ns) * self._scrubs
                self._held.append(replace(event, at_ns=at_ns))
            else:
                outputs.append(event)
        if self._found and any(held.at_ns <= now_ns for held in self._held):
            outputs += self._begin_anew(now_ns)
        for held in [held for held in self._held if held.at_ns <= now_ns]:
            self._held.remove(held)
            outputs.append(self._given(held, held.at_ns))
        return outputs

    @property
    def _found(self) -> bool:
        """A check would find damage."""
        return self._scrubs and self._standing > 0

    def _happen(self, now_ns: int) -> None:
        """All upsets until now."""
        for _ in self._upsets.due(now_ns):
            self.hit.upsets += 1
            self._standing += 1
            self._harmful += self._rng.random() < self._harm

    def _mend(self) -> None:
        self.hit.mended += self._standing
        self._standing = self._harmful = 0

    def _begin_anew(self, now_ns: int) -> list[JobEvent]:
        """Damage was found: whatever is not given yet is made again, if it was not too often."""
        self._mend()
        events: list[JobEvent] = []
        for question_id, job in self._jobs.items():
            if job.tries >= MAX_TRIES:
                job.exposed = True
                continue
            job.tries += 1
            self.hit.again += 1
            self._held = [held for held in self._held if held.question_id != question_id]
            self._inner.cut(question_id, now_ns=now_ns)
            events += self._inner.infer(job.order, now_ns=now_ns)
        return events

    def _given(self, held: EngineDone, at_ns: int) -> EngineDone:
        job = self._jobs.pop(held.question_id)
        self._idle_ns = at_ns
        self.hit.exposed += job.exposed
        self.hit.spoilt += job.spoilt
        text = SPOILT * len(held.result.text) if job.spoilt else held.result.text
        return replace(
            held, at_ns=at_ns, result=replace(held.result, text=text, exposed=job.exposed)
        )
