"""How much work a run in virtual time is, as far as its scenario tells: one that would take hours
is refused before it begins, instead of seeming to hang. Estimates, good to a factor of a few."""

from __future__ import annotations

import math
from collections.abc import Mapping

from node.service_time import Profile
from roundtrip.config import Direction
from roundtrip.contacts import FOREVER_NS
from roundtrip.errors import BadConfig
from roundtrip.scenario import Scenario
from roundtrip.units import NS_PER_S, ns_to_s, s_to_ns

MAX_EVENTS = 10_000_000
"""A minute on an idle core."""
QUESTION_EVENTS = 30
FRAME_EVENTS = 3
BEACON_EVENTS = 12
PART_EVENTS = 10
REPEAT_EVENTS = 3
REPEAT_S = 0.3
"""Least time between two attempts to get a frame through."""
HEAD_BYTES = 300
"""Of a secured bundle, without its text."""
SEGMENT_BYTES = 40
"""Of a frame at most that carries no bundle."""


def check_effort(scenario: Scenario, profile: Profile, source: str) -> None:
    """Refuse a run that is too much.

    Raises:
        BadConfig: names the setting that most of the work comes from.
    """
    events = events_of(scenario, profile)
    total = sum(events.values())
    if total > MAX_EVENTS:
        key = max(events, key=lambda name: events[name])
        expected = f"a virtual run of at most {MAX_EVENTS / 1e6:g} million events"
        found = f"about {total / 1e6:,.0f} million, most of them by this and what it works on"
        raise BadConfig(source, key, expected, found)


def events_of(scenario: Scenario, profile: Profile) -> Mapping[str, float]:
    """Events of a run by the setting that they come from."""
    work, node = scenario.workload, scenario.node
    last_s = work.start_s + (work.count - 1) * 60 / work.rate_per_min
    length_s = last_s + scenario.budget.expire_s
    open_s = ns_to_s(scenario.contact_windows("downlink").overlap_ns(0, s_to_ns(length_s)))
    text_bytes = max((len(q.text.encode()) for q in work.questions), default=0)
    up_bytes = HEAD_BYTES + text_bytes + len(work.system.encode())
    down_bytes = HEAD_BYTES + work.max_tokens * profile.bytes_per_token
    frames = _frames(up_bytes, scenario.link.uplink) + _frames(down_bytes, scenario.link.downlink)
    decode_s = work.max_tokens / max(1.0, NS_PER_S / profile.speed().step(1))
    vain_s = min(scenario.budget.expire_s, open_s)
    return {
        "workload.count": work.count * (QUESTION_EVENTS + FRAME_EVENTS * frames),
        "node.beacon_s": BEACON_EVENTS * open_s / node.beacon_s if node.beacon_s else 0.0,
        "node.part_s": PART_EVENTS * work.count * decode_s / node.part_s if node.part_s else 0.0,
        "budget.expire_s": REPEAT_EVENTS * work.count * _repeats(scenario, vain_s),
    }


def _frames(size_bytes: float, direction: Direction) -> int:
    return math.ceil(size_bytes / max(1, direction.mtu_bytes - SEGMENT_BYTES))


def _repeats(scenario: Scenario, vain_s: float) -> float:
    """How often a frame is sent again before it comes through, or is given up after a time."""
    ways = (scenario.link.uplink, scenario.link.downlink)
    period_s = max(REPEAT_S, sum(way.one_way_ns for way in ways) / NS_PER_S)
    through = math.prod(_chance(way) for way in ways)
    if through * vain_s / period_s >= 1:
        dead_s = max(
            ns_to_s(scenario.outages(way, "silent", "stuck").overlap_ns(0, FOREVER_NS))
            for way in ("uplink", "downlink")
        )
        return 1 / through + min(vain_s, dead_s) / period_s
    return vain_s / period_s


def _chance(direction: Direction) -> float:
    """That a frame of average size arrives whole."""
    chance = (1 - direction.loss) * (1 - direction.bit_error_rate) ** (8 * HEAD_BYTES)
    if direction.burst is not None:
        burst = direction.burst
        bad = burst.p / (burst.p + burst.r)
        chance *= 1 - bad * burst.loss_bad - (1 - bad) * burst.loss_good
    if direction.fade is not None:
        fade = direction.fade
        above = (fade.margin_db - fade.mean_db) / max(fade.sigma_db, 1e-9) / math.sqrt(2)
        chance *= 0.5 * math.erfc(-above)
    if direction.handover is not None:
        handover = direction.handover
        chance *= 1 - handover.loss * min(1.0, handover.burst_ms / 1000 / handover.every_s)
    return max(0.0, chance)
