"""When an answer must be ready to be on the ground in time, from the contact plan. Pure."""

from __future__ import annotations

from roundtrip.contacts import FOREVER_NS, Contact, ContactPlan
from roundtrip.modem import Carrier
from roundtrip.units import NS_PER_MS, NS_PER_S

BUNDLE_BYTES = 64
"""What an answer's bundle is larger than its text: message, headers, tag, segment heads."""
MARGIN_NS = 50 * NS_PER_MS
"""For disks and processes on the way."""


class Downlink:
    """The way to the ground, as the node knows it.

    Args:
        plan: contacts less planned outages; None where there is none: then the link is always
            open, as the modem's cue has it.
    """

    def __init__(self, plan: ContactPlan | None) -> None:
        self._contacts: tuple[Contact, ...] = ()
        self._always = plan is None
        self._tx_up = False
        if plan is not None:
            self._contacts = tuple(c for c in plan.contacts if c.source == "node")
        self.backlog_bytes = 0
        """Of replies that are on their way and go first."""

    def carrier(self, cue: Carrier) -> None:
        """The modem's cue: whether it sends, and rate and light time where there is no plan."""
        self._tx_up = cue.tx_up
        if self._always:
            self._contacts = (
                Contact("node", "ground", 0, FOREVER_NS, cue.tx_rate_bps, cue.one_way_ns),
            )

    def last_start_ns(self, text_bytes: float, deadline_ns: int, now_ns: int) -> int | None:
        """The last moment at which a reply of so many bytes of text can start on the air and be
        there in time: a round trip before the very last, for repair, or else now.

        Returns:
            None where there is no such moment before the deadline.
        """
        for contact in reversed(self._contacts):
            if contact.start_time >= deadline_ns or contact.end_time <= now_ns:
                continue
            ahead = self.backlog_bytes if contact.start_time <= now_ns else 0
            air_bits = (text_bytes + BUNDLE_BYTES + ahead) * 8
            air_ns = round(air_bits * NS_PER_S / contact.rate_bits_per_sec)
            light_ns = contact.owlt
            end_ns = min(contact.end_time, deadline_ns - light_ns)
            spare_ns = MARGIN_NS + 2 * light_ns
            first_ns = max(contact.start_time, now_ns)
            start_ns = end_ns - air_ns
            if start_ns < first_ns:
                continue
            return max(first_ns, start_ns - spare_ns)
        return None

    def rate_bps(self, now_ns: int) -> int | None:
        """What the link carries now, by the plan; None where it is closed, or the modem does not
        send."""
        for contact in self._contacts if self._tx_up else ():
            if contact.start_time <= now_ns < contact.end_time:
                return contact.rate_bits_per_sec
        return None

    def is_open(self, start_ns: int, end_ns: int) -> bool:
        """Whether there is any contact in this time."""
        return any(
            contact.start_time < end_ns and contact.end_time > start_ns
            for contact in self._contacts
        )
