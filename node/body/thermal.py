"""What heat does to the engine: all threads, half of them, or no further question. Pure, with
hysteresis: a level is left only when it has become cooler by a margin than what led to it.
"""

from __future__ import annotations

import enum

from roundtrip.node_config import ThermalConfig


class Level(enum.IntEnum):
    """How much of the engine may run, hotter upwards."""

    FULL = 0
    REDUCED = 1
    PAUSED = 2


class ThermalPolicy:
    """The level, by the processor's temperature.

    Args:
        config: the temperatures.
    """

    def __init__(self, config: ThermalConfig) -> None:
        self._enter_c = {Level.REDUCED: config.reduce_c, Level.PAUSED: config.pause_c}
        self._margin_c = config.margin_c
        self.level = Level.FULL

    def update(self, temperature_c: float | None) -> bool:
        """A new measurement; None where there is none, which changes nothing.

        Returns:
            Whether the level has changed.
        """
        if temperature_c is None:
            return False
        before = self.level
        while self.level < Level.PAUSED and temperature_c >= self._enter_c[Level(self.level + 1)]:
            self.level = Level(self.level + 1)
        while (
            self.level > Level.FULL and temperature_c <= self._enter_c[self.level] - self._margin_c
        ):
            self.level = Level(self.level - 1)
        return self.level is not before

    def threads(self, full: int) -> int:
        """Threads that the engine may use of its `full` number; 0 while it pauses."""
        if self.level is Level.PAUSED:
            return 0
        return full if self.level is Level.FULL else max(1, full // 2)
