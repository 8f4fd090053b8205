"""How old a bundle is, and how long it still matters: by its age block, and by the clock.

A clock counts only as far as it can be right: an age block is always there between two of us, and
goes on whatever the clocks show (RFC 9171 §5.5: without an accurate clock the age must be used).
The date of creation is signed and the age is not, so that the date alone can end a replay. Pure.
Standard: RFC 9171 §4.2.6, §4.2.7, §4.4.2, §5.5.
"""

from __future__ import annotations

from dataclasses import dataclass

from dtn.bpv7.bundle import Bundle

NS_PER_MS = 1_000_000
CLOCKS_AGREE_MS = 5_000
"""A choice: clocks that are nearer than this are the same to an operator."""


@dataclass(frozen=True, slots=True)
class DtnClock:
    """What a node knows of the time."""

    epoch_ms: int | None
    """DTN time when `now_ns` is 0; None: the time is not known here."""
    shared: bool
    """The peer has the time from the same source: a date tells the age, also what an age block
    leaves out, which is the time that the bundle was on its way."""
    signed: bool
    """Nobody can change a creation time."""

    def creation_ms(self, now_ns: int) -> int:
        """The creation time of a bundle made now; 0 where the time is not known (§4.2.7)."""
        return 0 if self.epoch_ms is None else self.epoch_ms + now_ns // NS_PER_MS

    def shared_ms(self, now_ns: int) -> int | None:
        """DTN time by a clock that the peer has too; None without one."""
        return self.creation_ms(now_ns) if self.shared and self.epoch_ms is not None else None

    def made_ms(self, bundle: Bundle, now_ns: int) -> int:
        """When one of our own was made, in ms since `now_ns` was 0."""
        if self.epoch_ms is not None and bundle.primary.creation_ms:
            return bundle.primary.creation_ms - self.epoch_ms
        return now_ns // NS_PER_MS - (bundle.age_ms or 0)

    def age_ms(self, bundle: Bundle, now_ns: int) -> int | None:
        """Since it was made, for its reader; None where neither block nor clock tells."""
        told_ms, counted_ms = bundle.age_ms, self._since_creation_ms(bundle, now_ns)
        if told_ms is None or (self.shared and self.signed and counted_ms is not None):
            return None if counted_ms is None else max(told_ms or 0, counted_ms)
        return told_ms

    def left_ms(self, bundle: Bundle, now_ns: int) -> int | None:
        """What is left of the lifetime; None where neither block nor clock tells."""
        age_ms, counted_ms = self.age_ms(bundle, now_ns), self._since_creation_ms(bundle, now_ns)
        if age_ms is not None and self.signed and counted_ms is not None:
            age_ms = max(age_ms, counted_ms)
        return None if age_ms is None else bundle.lifetime_ms - age_ms

    def over_by_clock(self, bundle: Bundle) -> bool:
        """Of a bundle with no lifetime left: whether only our clock says so."""
        return bundle.age_ms is not None and bundle.age_ms < bundle.lifetime_ms

    def forget_ns(self, bundle: Bundle, left_ms: int, now_ns: int) -> int | None:
        """When the duplicate filter may forget a bundle: when a replay of it would be over.

        With security that is for the signed fields to say; None when they do not.
        """
        if not self.signed:
            return now_ns + left_ms * NS_PER_MS
        if self.epoch_ms is None or not bundle.primary.creation_ms:
            return None
        return (bundle.primary.creation_ms - self.epoch_ms + bundle.lifetime_ms) * NS_PER_MS

    def peer_ahead_ms(self, bundle: Bundle, now_ns: int) -> int | None:
        """How far the clock of a bundle's source is ahead of ours, negative behind; None as long as
        nothing shows that they differ.

        A bundle cannot come before it was made, nor be on its way for longer than its lifetime.
        """
        age_ms, counted_ms = bundle.age_ms, self._since_creation_ms(bundle, now_ns)
        if self.shared or age_ms is None or counted_ms is None:
            return None
        ahead_ms = age_ms - counted_ms
        if ahead_ms > CLOCKS_AGREE_MS or counted_ms > bundle.lifetime_ms > age_ms:
            return ahead_ms
        return None

    def _since_creation_ms(self, bundle: Bundle, now_ns: int) -> int | None:
        if self.epoch_ms is None or not bundle.primary.creation_ms:
            return None
        return self.creation_ms(now_ns) - bundle.primary.creation_ms
