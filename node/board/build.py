"""What a node has on board, as its scenario wants it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path

from node.board.feeds import Feed, OfFile, OfMachine, Simulated
from node.board.pictures import Pictures
from node.board.spacecraft import Doing, Spacecraft
from node.board.view import Board, Keep, contacts_of, unkept
from node.body.energy import sunlight_on
from roundtrip.drive import clock
from roundtrip.node_config import NodeConfig
from roundtrip.onboard import MACHINE, MAX_FRAMES, SIMULATOR, TelemetryConfig
from roundtrip.scenario import Scenario
from roundtrip.units import NS_PER_S, s_to_ns

MAX_MOMENTS = 1000
"""Of what the node did, that its simulated telemetry remembers."""


class Remembered:
    """What the node did at a moment, as far as it was looked at.

    Args:
        now: what it does now.
    """

    def __init__(self, now: Callable[[], Doing]) -> None:
        self._now = now
        self._known: list[tuple[int, Doing]] = []

    def __call__(self, at_ns: int) -> Doing:
        """At a moment: as it was seen last before it, or first after it."""
        if not self._known or at_ns > self._known[-1][0]:
            self._known.append((at_ns, self._now()))
            del self._known[:-MAX_MOMENTS]
        place = bisect_right(self._known, at_ns, key=lambda seen: seen[0])
        return self._known[max(place - 1, 0)][1]


def board_of(
    scenario: Scenario | None,
    node: NodeConfig,
    doing: Callable[[], Doing],
    *,
    length_ns: int,
    folder: Path = Path(),
    unix_ns: Callable[[int], int],
    keep: Keep = unkept,
) -> Board:
    """What there is to be shown.

    Args:
        scenario: its orbit and contacts; None: nothing is known of them.
        node: says what there is on board.
        doing: what the node does now.
        length_ns: how long sunlight is needed where there is no orbit.
        folder: on the disk that the machine's feed tells of.
        unix_ns: the date at a time on the plan's clock; where the scenario has an orbit, the time
            on board is the orbit's.
        keep: told of what was shown.

    Raises:
        BadConfig: the camera cannot be had.
    """
    telemetry, feed = node.telemetry, None
    if telemetry is not None:
        feed = _feed(scenario, telemetry, doing, length_ns, folder, unix_ns)
    return Board(
        telemetry,
        feed,
        contacts_of(scenario) if scenario is not None else (),
        _date(scenario, unix_ns),
        context=node.context,
        pictures=None if node.camera is None else Pictures(node.camera),
        keep=keep,
    )


def _feed(
    scenario: Scenario | None,
    telemetry: TelemetryConfig,
    doing: Callable[[], Doing],
    length_ns: int,
    folder: Path,
    unix_ns: Callable[[int], int],
) -> Feed:
    if telemetry.source == SIMULATOR:
        sunlight = sunlight_on(scenario, length_ns)
        craft = Spacecraft(telemetry.seed, sunlight, Remembered(doing))
        return Simulated(craft, s_to_ns(telemetry.every_s))
    if telemetry.source == MACHINE:
        from node.board.sensors import machine_sensors

        return OfMachine(lambda: machine_sensors(folder), MAX_FRAMES * MAX_FRAMES)
    return OfFile(Path(telemetry.source), unix_ns)


def _date(scenario: Scenario | None, unix_ns: Callable[[int], int]) -> Callable[[int], str]:
    if scenario is None or scenario.orbit is None:
        return lambda now_ns: clock.utc(unix_ns(now_ns) / NS_PER_S)
    from roundtrip.passes import unix_s

    zero_s = unix_s(scenario)
    return lambda now_ns: clock.utc(zero_s + now_ns / NS_PER_S)
