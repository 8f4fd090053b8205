"""A question on the ground, until it has its outcome."""

from __future__ import annotations

from dataclasses import dataclass, field

from dtn.bpv7.bundle import BundleId
from ground.outputs import Asking
from ground.parts import Parts
from ground.results.record import Planned
from ground.stamps import Stamps
from ground.timers import Overdue
from ground.wording import Form
from roundtrip.budget import Budget
from roundtrip.message import Question


@dataclass(slots=True)
class Entry:
    """A question without an outcome."""

    planned: Planned
    question_id: int
    stamps: Stamps
    asking: Asking
    budget: Budget
    question: Question | None = None
    """None until it is asked."""
    expected_ns: int | None = None
    """When its answer should be here."""
    sent: Form | None = None
    """As it went up last."""
    bundle_id: BundleId | None = None
    missed: bool = False
    overdue: Overdue = field(default_factory=Overdue)
    parts: Parts = field(default_factory=Parts)
