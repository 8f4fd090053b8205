"""The workload: which question is meant to be asked when."""

from __future__ import annotations

from ground.outputs import Asking
from ground.results.record import Planned
from roundtrip.config import WorkloadConfig
from roundtrip.message import RUN_BITS
from roundtrip.rng import substream
from roundtrip.units import NS_PER_S, s_to_ns

PRIORITIES = ("bulk", "normal", "expedited")


def planned_questions(config: WorkloadConfig, seed: int) -> list[Planned]:
    """The questions with their intended times, in order.

    `fixed` arrivals are 60 / rate_per_min seconds apart; `poisson` gaps are exponential with that
    mean.
    """
    rng = substream(seed, "ground/arrivals")
    items = config.questions
    gap_s = 60.0 / config.rate_per_min
    at_ns = s_to_ns(config.start_s)
    planned: list[Planned] = []
    for index in range(config.count):
        item = items[index % len(items)]
        priority = PRIORITIES.index(item.priority)
        planned.append(Planned(index, at_ns, item.text, item.expected, priority))
        draw = rng.expovariate(1.0)
        at_ns += round(gap_s * (draw if config.arrivals == "poisson" else 1.0) * NS_PER_S)
    return planned


def asking_of(config: WorkloadConfig, *, run_id: int, seed: int) -> Asking:
    """What all questions of the workload have in common."""
    return Asking(
        run_id=run_id & ((1 << RUN_BITS) - 1),
        system=config.system,
        max_tokens=config.max_tokens,
        sampling=config.sampling,
        thinking=config.thinking,
        think_tokens=config.think_tokens,
        schema=config.response_schema,
        seed=seed & 0xFFFFFFFF,
        max_outstanding=config.max_outstanding,
    )
