"""Contact plans that other DTN implementations read: ION's `ionadmin` and HDTN's router.

Both count whole seconds and know one ground node and the satellite, however many stations there
are. So a plan has the contacts that a run has: a station keeps the satellite until LOS, then the
next has it; planned outages are taken out. Checked against the rules of both readers, which are in
`tests/unit/testbed/test_contact_plan.py`: ION ignores a contact that begins in the second in which
another of the same nodes ends (`rfx_insert_contact` in its `rfx.c`), HDTN has 32-bit integers
(`ProcessContacts` in its `router.cpp`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from roundtrip.contacts import Contact
from roundtrip.orbit import Pass
from roundtrip.passes import handed_over
from roundtrip.scenario import Scenario
from roundtrip.units import NS_PER_S

GROUND, NODE = 1, 2
NUMBERS = {"ground": GROUND, "node": NODE}


@dataclass(frozen=True, slots=True)
class _Whole:
    """A contact in whole seconds."""

    source: int
    dest: int
    start_s: int
    end_s: int
    rate_bps: int
    owlt_s: int


def ion_plan(scenario: Scenario, found: Sequence[Pass]) -> list[str]:
    """Contacts and ranges as `ionadmin` reads them, in seconds from the plan's zero.

    Args:
        scenario: of the link, and of the satellite that the node is on.
        found: its passes, among others.
    """
    planned = _planned(scenario, found)
    lines = [
        f"a contact +{one.start_s} +{one.end_s} {one.source} {one.dest} {max(1, one.rate_bps // 8)}"
        for one in _whole_contacts(planned)
    ]
    owlt_s = max((_owlt_s(contact) for contact in planned.plan().contacts), default=1)
    end_s = 0
    for contact in planned.contact:
        start_s, end_s = max(math.floor(contact.start_s), end_s), math.ceil(contact.end_s)
        lines.append(f"a range +{start_s} +{end_s} {GROUND} {NODE} {owlt_s}")
    return lines


def hdtn_plan(scenario: Scenario, found: Sequence[Pass]) -> dict[str, list[dict[str, int]]]:
    """The same contacts as HDTN's router reads them (its `contactPlan.json`)."""
    return {
        "contacts": [
            {
                "contact": index,
                "source": one.source,
                "dest": one.dest,
                "startTime": one.start_s,
                "endTime": one.end_s,
                "rateBitsPerSec": one.rate_bps,
                "owlt": one.owlt_s,
            }
            for index, one in enumerate(_whole_contacts(_planned(scenario, found)))
        ]
    }


def _planned(scenario: Scenario, found: Sequence[Pass]) -> Scenario:
    """The scenario with the contacts that a run over these passes has."""
    mine = scenario.node_satellite
    passes = [one for one in found if mine is not None and one.satellite == mine.name]
    return scenario.model_copy(update={"contact": handed_over(passes)})


def _whole_contacts(scenario: Scenario) -> list[_Whole]:
    """Whole seconds within each contact, which begins after the second in which the one before it
    ends: where the rate changes, up to two seconds are left out, and so is a rate that does not
    hold from one second to the next."""
    if not scenario.contact:
        return []
    whole: list[_Whole] = []
    last_s = {"ground": -1, "node": -1}
    for one in scenario.plan().contacts:
        start_s = max(-(-one.start_time // NS_PER_S), last_s[one.source] + 1)
        end_s = one.end_time // NS_PER_S
        if start_s < end_s:
            last_s[one.source] = end_s
            source, dest = NUMBERS[one.source], NUMBERS[one.dest]
            rate_bps = one.rate_bits_per_sec
            whole.append(_Whole(source, dest, start_s, end_s, rate_bps, _owlt_s(one)))
    return whole


def _owlt_s(contact: Contact) -> int:
    """Rounded up: who waits for a report must not wait too short."""
    return max(1, -(-contact.owlt // NS_PER_S))
