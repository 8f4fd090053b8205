"""An actor: a machine, the clock that wakes it, and the hands that carry out its outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from roundtrip.machine import Machine
from roundtrip.trace import Trace

M = TypeVar("M", bound=Machine)


class Alarm(Protocol):
    """A call that has been put on a clock."""

    def cancel(self) -> None:
        """Take it off again."""


class Clock(Protocol):
    """Where an actor's time comes from: the event heap, or the real clock."""

    def now_ns(self) -> int:
        """The plan's clock."""

    def call_at(self, at_ns: int, callback: Callable[[], None]) -> Alarm:
        """Call back at `at_ns`, or as soon as possible when that is past."""


class Actor(Generic[M]):
    """Runs one machine: every call goes through `call`, every output through `perform`, in
    order."""

    def __init__(
        self,
        clock: Clock,
        name: str,
        machine: M,
        perform: Callable[[Any], None],
        trace: Trace | None = None,
    ) -> None:
        self.clock = clock
        self.name = name
        self.machine = machine
        self._perform = perform
        self._trace = trace
        self._alarm: Alarm | None = None
        self._alarm_at_ns = 0
        self._stopped = False

    def call(self, command: Callable[..., Sequence[Any]], *args: Any, **kwargs: Any) -> None:
        """Give the machine a command, now, and carry out what it puts out; nothing once stopped."""
        self.tell(command, *args, **kwargs)
        self.settle()

    def tell(self, command: Callable[..., Sequence[Any]], *args: Any, **kwargs: Any) -> None:
        """As `call`, as one of a batch: `settle` must follow before anything else is waited for."""
        if self._stopped:
            return
        now_ns = self.clock.now_ns()
        outputs = command(*args, now_ns=now_ns, **kwargs)
        if self._trace is not None:
            for output in outputs:
                self._trace.record(now_ns, self.name, output)
        for output in outputs:
            self._perform(output)

    def settle(self) -> None:
        """Set the alarm by the machine's deadline."""
        if self._stopped:
            return
        deadline = self.machine.deadline
        if self._alarm is not None:
            if deadline is not None and deadline[0] == self._alarm_at_ns:
                return
            self._alarm.cancel()
            self._alarm = None
        if deadline is not None:
            self._alarm_at_ns = deadline[0]
            self._alarm = self.clock.call_at(deadline[0], self._wake)

    def _wake(self) -> None:
        self._alarm = None
        self.call(self.machine.timeout)

    @property
    def stopped(self) -> bool:
        """Whether nothing is done any more."""
        return self._stopped

    def stop(self) -> None:
        """Never call the machine again: results of slow work may still arrive."""
        self._stopped = True
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
