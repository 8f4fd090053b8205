"""Once a second: is the engine alive, is the processor too hot, and does systemd know we live?

The watchdog of systemd is fed from here, in the node's event loop, and only while the engine's
heartbeat is fresh: a node that hangs, or that cannot get its engine back, is started anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import psutil

from node.cgroup import PROC
from node.health import parse_major_faults, temperature_c
from node.heartbeat import Heartbeat
from node.thermal import Level, ThermalPolicy
from roundtrip.drive import clock
from roundtrip.drive.notify import Notifier
from roundtrip.units import NS_PER_S

TICK_S = 1.0
TEMPERATURE_EVERY = 5
"""Ticks from one look at the temperature to the next."""


class Watched(Protocol):
    """What a guard needs to know of the engine's supervisor."""

    @property
    def pid(self) -> int | None:
        """Of the engine, while there is one."""

    @property
    def busy(self) -> bool:
        """The engine loads, or has a question."""

    def kill_hung(self) -> None:
        """End the engine's process; it is started again."""


class Guard:
    """Looks after one engine.

    Args:
        engine: its supervisor.
        policy: what heat does.
        notifier: systemd, or nobody.
        on_level: told when the level of heat changes.
        report: told what an operator should know.
    """

    def __init__(
        self,
        engine: Watched,
        policy: ThermalPolicy,
        notifier: Notifier,
        on_level: Callable[[Level], None],
        report: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._policy = policy
        self._notifier = notifier
        self._on_level = on_level
        self._report = report
        self._heartbeat = Heartbeat(clock.monotonic_ns())
        self._fed_ns = 0
        self._ticks = 0

    def beat(self) -> None:
        """The engine said something."""
        self._heartbeat.beat(clock.monotonic_ns())

    async def run(self) -> None:
        """Look once a second, for ever."""
        while True:
            self.look(clock.monotonic_ns())
            await asyncio.sleep(TICK_S)

    def look(self, now_ns: int) -> None:
        """Do what is due at `now_ns`."""
        pid = self._engine.pid
        progress = _progress(pid) if pid is not None else None
        self._heartbeat.look(progress, busy=self._engine.busy, now_ns=now_ns)
        if self._heartbeat.fresh(now_ns):
            self._feed(now_ns)
        elif progress is not None:
            self._report("node: the engine has not moved for a minute; it is killed")
            self._engine.kill_hung()
            self._heartbeat.beat(now_ns)
        if self._ticks % TEMPERATURE_EVERY == 0 and self._policy.update(temperature_c()):
            self._on_level(self._policy.level)
        self._ticks += 1

    def _feed(self, now_ns: int) -> None:
        """Four times in the watchdog's time."""
        limit_s = self._notifier.watchdog_s
        if limit_s is not None and now_ns - self._fed_ns >= limit_s / 4 * NS_PER_S:
            self._fed_ns = now_ns
            self._notifier.tell("WATCHDOG=1")


def _progress(pid: int) -> tuple[int, ...] | None:
    """CPU time in ms and pages fetched from the disk, of all threads; None where there is no such
    process."""
    try:
        times = psutil.Process(pid).cpu_times()
        faults = parse_major_faults((PROC / str(pid) / "stat").read_text(encoding="utf-8"))
    except (psutil.Error, OSError, UnicodeDecodeError):
        return None
    return round((times.user + times.system) * 1000), faults or 0
