"""The stages of a loop, and the phases between them.

Each question passes the stages in this order; each is stamped at most once, in ns on the clock of
the contact plan. Phases are the differences of neighbouring stamps, so they add up to the loop
exactly.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from itertools import pairwise


class Stage(enum.Enum):
    """Where a question is."""

    INTENDED = "intended"
    SUBMITTED = "submitted"
    UPLINK_STARTED = "uplink_started"
    DELIVERED = "delivered"
    STARTED = "started"
    CALLED = "called"
    """The last tool that the model called has answered; of no question that needed none."""
    FIRST_TOKEN = "first_token"
    FINISHED = "finished"
    DOWNLINK_STARTED = "downlink_started"
    ANSWERED = "answered"


STAGES: tuple[Stage, ...] = tuple(Stage)

PHASES: tuple[str, ...] = (
    "ground_queue",
    "uplink_wait",
    "uplink",
    "onboard_queue",
    "tools",
    "prefill",
    "decode",
    "downlink_wait",
    "downlink",
)
"""PHASES[i] ends at STAGES[i + 1], and begins at the stage before it; `prefill` where no tool was
called at `started`."""
USUAL = tuple(stage for stage in STAGES if stage is not Stage.CALLED)
"""The stages of a question that needs no tool."""

UNATTRIBUTED = "unattributed"
"""The phase of time that runs over several stages of which the stamps between are not known."""

Stamps = Mapping[Stage, int]


def in_order(stamps: Stamps) -> dict[Stage, int]:
    """The stamps, each moved between its neighbours where measuring error put it outside.

    The ground's own stamps (intended, submitted, uplink_started, answered) are exact on one clock
    and are never moved; those between are clamped into what is left.
    """
    ordered: dict[Stage, int] = {}
    ceiling = stamps.get(Stage.ANSWERED)
    floor: int | None = None
    for stage in STAGES:
        if stage not in stamps:
            continue
        at_ns = stamps[stage]
        if floor is not None:
            at_ns = max(at_ns, floor)
        if ceiling is not None:
            at_ns = min(at_ns, ceiling)
        ordered[stage] = floor = at_ns
    return ordered


def phases_of(stamps: Stamps) -> dict[str, int]:
    """Phase durations in ns between the stamps that are present.

    Args:
        stamps: stage to ns, in order (see `in_order`).

    Returns:
        Phase name to ns. A gap over several stages goes to "unattributed", so the values always add
        up to last stamp minus first stamp.
    """
    durations: dict[str, int] = {}
    for name, begin_ns, end_ns in spans_of(stamps):
        durations[name] = durations.get(name, 0) + end_ns - begin_ns
    return durations


def spans_of(stamps: Stamps) -> list[tuple[str, int, int]]:
    """Each phase with its begin and end, in order; see `phases_of`."""
    stages = STAGES if Stage.CALLED in stamps else USUAL
    known = [index for index, stage in enumerate(stages) if stage in stamps]
    return [
        (
            phase_before(stages[then]) if then == first + 1 else UNATTRIBUTED,
            stamps[stages[first]],
            stamps[stages[then]],
        )
        for first, then in pairwise(known)
    ]


def phase_before(stage: Stage) -> str:
    """The phase that ends at a stage; there is none before the first."""
    return PHASES[STAGES.index(stage) - 1]
