"""Bundles from the peer that were seen before, and LTP sessions that wait for them to be on disk.

A bundle may come more than once, in several sessions; each session is settled only when every
bundle in it is accepted. Must never forget a bundle within its lifetime while there is room.
Standard: RFC 9171 §4.3.1 (identity); the rest is ours.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappop, heappush

from dtn.bpv7.bundle import BundleId
from dtn.ltp.segment import SessionId


class SeenBundles:
    """Identities of received bundles, each until its lifetime is over."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[BundleId, int] = OrderedDict()
        self._expiries: list[tuple[int, int, BundleId]] = []
        self._seq = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, bundle_id: BundleId) -> bool:
        return bundle_id in self._entries

    def add(self, bundle_id: BundleId, *, expires_ns: int | None) -> None:
        """Remember a bundle until a time, or None: for as long as there is room."""
        self._seq += 1
        self._entries[bundle_id] = self._seq
        if expires_ns is not None:
            heappush(self._expiries, (expires_ns, self._seq, bundle_id))

    def trim(self, *, now_ns: int) -> int:
        """Drop what is over its lifetime, then the oldest; return how many of those went early."""
        while self._expiries and self._expiries[0][0] <= now_ns:
            _, seq, bundle_id = heappop(self._expiries)
            if self._entries.get(bundle_id) == seq:
                del self._entries[bundle_id]
        early = 0
        while len(self._entries) > self._limit:
            self._entries.popitem(last=False)
            early += 1
        return early


class Gates:
    """Which sessions wait for which bundles to be accepted."""

    def __init__(self) -> None:
        self._sessions: dict[BundleId, list[SessionId]] = {}
        self._waiting: dict[SessionId, int] = {}

    def __contains__(self, bundle_id: BundleId) -> bool:
        """Whether a bundle was delivered and is not accepted yet."""
        return bundle_id in self._sessions

    def wait(self, bundle_id: BundleId, session: SessionId) -> None:
        """A session carries a bundle that is not on disk yet."""
        self._sessions.setdefault(bundle_id, []).append(session)
        self._waiting[session] = self._waiting.get(session, 0) + 1

    def is_open(self, session: SessionId) -> bool:
        """Whether a session waits for nothing."""
        return session not in self._waiting

    def accept(self, bundle_id: BundleId) -> list[SessionId]:
        """A bundle is on disk; return the sessions that now wait for nothing more."""
        opened: list[SessionId] = []
        for session in self._sessions.pop(bundle_id, []):
            self._waiting[session] -= 1
            if not self._waiting[session]:
                del self._waiting[session]
                opened.append(session)
        return opened
