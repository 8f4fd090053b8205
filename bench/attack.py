"""What a hostile frame costs the one who gets it, against an honest one, on the whole machine."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from bench.row import Row
from link_sim.link import Deliver
from node.service_time import load_profile
from roundtrip.command import SHIPPED as SCENARIOS
from roundtrip.scenario_file import load_scenario
from testbed.chaos.hostile import HostileWorld

SEEDS = range(12)
HONEST = "honest"


class Timed(HostileWorld):
    """Adds up what each kind of frame costs."""

    def __init__(self, *args: Any, costs: dict[str, list[float]], **rest: Any) -> None:
        super().__init__(*args, **rest)
        self._costs = costs
        self._kinds: dict[int, str] = {}
        self._watched = False

    def _later(self, deliver: Deliver, after_ns: int, name: str) -> None:
        frame = bytes(bytearray(deliver.frame))  # an object of its own
        self._kinds[id(frame)] = name
        super()._later(Deliver(deliver.side, frame), after_ns, name)

    def _from_link(self, output: Any) -> None:
        if not self._watched:
            self._watched = True
            for actor in (self.ground, self.node):
                self._watch_frames(actor.machine)
        super()._from_link(output)

    def _watch_frames(self, machine: Any) -> None:
        receive: Callable[..., Any] = machine.receive

        def timed(frame: bytes, *, now_ns: int) -> Any:
            began = time.perf_counter()
            outputs = receive(frame, now_ns=now_ns)
            spent = time.perf_counter() - began
            self._costs[self._kinds.pop(id(frame), HONEST)].append(spent)
            return outputs

        machine.receive = timed


def rows() -> list[Row]:
    """The dearest kind, as a multiple of an honest frame."""
    scenario = load_scenario(SCENARIOS / "leo-pass.toml")
    profile = load_profile(scenario.node.profile)
    costs: defaultdict[str, list[float]] = defaultdict(list)
    for seed in SEEDS:
        Timed(scenario, seed, profile, per_frame=1.0, meddles=False, costs=costs).run()
    honest = statistics.mean(costs.pop(HONEST))
    means = {name: statistics.mean(spent) / honest for name, spent in costs.items()}
    dearest = max(means, key=lambda name: means[name])
    note = f"{dearest}; " + ", ".join(
        f"{name} {ratio:.2f}" for name, ratio in sorted(means.items(), key=lambda one: -one[1])[1:5]
    )
    return [
        Row(
            "a hostile frame / an honest one, the dearest kind",
            means[dearest],
            "ratio",
            3.0,
            at_least=False,
            note=note,
        ),
    ]
