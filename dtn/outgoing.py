"""Bundles of ours until the peer has them: their bytes, their order, and when they expire.

Keeps the encoded bundle in two pieces with the age block between them, so that the age is right at
the moment the bundle is handed to LTP and nothing else is encoded twice. Must never change a
bundle's identity. Standard: RFC 9171 §4.4.2, 5.4 and 5.5.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from heapq import heappop, heappush

from dtn.bpv7.blocks import (
    BUNDLE_AGE,
    CanonicalBlock,
    age_block,
    encode_canonical,
    encode_primary,
)
from dtn.bpv7.bundle import Bundle, BundleId
from dtn.lifetime import NS_PER_MS
from dtn.ltp.segment import SessionId
from dtn.tally import NOTHING, Makeup


@dataclass(slots=True, eq=False)
class OutgoingBundle:
    """One bundle on its way to the peer."""

    id: BundleId
    priority: int
    order: int
    """Position among those of the same priority."""
    made_ms: int
    """When, in ms since `now_ns` was 0."""
    expires_ns: int
    head: bytes
    age: CanonicalBlock | None
    """The age block as it was when the bundle was made; None for a bundle without."""
    tail: bytes
    crc: int
    """Of head and tail: they may wait for days in a memory that is hit by radiation."""
    due_ns: int | None = None
    """When it should be there, if that is sooner."""
    session: SessionId | None = None
    """The LTP session that carries it now."""
    makeup: Makeup = NOTHING
    """Of that session's block."""
    failures: int = 0
    """Sessions with it that ended in vain."""
    refusals: int = 0
    """How often the peer has given up a session with it."""

    def encoded(self, age_ms: int | None = None) -> bytes:
        """The bundle, with another age if one is given."""
        if self.age is None:
            return self.head + self.tail
        age = self.age if age_ms is None else age_block(age_ms, self.age.number)
        return b"".join((self.head, encode_canonical(age), self.tail))

    @property
    def whole(self) -> bool:
        """It is as it was made."""
        return _crc_of(self.head, self.tail) == self.crc

    @property
    def size_bytes(self) -> int:
        """About how large it is."""
        return len(self.head) + len(self.tail)


def outgoing(
    bundle: Bundle, *, priority: int, order: int, made_ms: int, due_ns: int | None = None
) -> OutgoingBundle:
    """Take a bundle apart for sending. The age block goes last before the payload."""
    age: CanonicalBlock | None = None
    parts = [b"\x9f", encode_primary(bundle.primary)]
    for block in bundle.blocks[:-1]:
        if block.type_code == BUNDLE_AGE:
            age = block
        else:
            parts.append(encode_canonical(block))
    tail = encode_canonical(bundle.blocks[-1]) + b"\xff"
    expires_ns = (made_ms + bundle.lifetime_ms) * NS_PER_MS
    head = b"".join(parts)
    crc = _crc_of(head, tail)
    return OutgoingBundle(
        bundle.id, priority, order, made_ms, expires_ns, head, age, tail, crc, due_ns
    )


def _crc_of(head: bytes, tail: bytes) -> int:
    return zlib.crc32(tail, zlib.crc32(head))


class OutgoingTable:
    """All of them: those that wait in order of priority and age, and those in a session."""

    def __init__(self) -> None:
        self._bundles: dict[BundleId, OutgoingBundle] = {}
        self._by_session: dict[SessionId, OutgoingBundle] = {}
        self._waiting: list[tuple[int, int, BundleId]] = []
        self._expiries: list[tuple[int, int, BundleId]] = []
        self._orders = 0

    def __len__(self) -> int:
        return len(self._bundles)

    def __contains__(self, bundle_id: BundleId) -> bool:
        return bundle_id in self._bundles

    def __getitem__(self, bundle_id: BundleId) -> OutgoingBundle:
        return self._bundles[bundle_id]

    def next_order(self) -> int:
        """A position behind all so far."""
        self._orders += 1
        return self._orders

    def add(self, bundle: OutgoingBundle) -> None:
        """Put a bundle in line."""
        self._bundles[bundle.id] = bundle
        heappush(self._expiries, (bundle.expires_ns, bundle.order, bundle.id))
        self._wait(bundle)

    def head(self) -> OutgoingBundle | None:
        """The bundle whose turn it is."""
        waiting = self._waiting
        while waiting:
            _, order, bundle_id = waiting[0]
            bundle = self._bundles.get(bundle_id)
            if bundle is not None and bundle.session is None and bundle.order == order:
                return bundle
            heappop(waiting)
        return None

    def assign(self, bundle: OutgoingBundle, session: SessionId, makeup: Makeup) -> None:
        """The bundle at the head of the line goes into a session."""
        bundle.session, bundle.makeup = session, makeup
        self._by_session[session] = bundle

    def in_session(self, session: SessionId) -> OutgoingBundle | None:
        """The bundle a session carries, if the session still matters."""
        return self._by_session.get(session)

    def release(self, session: SessionId) -> OutgoingBundle | None:
        """A session failed: its bundle goes back to its old place in line."""
        bundle = self._by_session.pop(session, None)
        if bundle is not None:
            bundle.session = None
            self._wait(bundle)
        return bundle

    def remove(self, bundle_id: BundleId) -> OutgoingBundle | None:
        """Forget a bundle."""
        bundle = self._bundles.pop(bundle_id, None)
        if bundle is not None and bundle.session is not None:
            del self._by_session[bundle.session]
        return bundle

    def upset(self, bit: int) -> int | None:
        """Invert one bit of those in memory, counted through all of them; None, or by how much
        `bit` lies beyond their end."""
        for bundle in self._bundles.values():
            if bit < 8 * bundle.size_bytes:
                data = bytearray(bundle.head + bundle.tail)
                data[bit // 8] ^= 1 << bit % 8
                size = len(bundle.head)
                bundle.head, bundle.tail = bytes(data[:size]), bytes(data[size:])
                return None
            bit -= 8 * bundle.size_bytes
        return bit

    def expired(self, *, now_ns: int) -> list[OutgoingBundle]:
        """Those whose lifetime is over, still in the table."""
        due: list[OutgoingBundle] = []
        while (head := self._next_expiry()) is not None and head[0] <= now_ns:
            heappop(self._expiries)
            due.append(self._bundles[head[2]])
        return due

    @property
    def next_expiry_ns(self) -> int | None:
        """When the next lifetime is over."""
        head = self._next_expiry()
        return None if head is None else head[0]

    def _wait(self, bundle: OutgoingBundle) -> None:
        heappush(self._waiting, (bundle.priority, bundle.order, bundle.id))

    def _next_expiry(self) -> tuple[int, int, BundleId] | None:
        expiries = self._expiries
        while expiries:
            bundle = self._bundles.get(expiries[0][2])
            if bundle is not None and bundle.order == expiries[0][1]:
                return expiries[0]
            heappop(expiries)
        return None
