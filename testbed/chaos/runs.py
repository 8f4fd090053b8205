"""Many such runs: what went wrong in them, and what was broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from node.engine.stepped import SteppedEngine
from node.service_time import Profile, load_profile
from roundtrip.contacts import Windows
from roundtrip.scenario import Scenario
from testbed.chaos.faults import Faults
from testbed.chaos.world import ChaosWorld
from testbed.real_engine import real_engine

KINDS = ("planned", "cued", "silent", "stuck")
BATCH = 20
"""Seeds."""


@dataclass(slots=True)
class Verdict:
    """Of one run, or of many."""

    runs: int = 0
    questions: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[int, str]] = field(default_factory=list)
    """Seed, and what."""

    def add(self, other: Verdict) -> None:
        """Take another's in."""
        self.runs += other.runs
        self.questions += other.questions
        self.faults.update(other.faults)
        self.outcomes.update(other.outcomes)
        self.broken += other.broken


def open_windows(scenario: Scenario) -> Windows:
    """When question and answer can both pass."""
    windows = scenario.contact_windows("uplink")
    for name in ("uplink", "downlink"):
        windows = windows.minus(scenario.outages(name, *KINDS))
    return windows


def table_of(verdict: Verdict) -> dict[str, Any]:
    """A verdict as `chaos.json` holds it."""
    return {
        "runs": verdict.runs,
        "questions": verdict.questions,
        "faults": dict(sorted(verdict.faults.items())),
        "outcomes": dict(sorted(verdict.outcomes.items())),
        "broken": [{"seed": seed, "what": what} for seed, what in verdict.broken],
    }


def one_run(
    scenario: Scenario,
    seed: int,
    profile: Profile,
    faults: Faults | None = None,
    *,
    engine: Callable[[], SteppedEngine] | None = None,
) -> Verdict:
    """Run, and have it judged; an exception is a promise broken too."""
    count = scenario.workload.count
    verdict = Verdict(1, count)
    world = ChaosWorld(scenario, seed, profile, faults, engine=engine)
    try:
        records = world.run().records
    except Exception as error:  # noqa: BLE001 - whatever it is, it is found out
        broken = [f"{type(error).__name__}: {error}"]
    else:
        down_ns = sum(kill.down_ns for kill in world.faults.kills["ground"])
        budget, windows = scenario.budget.budget(), open_windows(scenario)
        broken = world.checker.ends(records, count, budget, windows, down_ns)
        verdict.outcomes.update(record.outcome.value for record in records)
    verdict.faults.update(world.done)
    verdict.broken = [(seed, what) for what in broken]
    return verdict


def many_runs(
    scenario: Scenario,
    seeds: Sequence[int],
    *,
    jobs: int,
    on_batch: Callable[[int], None],
    real: bool = False,
) -> Verdict:
    """Run all seeds.

    Args:
        scenario: what they are runs of.
        seeds: of the runs.
        jobs: processes at once; joblib's settings decide where.
        on_batch: told of how many are done.
        real: the engine really answers, and dies like the other one.
    """
    import joblib  # slow: not for those who only look at one

    total = Verdict()
    work = (
        joblib.delayed(_batch)(scenario, real, seeds[at : at + BATCH])
        for at in range(0, len(seeds), BATCH)
    )
    for verdict in joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(work):
        total.add(verdict)
        on_batch(total.runs)
    total.broken.sort()
    return total


def _batch(scenario: Scenario, real: bool, seeds: Sequence[int]) -> Verdict:
    profile, engine = load_profile(scenario.node.profile), None
    if real:
        loaded = real_engine(scenario)
        profile, engine = loaded.profile, loaded.new
    total = Verdict()
    for seed in seeds:
        total.add(one_run(scenario, seed, profile, engine=engine))
    return total
