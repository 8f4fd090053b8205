"""Many virtual runs of a scenario: the same result wherever and in whatever order they ran.

A run's seed is its scenario's plus its index. Runs are done in batches of fixed size; a batch that
is done is a line in `batches.jsonl`, and what is there already is not done again. The merged
summary is made from all lines in the order of their batches.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdrh.codec import HdrCookieException, HdrLengthException
from pydantic import BaseModel, ConfigDict

from ground.results.histogram import (
    HIGHEST_NS,
    LOWEST_NS,
    new_histogram,
    rank_of,
    to_hlog,
    values_at,
)
from ground.results.record import LoopRecord
from node.service_time import Profile, load_profile
from roundtrip.budget import Outcome
from roundtrip.errors import GroundloopError
from roundtrip.intervals import quantile_ranks, share_interval
from roundtrip.scenario import Scenario
from roundtrip.units import NS_PER_MS
from testbed.campaign.sweep import Point
from testbed.world import World

BATCH_QUESTIONS = 4_000
"""A batch takes about a second."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some runs of one point."""

    point: int
    first: int
    count: int


class RunFailed(GroundloopError):
    """A run of a campaign raised: what, and how to see it again."""


def batches_of(points: Sequence[Point], runs: int) -> list[Batch]:
    """All batches; they depend on the scenario and the number of runs alone."""
    found: list[Batch] = []
    for index, point in enumerate(points):
        size = max(1, BATCH_QUESTIONS // point.scenario.workload.count)
        found += [Batch(index, first, min(size, runs - first)) for first in range(0, runs, size)]
    return found


def run_batch(
    scenario: Scenario, profile: Profile, batch: Batch, replay: str, *, real: bool = False
) -> dict[str, Any]:
    """Do the runs of a batch.

    Args:
        scenario: what happens.
        profile: the engine's service times.
        batch: which runs.
        replay: the command that repeats one, but for its seed.
        real: the model answers, and takes as long as it takes.

    Raises:
        RunFailed: one raised.
    """
    histogram = new_histogram()
    outcomes: Counter[str] = Counter()
    good: list[int] = []
    phases: Counter[str] = Counter()
    answered = 0
    expire_ns = scenario.budget.budget().expire_ns
    engine = None
    if real:
        from testbed.real_engine import real_engine  # loads llama.cpp

        loaded = real_engine(scenario)
        profile, engine = loaded.profile, loaded.new
    for index in range(batch.first, batch.first + batch.count):
        seed = scenario.seed + index
        try:
            records = World(scenario, seed, profile, engine=engine).run().records
        except Exception as error:
            line = f"{replay} --seed {seed}"
            raise RunFailed(f"{type(error).__name__}: {error}; replay with: {line}") from error
        for record in records:
            taken = record.loop_ns if record.answered and record.loop_ns else expire_ns
            histogram.record_value(min(max(taken, LOWEST_NS), HIGHEST_NS))
            phases.update(record.phases_ns if record.answered else {})
            answered += record.answered
        outcomes.update(record.outcome.value for record in records)
        good.append(_good(records))
    return {
        "point": batch.point,
        "first": batch.first,
        "count": batch.count,
        "outcomes": {outcome.value: outcomes[outcome.value] for outcome in Outcome},
        "good": good,
        "answered": answered,
        "phases_ns": dict(sorted(phases.items())),
        "loop": histogram.encode().decode(),
    }


def _good(records: Sequence[LoopRecord]) -> int:
    in_time = (Outcome.ON_TIME, Outcome.PARTIAL)
    return sum(one.outcome in in_time and one.correct is not False for one in records)


def run_campaign(
    points: Sequence[Point],
    runs: int,
    folder: Path,
    *,
    replay: str,
    jobs: int,
    on_batch: Callable[[int, int], None],
    real: bool = False,
) -> list[dict[str, Any]]:
    """Do what is not done yet.

    Args:
        points: what to vary.
        runs: of each point.
        folder: of the campaign; exists.
        replay: the command that repeats a run, but for its seed.
        jobs: processes at once; joblib's settings decide where.
        on_batch: told of how many runs are done, of how many.
        real: the model answers.

    Returns:
        The lines of all batches, in order.

    Raises:
        RunFailed: a run raised; what is done is kept.
    """
    import joblib  # slow: not for those who only compare

    path = folder / "batches.jsonl"
    done = {_key(line): line for line in _lines(path)}
    todo = [b for b in batches_of(points, runs) if (b.point, b.first, b.count) not in done]
    finished = sum(line["count"] for line in done.values())
    total = runs * len(points)
    on_batch(finished, total)
    profiles = [load_profile(point.scenario.node.profile) for point in points]
    work = (
        joblib.delayed(run_batch)(
            points[b.point].scenario,
            profiles[b.point],
            b,
            _replay(replay, points[b.point]),
            real=real,
        )
        for b in todo
    )
    with path.open("a", encoding="utf-8") as log:
        if log.tell():
            log.write("\n")  # the last line may have been cut off
        for line in joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(work):
            log.write(json.dumps(line) + "\n")
            log.flush()
            done[_key(line)] = line
            finished += line["count"]
            on_batch(finished, total)
    wanted = [(b.point, b.first, b.count) for b in batches_of(points, runs)]
    return [done[key] for key in wanted]


def _replay(command: str, point: Point) -> str:
    return " ".join([command, *(f"--set {key}={value}" for key, value in point.settings)])


def _key(line: dict[str, Any]) -> tuple[int, int, int]:
    return line["point"], line["first"], line["count"]


_DAMAGED = (ValueError, zlib.error, HdrCookieException, HdrLengthException)


class _Line(BaseModel):
    """What `run_batch` gives back."""

    model_config = ConfigDict(extra="allow", strict=True)

    point: int
    first: int
    count: int
    outcomes: dict[str, int]
    good: list[int]
    answered: int
    phases_ns: dict[str, int]
    loop: str


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for text in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        with suppress(*_DAMAGED):  # or cut off; it is done again
            line = _Line.model_validate_json(text).model_dump()
            _decoded(line["loop"])
            yield line


def summarise_campaign(
    points: Sequence[Point], lines: Iterable[dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `summary.json` holds, and the merged loop histogram of each point by its name."""
    mine: list[list[dict[str, Any]]] = [[] for _ in points]
    for line in lines:
        mine[line["point"]].append(line)
    histograms: dict[str, Any] = {}
    found = []
    for point, batches in zip(points, mine, strict=True):
        histogram = new_histogram()
        outcomes: Counter[str] = Counter()
        phases: Counter[str] = Counter()
        good: list[int] = []
        answered = 0
        for line in batches:
            histogram.add(_decoded(line["loop"]))
            outcomes.update(line["outcomes"])
            phases.update(line["phases_ns"])
            good += line["good"]
            answered += line["answered"]
        histograms[point.name] = histogram
        each = point.scenario.workload.count
        goodput = sum(good) / (each * len(good))
        budget = point.scenario.budget
        found.append(
            {
                "point": point.name,
                "settings": dict(point.settings),
                "runs": len(good),
                "questions": histogram.total_count,
                "outcomes": dict(outcomes),
                "goodput": goodput,
                "goodput_95": list(share_interval(good, each)),
                "loop_ms": {f"p{q}": quantile_ms(histogram, q) for q in (50, 90, 99)},
                "phase_means_ms": {
                    name: total / answered / NS_PER_MS for name, total in sorted(phases.items())
                },
                "budget_s": budget.loop_s,
                "objective": budget.objective,
                "objective_met": goodput >= budget.objective,
            }
        )
    scenario = points[0].scenario
    summary = {
        "schema_version": 1,
        "kind": "campaign",
        "scenario": scenario.name,
        "seed": scenario.seed,
        "points": found,
    }
    return summary, histograms


def _decoded(text: str) -> Any:
    histogram = new_histogram()
    histogram.decode_and_add(text.encode())
    return histogram


def quantile_ms(histogram: Any, percent: int) -> list[float | None]:
    """A quantile with its 95 % interval by ranks: [value, low, high] in ms.

    A bound that the ranks do not reach is None: the values say nothing of how far it may be.
    Questions count as independent; those of one run are not quite.
    """
    total = histogram.total_count
    low, high = quantile_ranks(percent, total)
    ranks = [rank_of(percent, total), low, high]
    known = sorted({rank for rank in ranks if rank is not None})
    at = dict(zip(known, values_at(histogram, known), strict=True))
    return [None if rank is None else at[rank] / NS_PER_MS for rank in ranks]


def write_campaign(folder: Path, summary: dict[str, Any], histograms: dict[str, Any]) -> None:
    """Write `summary.json` and `latency.hlog`."""
    text = json.dumps(summary, indent=2) + "\n"
    (folder / "summary.json").write_text(text, encoding="utf-8")
    log = to_hlog(
        histograms, start_s=0.0, length_s=0.0, comment=f"campaign of {summary['scenario']}"
    )
    (folder / "latency.hlog").write_text(log, encoding="utf-8")
