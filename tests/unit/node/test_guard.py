from __future__ import annotations

import os

import pytest

from node import guard as guards
from node.guard import Guard
from node.heartbeat import LIMIT_NS
from node.thermal import Level, ThermalPolicy
from roundtrip.config import ThermalConfig
from roundtrip.drive import clock
from roundtrip.drive.notify import Notifier

S = 10**9


class FakeEngine:
    def __init__(self) -> None:
        self.pid: int | None = os.getpid()
        self.busy = True
        self.killed = 0

    def kill_hung(self) -> None:
        self.killed += 1


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
        self.progress: tuple[int, ...] | None = (0,)
        self.temperature_c: float | None = 40.0
        monkeypatch.setattr(clock, "monotonic_ns", lambda: self.now_ns)
        monkeypatch.setattr(guards, "_progress", lambda pid: self.progress)
        monkeypatch.setattr(guards, "temperature_c", lambda: self.temperature_c)
        self.engine, self.systemd = FakeEngine(), Systemd()
        self.levels: list[Level] = []
        self.lines: list[str] = []
        policy = ThermalPolicy(ThermalConfig())
        self.guard = Guard(self.engine, policy, self.systemd, self.levels.append, self.lines.append)

    def wait(self, seconds: int, *, moving: bool) -> None:
        for _ in range(seconds):
            self.now_ns += S
            if moving and self.progress is not None:
                self.progress = (self.progress[0] + 1,)
            self.guard.look(self.now_ns)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_the_watchdog_is_fed_four_times_in_its_time(scene: Scene) -> None:
    scene.wait(100, moving=True)
    assert scene.systemd.told == ["WATCHDOG=1"] * 10
    assert scene.engine.killed == 0


def test_an_engine_that_hangs_is_killed_and_said(scene: Scene) -> None:
    scene.wait(10, moving=True)
    scene.wait(LIMIT_NS // S + 2, moving=False)
    assert scene.engine.killed == 1
    assert "has not moved" in scene.lines[0]


def test_a_word_from_the_engine_keeps_it_alive(scene: Scene) -> None:
    for _ in range(5):
        scene.wait(50, moving=False)
        scene.guard.beat()
    assert scene.engine.killed == 0


def test_without_an_engine_the_watchdog_goes_hungry(scene: Scene) -> None:
    scene.progress, scene.engine.pid = None, None
    scene.wait(200, moving=False)
    fed = len(scene.systemd.told)
    assert fed <= 7, "only within the first minute"
    assert scene.engine.killed == 0


def test_heat_is_told_when_its_level_changes(scene: Scene) -> None:
    scene.temperature_c = 80
    scene.wait(20, moving=True)
    scene.temperature_c = None
    scene.wait(20, moving=True)
    scene.temperature_c = 30
    scene.wait(20, moving=True)
    assert scene.levels == [Level.REDUCED, Level.FULL]


def test_progress_of_a_real_process_is_counted() -> None:
    before = guards._progress(os.getpid())
    assert before is not None
    sum(range(3_000_000))
    after = guards._progress(os.getpid())
    assert after is not None
    assert after[0] > before[0]
    assert guards._progress(2**22 + 1) is None
