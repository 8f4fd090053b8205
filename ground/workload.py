"""The workload: which question is meant to be asked when."""

from __future__ import annotations

from dataclasses import replace

from ground.outputs import Asking, Request
from ground.results.record import Planned
from roundtrip import message
from roundtrip.message import RUN_BITS, Question, index_of
from roundtrip.rng import substream
from roundtrip.units import NS_PER_S, s_to_ns
from roundtrip.workload_config import WorkloadConfig

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
        planned.append(
            Planned(
                index,
                at_ns,
                item.text,
                item.expected,
                priority,
                rule=item.rule,
                see=item.see,
                tools=item.tools,
            )
        )
        draw = rng.expovariate(1.0)
        at_ns += round(gap_s * (draw if config.arrivals == "poisson" else 1.0) * NS_PER_S)
    return planned


def planned_now(index: int, now_ns: int, request: Request) -> Planned:
    """A question that comes besides the workload."""
    return Planned(
        index,
        now_ns,
        request.text,
        None,
        request.priority,
        turns=request.turns,
        after=request.after,
    )


def planned_again(asked_ns: int, question: Question) -> Planned:
    """One that came besides the workload, from the ledger."""
    return Planned(
        index_of(question.question_id),
        asked_ns,
        question.text,
        None,
        question.priority,
        turns=question.turns,
        after=question.after,
    )


def question_of(question_id: int, planned: Planned, asking: Asking, remaining_ms: int) -> Question:
    """A question as it goes up."""
    same_run = planned.after is not None and planned.after >> message.INDEX_BITS == asking.run_id
    return Question(
        question_id,
        planned.text,
        asking.system,
        asking.max_tokens,
        replace(asking.sampling, seed=(asking.seed + planned.index) & message.SEED_MASK),
        asking.thinking,
        remaining_ms,
        asking.think_tokens,
        planned.priority,
        asking.schema,
        planned.turns,
        planned.after if same_run else None,
        asking.thoughts,
        asking.see if planned.see is None else planned.see,
        asking.tools if planned.tools is None else planned.tools,
    )


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
        see=config.see,
        tools=config.tools,
    )
