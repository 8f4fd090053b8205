"""Once a second: is the processor too hot, and does systemd know that we live?

The watchdog of systemd is fed from here, in the node's event loop, and only while the engine is
alive: a node that hangs, or that cannot get its engine back, is started anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from node.body.health import temperature_c
from node.body.thermal import Level, ThermalPolicy
from roundtrip.drive import clock
from roundtrip.drive.notify import Notifier
from roundtrip.units import NS_PER_S

TICK_S = 1.0
TEMPERATURE_EVERY = 5
"""Ticks from one look at the temperature to the next."""


class Watched(Protocol):
    """What a guard needs to know of the engine's supervisor."""

    @property
    def alive(self) -> bool:
        """The engine loads, or has said something not long ago."""


class Guard:
    """Looks after one engine.

    Args:
        engine: its supervisor.
        policy: what heat does.
        notifier: systemd, or nobody.
        on_level: told when the level of heat changes.
    """

    def __init__(
        self,
        engine: Watched,
        policy: ThermalPolicy,
        notifier: Notifier,
        on_level: Callable[[Level], None],
    ) -> None:
        self._engine = engine
        self._policy = policy
        self._notifier = notifier
        self._on_level = on_level
        self._fed_ns = 0
        self._ticks = 0

    async def run(self) -> None:
        """Look once a second, for ever."""
        while True:
            self.look(clock.monotonic_ns())
            await asyncio.sleep(TICK_S)

    def look(self, now_ns: int) -> None:
        """Do what is due at `now_ns`."""
        if self._engine.alive:
            self._feed(now_ns)
        if self._ticks % TEMPERATURE_EVERY == 0 and self._policy.update(temperature_c()):
            self._on_level(self._policy.level)
        self._ticks += 1

    def _feed(self, now_ns: int) -> None:
        """Four times in the watchdog's time."""
        limit_s = self._notifier.watchdog_s
        if limit_s is not None and now_ns - self._fed_ns >= limit_s / 4 * NS_PER_S:
            self._fed_ns = now_ns
            self._notifier.tell("WATCHDOG=1")
