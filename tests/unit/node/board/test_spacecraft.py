"""The made-up spacecraft."""

from __future__ import annotations

import pytest

from models.triage.frames import BY_NAME, ECLIPSE, SUN, Frame
from node.board.spacecraft import Doing, Spacecraft
from roundtrip.contacts import Windows
from roundtrip.units import NS_PER_S

ORBIT_S, DAY_S = 5700, 3600
LIT = Windows([(n * ORBIT_S * NS_PER_S, (n * ORBIT_S + DAY_S) * NS_PER_S) for n in range(16)])


IDLE = Doing()


def craft(seed: int = 1, doing: Doing = IDLE) -> Spacecraft:
    return Spacecraft(seed, LIT, lambda at_ns: doing)


def value(frame: Frame, name: str) -> int:
    found = frame.value(BY_NAME[name])
    assert found is not None
    return found


def test_a_moment_has_one_frame() -> None:
    at_ns = 4000 * NS_PER_S
    assert craft().frame(at_ns) == craft().frame(at_ns)
    assert craft(2).frame(at_ns) != craft().frame(at_ns)


def test_it_shows_all_channels_and_the_light() -> None:
    assert craft().frame(0).light == SUN
    assert craft().frame((DAY_S + 1) * NS_PER_S).light == ECLIPSE
    assert [channel.name for channel, _ in craft().frame(0).values] == list(BY_NAME)


def test_values_stay_where_a_channel_can_be() -> None:
    for at_s in range(0, 86_400, 300):
        for channel, found in craft(3).frame(at_s * NS_PER_S).values:
            assert channel.floor <= found <= channel.ceiling


def test_some_frames_have_alarms_and_some_have_none() -> None:
    alarms = [len(craft().frame(at_s * NS_PER_S).alarms()) for at_s in range(0, 86_400, 120)]
    assert alarms.count(0) > 0.1 * len(alarms)
    assert sum(count > 0 for count in alarms) > 0.3 * len(alarms)
    assert max(alarms) <= 8


@pytest.mark.parametrize("charge", [0.1, 0.29, 0.31, 0.75, 1.0])
def test_the_battery_is_the_one_that_is_counted(charge: float) -> None:
    for at_s in range(0, 20_000, 500):
        frame = craft(doing=Doing(charge)).frame(at_s * NS_PER_S)
        assert abs(value(frame, "EPS.SOC") - 100 * charge) <= 1
        low = BY_NAME["EPS.SOC"].low
        assert (frame.side(BY_NAME["EPS.SOC"]) == "low") == (round(100 * charge) < low)


def test_panels_give_nothing_in_the_dark() -> None:
    for at_s in range(DAY_S, ORBIT_S, 60):
        frame = craft(5).frame(at_s * NS_PER_S)
        if frame.side(BY_NAME["EPS.ISOL"]) == "within":
            assert value(frame, "EPS.ISOL") <= 2


def test_work_shows_in_the_computers_load_and_a_signal_in_the_radio() -> None:
    def mean(name: str, doing: Doing) -> float:
        frames = [craft(doing=doing).frame(at_s * NS_PER_S) for at_s in range(0, 86_400, 600)]
        within = [f for f in frames if f.side(BY_NAME[name]) == "within"]
        return sum(value(f, name) for f in within) / len(within)

    assert mean("OBC.LOAD", Doing(working=True)) > 3 * mean("OBC.LOAD", Doing())
    assert mean("OBC.TEMP", Doing(working=True)) > mean("OBC.TEMP", Doing())
    assert mean("COM.TEMP", Doing(heard=True)) > mean("COM.TEMP", Doing())


def test_it_is_warmer_at_the_end_of_the_day_than_at_the_end_of_the_night() -> None:
    ends = [n * ORBIT_S + DAY_S - 1 for n in range(16)]
    nights = [(n + 1) * ORBIT_S - 1 for n in range(15)]
    warm = sum(value(craft().frame(s * NS_PER_S), "PAY.TEMP") for s in ends) / len(ends)
    cold = sum(value(craft().frame(s * NS_PER_S), "PAY.TEMP") for s in nights) / len(nights)
    assert warm > cold
