"""Telemetry frames of a small satellite: fourteen channels with fixed limits, values near them on
purpose.

A frame is text as a ground station would show it: a line that says sun or eclipse, then a line a
channel. The limits are the spacecraft's, known to whoever was trained on it, and not part of the
frame. All of it is a choice; the figures are of the size that a small satellite has.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

SUN, ECLIPSE = "SUN", "ECLIPSE"
LOW, WITHIN, HIGH = "low", "within", "high"


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel. Values are integers in steps of its last digit."""

    name: str
    unit: str
    decimals: int
    digits: int
    """Before the point, padded with zeros."""
    signed: bool
    low: int
    high: int
    floor: int
    """Smallest value that occurs."""
    ceiling: int
    """Largest value that occurs."""
    words: tuple[str, ...]
    """What people call it."""
    when_low: str
    """What to do; empty where it cannot be too low."""
    when_high: str
    """What to do; empty where it cannot be too high."""
    eclipse: tuple[int, int] | None = None
    """Its limits in eclipse, where they differ."""

    def limits(self, light: str) -> tuple[int, int]:
        """Lowest and highest value that is within limits."""
        if light == ECLIPSE and self.eclipse is not None:
            return self.eclipse
        return self.low, self.high

    def text(self, value: int) -> str:
        """The value as the frame shows it, without its unit."""
        sign = ("-" if value < 0 else "+") if self.signed else ""
        whole, part = divmod(abs(value), 10**self.decimals)
        point = f".{part:0{self.decimals}d}" if self.decimals else ""
        return f"{sign}{whole:0{self.digits}d}{point}"

    def value_of(self, text: str) -> int:
        """The value of a text.

        Raises:
            ValueError: it is no number.
        """
        value = float(text) * float(10**self.decimals)
        if not math.isfinite(value):
            raise ValueError("a number")
        return round(value)

    def with_unit(self, value: int) -> str:
        """The value and its unit."""
        return f"{self.text(value)} {self.unit}"


CHANNELS: tuple[Channel, ...] = (
    Channel("EPS.VBAT", "V", 1, 2, False, 240, 336, 200, 360,
            ("battery voltage", "voltage of the battery", "bus battery voltage"),
            "shed non-essential loads", "stop charging"),
    Channel("EPS.IBAT", "A", 1, 2, True, -50, 50, -90, 90,
            ("battery current", "current of the battery", "charge current"),
            "shed non-essential loads", "limit the charge current"),
    Channel("EPS.SOC", "%", 0, 3, False, 30, 100, 5, 100,
            ("state of charge", "battery charge", "charge level"),
            "enter power save mode", ""),
    Channel("EPS.TBAT", "C", 1, 2, True, -50, 450, -200, 650,
            ("battery temperature", "temperature of the battery", "battery temp"),
            "switch on the battery heater", "stop charging"),
    Channel("EPS.ISOL", "A", 1, 2, False, 8, 45, 0, 60,
            ("solar current", "panel current", "current of the solar panels"),
            "check the sun pointing", "check the current sensor", (0, 2)),
    Channel("OBC.TEMP", "C", 1, 2, True, -200, 700, -350, 900,
            ("computer temperature", "onboard computer temperature", "OBC temperature"),
            "switch on the computer heater", "reduce the computer load"),
    Channel("OBC.LOAD", "%", 0, 3, False, 0, 85, 0, 100,
            ("computer load", "processor load", "CPU load"),
            "", "stop background tasks"),
    Channel("OBC.VREG", "V", 2, 1, False, 315, 345, 290, 370,
            ("regulator voltage", "regulated voltage", "computer voltage"),
            "switch to the spare regulator", "switch to the spare regulator"),
    Channel("ADCS.RATE", "deg/s", 2, 1, False, 0, 50, 0, 200,
            ("rotation rate", "body rate", "spin rate"),
            "", "start detumbling"),
    Channel("ADCS.ERR", "deg", 1, 2, False, 0, 50, 0, 200,
            ("pointing error", "attitude error", "pointing offset"),
            "", "calibrate the star tracker"),
    Channel("COM.TEMP", "C", 1, 2, True, -200, 600, -350, 850,
            ("radio temperature", "transmitter temperature", "temperature of the radio"),
            "switch on the radio heater", "lower the transmit power"),
    Channel("COM.PWR", "dBm", 1, 2, False, 200, 330, 120, 380,
            ("transmit power", "radio power", "output power of the radio"),
            "switch to the spare transmitter", "lower the transmit power"),
    Channel("PROP.PRES", "bar", 1, 2, False, 50, 250, 10, 320,
            ("tank pressure", "propellant pressure", "pressure of the tank"),
            "close the thruster valves", "vent the tank"),
    Channel("PAY.TEMP", "C", 1, 2, True, -100, 400, -300, 700,
            ("payload temperature", "camera temperature", "instrument temperature"),
            "switch on the payload heater", "switch off the payload"),
)  # fmt: skip
BY_NAME = {channel.name: channel for channel in CHANNELS}

ALARM_WEIGHTS = (26, 26, 20, 14, 9, 5)
"""How often a frame has 0, 1, ... 5 channels out of limits."""
NEAR_SHARE = 0.35
"""Share of values within five steps of a limit, on either side."""
NEAR_STEPS = 5
FEWEST = 9
"""Channels a frame has at least."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame."""

    light: str
    values: tuple[tuple[Channel, int], ...]
    """In the order in which the frame shows them."""

    def text(self) -> str:
        """As the model sees it."""
        lines = [f"{channel.name} {channel.with_unit(value)}" for channel, value in self.values]
        return "\n".join([self.light, *lines])

    def value(self, channel: Channel) -> int | None:
        """A channel's value; None where it is not in this frame."""
        return next((value for other, value in self.values if other is channel), None)

    def side(self, channel: Channel) -> str:
        """Whether a channel that is in this frame is low, within or high."""
        value = self.value(channel)
        assert value is not None
        low, high = channel.limits(self.light)
        return LOW if value < low else HIGH if value > high else WITHIN

    def alarms(self) -> list[tuple[Channel, str]]:
        """Channels out of limits with their side, in the frame's order."""
        sides = [(channel, self.side(channel)) for channel, _ in self.values]
        return [(channel, side) for channel, side in sides if side != WITHIN]


def make_frame(rng: random.Random, *, shuffled: bool, missing: bool) -> Frame:
    """Draw a frame.

    Args:
        rng: all that it depends on.
        shuffled: channels in any order; else in the order of CHANNELS.
        missing: up to five channels are left out.
    """
    light = SUN if rng.random() < 0.6 else ECLIPSE
    count = rng.randint(FEWEST, len(CHANNELS)) if missing else len(CHANNELS)
    chosen = sorted(rng.sample(range(len(CHANNELS)), count))
    if shuffled:
        rng.shuffle(chosen)
    channels = [CHANNELS[index] for index in chosen]
    alarms = rng.choices(range(len(ALARM_WEIGHTS)), ALARM_WEIGHTS)[0]
    bad = {channel.name for channel in rng.sample(channels, alarms)}
    return Frame(
        light,
        tuple((channel, _draw(rng, channel, light, channel.name in bad)) for channel in channels),
    )


def _draw(rng: random.Random, channel: Channel, light: str, bad: bool) -> int:
    low, high = channel.limits(light)
    near = rng.random() < NEAR_SHARE
    if not bad:
        if not near:
            return rng.randint(low, high)
        step = rng.randint(0, min(NEAR_STEPS, high - low))
        up = bool(channel.when_high) and (not channel.when_low or rng.random() < 0.5)
        return high - step if up else low + step
    up = bool(channel.when_high) and (low <= channel.floor or rng.random() < 0.5)
    if channel.when_high and not channel.when_low:
        up = True
    edge, end = (high + 1, channel.ceiling) if up else (channel.floor, low - 1)
    if near:
        step = rng.randint(0, NEAR_STEPS - 1)
        return min(edge + step, end) if up else max(end - step, edge)
    return rng.randint(edge, end)
