from __future__ import annotations

import pytest

from node.body import guard as guards
from node.body.guard import Guard
from node.body.thermal import Level, ThermalPolicy
from roundtrip.drive import clock
from roundtrip.drive.notify import Notifier
from roundtrip.node_config import ThermalConfig

S = 10**9


class FakeEngine:
    def __init__(self) -> None:
        self.alive = True


class Systemd(Notifier):
    def __init__(self) -> None:
        super().__init__({})
        self.watchdog_s = 40.0
        self.told: list[str] = []

    def tell(self, *states: str) -> bool:
        self.told += states
        return True


class Scene:
    """A guard over a fake engine; progress and temperature are set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = 0
        self.temperature_c: float | None = 40.0
        monkeypatch.setattr(clock, "monotonic_ns", lambda: self.now_ns)
        monkeypatch.setattr(guards, "temperature_c", lambda: self.temperature_c)
        self.engine, self.systemd = FakeEngine(), Systemd()
        self.levels: list[Level] = []
        policy = ThermalPolicy(ThermalConfig())
        self.guard = Guard(self.engine, policy, self.systemd, self.levels.append)

    def wait(self, seconds: int, *, alive: bool = True) -> None:
        self.engine.alive = alive
        for _ in range(seconds):
            self.now_ns += S
            self.guard.look(self.now_ns)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_the_watchdog_is_fed_four_times_in_its_time(scene: Scene) -> None:
    scene.wait(100)
    assert scene.systemd.told == ["WATCHDOG=1"] * 10


def test_without_an_engine_that_lives_the_watchdog_goes_hungry(scene: Scene) -> None:
    scene.wait(200, alive=False)
    assert scene.systemd.told == []
    scene.wait(10)
    assert scene.systemd.told == ["WATCHDOG=1"]


def test_heat_is_told_when_its_level_changes(scene: Scene) -> None:
    scene.temperature_c = 80
    scene.wait(20)
    scene.temperature_c = None
    scene.wait(20)
    scene.temperature_c = 30
    scene.wait(20)
    assert scene.levels == [Level.REDUCED, Level.FULL]
