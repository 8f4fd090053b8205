"""Which job runs next. Pure; first come, first served."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from roundtrip.message import Question


@dataclass(frozen=True, slots=True)
class Job:
    """One question to be answered by the engine."""

    question: Question
    delivered_ns: int
    attempt: int
    """0 at first; 1 when the engine died over it once."""


class FifoScheduler:
    """First come, first served, with a limit.

    Args:
        limit: jobs that may wait; a job that is retried is let in all the same.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[Job] = deque()

    @property
    def full(self) -> bool:
        """Whether a further job must be refused."""
        return len(self._waiting) >= self._limit

    def add(self, job: Job) -> None:
        """Put a job behind all others, or in front when it is a retry."""
        if job.attempt:
            self._waiting.appendleft(job)
        else:
            self._waiting.append(job)

    def next_job(self) -> Job | None:
        """Take the job that should run now."""
        return self._waiting.popleft() if self._waiting else None

    def __len__(self) -> int:
        return len(self._waiting)
