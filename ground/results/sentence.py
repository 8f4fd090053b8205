"""A run in one sentence: how many answers came, and what ate the time.

Every number in it is counted or measured. Questions are put together by what took the largest part
of their loop: the time without a carrier where that is at least half of it, else the longest phase.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ground.results.record import LoopRecord
from roundtrip.budget import Outcome
from roundtrip.stages import UNATTRIBUTED
from roundtrip.units import NS_PER_MS
from roundtrip.words import count, duration, shown

CARRIER = "carrier"
"""The ground's modem had not both directions up."""
MAX_GROUPS = 3
MAX_REASONS = 3
MAX_REASON = 60
"""Characters of one."""
ATE = {
    "ground_queue": "the queue on the ground",
    "uplink_wait": "waiting to go up",
    "uplink": "the uplink",
    "onboard_queue": "the queue on board",
    "tools": "calling tools on board",
    "prefill": "reading on board",
    "decode": "writing on board",
    "downlink_wait": "waiting to come down",
    "downlink": "the downlink",
}
"""What a phase is called in a sentence."""


def sentence_of(records: Sequence[LoopRecord]) -> str:
    """What became of the questions of a run, and what took the time of those answered."""
    if not records:
        return "No question was asked."
    in_time = [r for r in records if r.outcome in (Outcome.ON_TIME, Outcome.PARTIAL)]
    late = [r for r in records if r.outcome is Outcome.LATE]
    parts = []
    if in_time or not late:
        parts.append(f"{len(in_time)} of {len(records)} answered in time{_took(in_time)}")
    if late:
        asked = "" if in_time else f" of {len(records)} answered, all"
        parts.append(f"{len(late)}{asked} late{_took(late)}")
    for outcome in (Outcome.REFUSED, Outcome.EXPIRED):
        ended = [record for record in records if record.outcome is outcome]
        if ended:
            parts.append(f"{len(ended)} {outcome.value}{_reasons(ended)}")
    wrong = sum(record.correct is False for record in records)
    if wrong:
        parts.append(f"{wrong} of the answers {'is' if wrong == 1 else 'are'} wrong")
    cut = sum(record.outcome is Outcome.PARTIAL for record in records)
    if cut:
        parts.append(f"{cut} {'was' if cut == 1 else 'were'} cut short by the deadline")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def cause_of(record: LoopRecord) -> str:
    """What took the largest part of an answered loop: `carrier` or a phase."""
    if record.loop_ns and 2 * _away_ns(record) >= record.loop_ns:
        return CARRIER
    phases = record.phases_ns
    return max(phases, key=lambda name: phases[name], default=UNATTRIBUTED)


def _away_ns(record: LoopRecord) -> int:
    """How much of the loop was without a carrier, as far as is known."""
    if record.in_contact_ns is None or record.loop_ns is None:
        return 0
    return record.loop_ns - record.in_contact_ns


def _took(records: Sequence[LoopRecord]) -> str:
    """How long answered loops took, by cause, the largest group first."""
    groups: dict[str, list[LoopRecord]] = {}
    for record in records:
        groups.setdefault(cause_of(record), []).append(record)
    if len(groups) == 1:
        ((cause, found),) = groups.items()
        return f", {_group(cause, found)}"
    if not groups:
        return ""
    # Those that took the most time come second at the latest, whatever their number.
    order = sorted(groups, key=lambda cause: -len(groups[cause]))
    slowest = max(groups, key=lambda cause: sum(r.loop_ns or 0 for r in groups[cause]))
    named = [order[0], *([slowest] if slowest != order[0] else [])]
    named += [cause for cause in order if cause not in named][: MAX_GROUPS - len(named)]
    parts = [f"{len(groups[cause])} {_group(cause, groups[cause])}" for cause in named]
    others = [r for cause in order if cause not in named for r in groups[cause]]
    if others:
        parts.append(f"{count(len(others), 'other')} in {_loops(others)}")
    return ": " + ", ".join(parts)


def _group(cause: str, records: Sequence[LoopRecord]) -> str:
    if cause == CARRIER:
        away = _interval([_away_ns(record) for record in records])
        return f"in {_loops(records)} ({away} of it without a carrier)"
    why = f" (mainly {ATE[cause]})" if cause in ATE else ""
    return f"in {_loops(records)}{why}"


def _loops(records: Sequence[LoopRecord]) -> str:
    return _interval([record.loop_ns or 0 for record in records])


def _interval(durations_ns: Sequence[int]) -> str:
    low, high = (duration(ns / NS_PER_MS) for ns in (min(durations_ns), max(durations_ns)))
    if low == high:
        return low
    number, unit = low.rsplit(" ", 1)
    return f"{number} to {high}" if high.endswith(f" {unit}") else f"{low} to {high}"


def _reasons(records: Sequence[LoopRecord]) -> str:
    """Why, the most frequent reason first."""
    found = Counter(
        shown(record.reason.replace("_", " "), MAX_REASON) for record in records
    ).most_common()
    if len(found) == 1:
        reason = found[0][0]
        return f" ({reason})" if reason not in ("", records[0].outcome.value) else ""
    named = [f"{number} {reason or 'without a reason'}" for reason, number in found[:MAX_REASONS]]
    if found[MAX_REASONS:]:
        named.append(f"{sum(number for _, number in found[MAX_REASONS:])} for other reasons")
    return f" ({', '.join(named)})"
