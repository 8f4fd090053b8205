"""What the node does, as its battery sees it. Pure; without a battery nothing is counted and
everything may run."""

from __future__ import annotations

from collections.abc import Iterable

from node.body.energy import Activity, Battery, Priority
from node.scheduler import Job

EXPEDITED = 2
"""The priority that is served below the floor."""


class EnergyBook:
    """The battery's view of one node."""

    def __init__(self, battery: Battery | None) -> None:
        self._battery = battery
        self._reading: dict[int, None] = {}
        self._writing: dict[int, None] = {}
        self._replying: dict[int, None] = {}

    def carrier(self, rx_up: bool, *, now_ns: int) -> None:
        """The receiver is on while there is a signal."""
        self._serve(Activity.RADIO_RX, () if rx_up else None, now_ns)

    def started(self, question_id: int, *, now_ns: int) -> None:
        """The engine reads a prompt."""
        self._reading[question_id] = None
        self._writing.pop(question_id, None)
        self._engine(now_ns)

    def first_token(self, question_id: int, *, now_ns: int) -> None:
        """The engine writes an answer."""
        self._reading.pop(question_id, None)
        self._writing[question_id] = None
        self._engine(now_ns)

    def ended(self, question_id: int, *, now_ns: int) -> int:
        """The engine is done with a question; what that cost above idling, mJ."""
        self._reading.pop(question_id, None)
        self._writing.pop(question_id, None)
        self._engine(now_ns)
        return round(self._battery.settle(question_id) * 1000) if self._battery else 0

    def sent(self, question_id: int, *, now_ns: int) -> None:
        """A reply is on its way."""
        self._replying[question_id] = None
        self._serve(Activity.RADIO_TX, (), now_ns)

    def arrived(self, question_id: int, *, now_ns: int) -> None:
        """The ground has a reply."""
        self._replying.pop(question_id, None)
        if not self._replying:
            self._serve(Activity.RADIO_TX, None, now_ns)

    def may_run(self, job: Job) -> bool:
        """Whether there is energy for a job now."""
        if self._battery is None:
            return True
        urgent = job.question.priority >= EXPEDITED
        return self._battery.may_run(Priority.HIGH if urgent else Priority.NORMAL)

    def advance(self, now_ns: int) -> None:
        """Account for the time until now."""
        if self._battery is not None:
            self._battery.advance(now_ns)

    @property
    def ready_ns(self) -> int | None:
        """When there will be energy for all again; None where the sun does not suffice."""
        return self._battery.ready_ns() if self._battery is not None else None

    @property
    def charge_permille(self) -> int | None:
        """Of the battery; None without one."""
        return round(self._battery.charge_share * 1000) if self._battery is not None else None

    def _engine(self, now_ns: int) -> None:
        self._serve(Activity.PREFILL, self._reading or None, now_ns)
        self._serve(Activity.DECODE, self._writing or None, now_ns)

    def _serve(self, activity: Activity, jobs: Iterable[int] | None, now_ns: int) -> None:
        if self._battery is not None:
            self._battery.serve(activity, jobs, now_ns=now_ns)
