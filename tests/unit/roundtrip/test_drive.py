from __future__ import annotations

from collections.abc import Sequence

from roundtrip.drive.actor import Actor
from roundtrip.drive.virtual import VirtualClock
from roundtrip.machine import Deadline, earliest
from roundtrip.trace import LineTrace


class Ticker:
    """Ticks every 10 ns, three times."""

    def __init__(self) -> None:
        self.left = 3
        self.at_ns = 10

    def timeout(self, *, now_ns: int) -> Sequence[str]:
        if not self.left or now_ns < self.at_ns:
            return []
        self.left -= 1
        self.at_ns += 10
        return [f"tick at {now_ns}"]

    def poke(self, *, now_ns: int) -> Sequence[str]:
        return [f"poked at {now_ns}"]

    @property
    def deadline(self) -> Deadline | None:
        return (self.at_ns, "tick") if self.left else None


def test_the_clock_jumps_from_event_to_event_in_order_of_scheduling() -> None:
    clock = VirtualClock()
    seen: list[str] = []
    clock.call_at(50, lambda: seen.append("a"))
    clock.call_at(50, lambda: seen.append("b"))
    clock.call_at(20, lambda: seen.append("c"))
    cancelled = clock.call_at(30, lambda: seen.append("never"))
    cancelled.cancel()
    assert not clock.run(lambda: False, limit_ns=100)
    assert seen == ["c", "a", "b"]
    assert (clock.now_ns(), clock.events) == (50, 3), "what was cancelled is none"


def test_the_clock_stops_at_its_limit_and_never_goes_back() -> None:
    clock = VirtualClock()
    clock.call_at(10, lambda: None)
    assert not clock.run(lambda: False, limit_ns=9)
    assert clock.now_ns() == 0
    clock.run(lambda: False, limit_ns=10)
    clock.call_at(3, lambda: None)
    clock.run(lambda: False, limit_ns=100)
    assert clock.now_ns() == 10


def test_an_actor_wakes_its_machine_and_performs_outputs_in_order() -> None:
    clock, trace = VirtualClock(), LineTrace()
    done: list[str] = []
    actor = Actor(clock, "ticker", Ticker(), done.append, trace)
    clock.call_at(5, lambda: actor.call(actor.machine.poke))
    clock.run(lambda: False, limit_ns=1000)
    assert done == ["poked at 5", "tick at 10", "tick at 20", "tick at 30"]
    assert len(trace.lines) == 4


def test_a_stopped_actor_is_not_woken() -> None:
    clock = VirtualClock()
    done: list[str] = []
    actor = Actor(clock, "ticker", Ticker(), done.append)
    actor.call(actor.machine.poke)
    actor.stop()
    clock.run(lambda: False, limit_ns=1000)
    actor.call(actor.machine.poke)
    assert done == ["poked at 0"]


def test_earliest_ignores_what_is_not_set() -> None:
    assert earliest(None, (5, "b"), (3, "a")) == (3, "a")
    assert earliest(None, None) is None


class Alarms:
    """A clock that notes for when it is asked to call."""

    def __init__(self) -> None:
        self.set: list[int] = []
        self.cancelled = 0

    def now_ns(self) -> int:
        return 0

    def call_at(self, at_ns: int, callback) -> Alarms:
        self.set.append(at_ns)
        return self

    def cancel(self) -> None:
        self.cancelled += 1


class Waiting:
    deadline = (5, "it")

    def command(self, *, now_ns: int) -> list[str]:
        return []


def test_an_alarm_is_set_anew_only_where_the_deadline_is_another() -> None:
    clock, machine = Alarms(), Waiting()
    actor = Actor(clock, "it", machine, print)
    for deadline in ((5, "it"), (5, "another"), (7, "it"), (7, "it"), None, None, (7, "it")):
        machine.deadline = deadline
        actor.call(machine.command)
    assert (clock.set, clock.cancelled) == ([5, 7, 7], 2)
