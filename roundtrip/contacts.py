"""Contact plan: when the link is open, at what rate and one-way light time.

Times are ns on the plan's own clock, whose zero is the start of the scenario. Windows are half-open
[start, end), sorted and disjoint. Field names of `Contact` follow ION's and HDTN's contact plans.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from roundtrip.units import NS_PER_S, serialisation_ns

FOREVER_NS = 10_000 * 365 * 86_400 * NS_PER_S
"""The end of a contact that never ends."""

Window = tuple[int, int]


class Windows:
    """A sorted list of disjoint half-open intervals of time."""

    __slots__ = ("_ends", "_starts", "spans")

    def __init__(self, spans: Iterable[Window]) -> None:
        self.spans: tuple[Window, ...] = _merged(spans)
        self._starts = [start for start, _ in self.spans]
        self._ends = [end for _, end in self.spans]

    def at(self, at_ns: int) -> Window | None:
        """The window that holds `at_ns`, or None."""
        index = bisect_right(self._starts, at_ns) - 1
        if index >= 0 and at_ns < self._ends[index]:
            return self.spans[index]
        return None

    def next_start(self, at_ns: int) -> int | None:
        """The first start after `at_ns`, or None."""
        index = bisect_right(self._starts, at_ns)
        return self._starts[index] if index < len(self._starts) else None

    def first_overlap(self, start_ns: int, end_ns: int) -> Window | None:
        """The first window that shares time with [start_ns, end_ns), or None."""
        index = bisect_right(self._ends, start_ns)
        if index < len(self.spans) and self._starts[index] < end_ns:
            return self.spans[index]
        return None

    def overlap_ns(self, start_ns: int, end_ns: int) -> int:
        """How much of [start_ns, end_ns) lies inside the windows."""
        index = bisect_right(self._ends, start_ns)
        total = 0
        while index < len(self.spans) and self._starts[index] < end_ns:
            total += min(end_ns, self._ends[index]) - max(start_ns, self._starts[index])
            index += 1
        return total

    def minus(self, other: Windows) -> Windows:
        """These windows without the time of the others."""
        left: list[Window] = []
        for start, end in self.spans:
            at = start
            while at < end:
                hole = other.first_overlap(at, end)
                if hole is None:
                    left.append((at, end))
                    break
                if hole[0] > at:
                    left.append((at, hole[0]))
                at = hole[1]
        return Windows(left)

    def intersection(self, other: Windows) -> Windows:
        """The time that lies in both."""
        return self.minus(self.minus(other))


def _merged(spans: Iterable[Window]) -> tuple[Window, ...]:
    merged: list[Window] = []
    for start, end in sorted(span for span in spans if span[1] > span[0]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


@dataclass(frozen=True, slots=True)
class Contact:
    """One direction of a link, open for a while."""

    source: str
    dest: str
    start_time: int
    """ns"""
    end_time: int
    """ns"""
    rate_bits_per_sec: int
    owlt: int
    """One-way light time, ns; the longest, where it changes."""
    owlts: tuple[int, ...] = ()
    """Where it changes: evenly from start to end, linear in between."""

    def owlt_at(self, at_ns: int) -> int:
        """One-way light time at a moment of the contact, ns."""
        if not self.owlts:
            return self.owlt
        steps, length_ns = len(self.owlts) - 1, self.end_time - self.start_time
        scaled = (min(max(at_ns, self.start_time), self.end_time) - self.start_time) * steps
        index = min(scaled // length_ns, steps - 1)
        low, high = self.owlts[index], self.owlts[index + 1]
        return low + (high - low) * (scaled - index * length_ns) // length_ns


class Rate:
    """Rate of one direction as it changes in time; before the first step that of the first.

    Args:
        steps: (from when in ns, bits per second), in order, none of them 0.
    """

    def __init__(self, steps: Sequence[tuple[int, int]]) -> None:
        kept = [step for at, step in enumerate(steps) if not at or step[1] != steps[at - 1][1]]
        self._starts = [start for start, _ in kept]
        self._rates = [rate for _, rate in kept]
        self.changes: tuple[int, ...] = tuple(self._starts[1:])
        """When it is another."""

    def at(self, at_ns: int) -> int:
        """Bits per second."""
        if not self.changes:
            return self._rates[0]
        return self._rates[max(0, bisect_right(self._starts, at_ns) - 1)]

    def next_change(self, at_ns: int) -> int | None:
        """When it is another, after a time."""
        index = bisect_right(self.changes, at_ns)
        return self.changes[index] if index < len(self.changes) else None

    def end_ns(self, start_ns: int, size_bytes: int) -> int:
        """When the last bit of a frame is out: it has the rate of its first."""
        return start_ns + serialisation_ns(size_bytes, self.at(start_ns))

    @property
    def most_bps(self) -> int:
        """The highest that it ever is."""
        return max(self._rates)

    def pieces(self, start_ns: int, end_ns: int) -> list[tuple[int, int, int]]:
        """[start, end) as (start, end, bits per second), cut where it changes."""
        first, last = bisect_right(self.changes, start_ns), bisect_left(self.changes, end_ns)
        inside = self.changes[first:last]
        edges = [start_ns, *inside, end_ns]
        return [(a_ns, b_ns, self.at(a_ns)) for a_ns, b_ns in pairwise(edges)]


class LightTime:
    """One-way light time of one direction; outside contacts that of the nearest one before, or of
    the first."""

    in_order = False
    """Whether frames keep their order whatever happens."""

    def __init__(self, contacts: Sequence[Contact], default_ns: int) -> None:
        self._contacts = sorted(contacts, key=lambda contact: contact.start_time)
        self._starts = [contact.start_time for contact in self._contacts]
        self._varies = any(contact.owlts for contact in self._contacts)
        self._default_ns = default_ns

    def at(self, at_ns: int) -> int:
        """ns."""
        if not self._varies:
            return self._default_ns
        index = max(0, bisect_right(self._starts, at_ns) - 1)
        return self._contacts[index].owlt_at(at_ns)

    @property
    def least_ns(self) -> int:
        """The shortest that it ever is."""
        if not self._varies:
            return self._default_ns
        return min(min(contact.owlts or (contact.owlt,)) for contact in self._contacts)

    def sent_ns(self, heard_ns: int) -> int:
        """When what is heard at a time was sent: its own light time later it is there."""
        if not self._varies:
            return heard_ns - self._default_ns
        sent_ns = heard_ns - self.at(heard_ns)
        return heard_ns - self.at(sent_ns)


class ContactPlan:
    """What both ends know in advance: contacts less planned outages, per direction."""

    def __init__(self, contacts: Sequence[Contact]) -> None:
        self.contacts: tuple[Contact, ...] = tuple(
            sorted(contacts, key=lambda contact: (contact.start_time, contact.source))
        )
        self.uplink = Windows((c.start_time, c.end_time) for c in contacts if c.source == "ground")
        self.downlink = Windows((c.start_time, c.end_time) for c in contacts if c.source == "node")
        self._rates = {
            source: Rate(
                [(c.start_time, c.rate_bits_per_sec) for c in self.contacts if c.source == source]
            )
            for source in {c.source: None for c in self.contacts}
        }
        self.both = self.uplink.intersection(self.downlink)
        """When question and answer can both pass: what "in contact" means."""

    def rate_bps(self, source: str, at_ns: int) -> int | None:
        """At which rate a side ("ground" or "node") sends; None where it never does."""
        rate = self._rates.get(source)
        return None if rate is None else rate.at(at_ns)

    @property
    def last_end_ns(self) -> int:
        """When the last contact ends."""
        return max((contact.end_time for contact in self.contacts), default=0)
