"""What comes from the peer: whole blocks in, bundles for the application out, each once.

Decides what becomes of the session that brought a block; the agent tells LTP. A bundle is opened
and checked before anything else, as what is forged must not count as seen, nor as a duplicate to be
answered. Bytes from the peer never raise.

A block that is damaged, or whose bundles fail their security checks, may have suffered bit errors
past the frame's own checks: its session is cancelled, and the peer sends it again. After
MAX_DAMAGED failures in a row the keys must be different: then the session is acknowledged and the
bundle dropped, or the peer would send it for ever.

Fragments are put together; the session of a fragment, too, is settled only when the whole bundle is
accepted. Standard: RFC 9171 §4.3.1, 5.6, 5.7 and 5.9.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from dtn.agent_notices import (
    AgentConfig,
    AgentOutput,
    BundleReceived,
    ClocksDiffer,
    DuplicateReceived,
    SeenForgotten,
    StatusReported,
)
from dtn.bpsec.block import BCB, BIB, signs_primary
from dtn.bpsec.security import Security
from dtn.bpv7.bundle import KNOWN_TYPES, Bundle, BundleId, decode_all, without_unknown
from dtn.bpv7.crc import CRC_NONE
from dtn.bpv7.eid import is_local_node, is_null
from dtn.bpv7.fragments import Reassembly, whole_id
from dtn.bpv7.status import decode_status_report
from dtn.compressed import SERVICE, Context
from dtn.errors import BundleError, SecurityFailure, SecurityReason
from dtn.lifetime import NS_PER_MS, DtnClock
from dtn.ltp.notices import BlockReceived, GreenReceived, Rejected
from dtn.ltp.segment import SessionId
from dtn.seen import Gates, SeenBundles
from dtn.tally import Makeup, makeup_of

MAX_DAMAGED = 8
EXPIRED_BY_CLOCK = "expired by our clock"
"""Why a bundle is not taken that is not over by its age."""


class Settled(Enum):
    """What becomes of the session that brought a block."""

    ACCEPTED = "accepted"
    """The peer may forget it."""
    WAITS = "waits"
    """Until its bundles are accepted."""
    CANCELLED = "cancelled"
    """The peer is to send it again."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a block was."""

    outputs: list[AgentOutput]
    session: Settled
    makeup: Makeup | None = None
    """Of what it is made; None where it could not be read."""


class Incoming:
    """Bundles from one peer.

    Args:
        config: who we are, and the limits.
        clock: what we know of the time.
        security: opens bundles; None to take them as they are.
    """

    def __init__(self, config: AgentConfig, clock: DtnClock, security: Security | None) -> None:
        self._config = config
        self._clock = clock
        self._security = security
        self._seen = SeenBundles(limit=config.max_seen)
        self._gates = Gates()
        self._fragments = Reassembly()
        self._clocks_differ = False
        self._failures = 0
        """Bundles that failed their checks since the last that passed."""

    def remember(self, bundle_ids: Iterable[BundleId]) -> None:
        """Take bundles for seen and accepted, as the store has them."""
        for bundle_id in bundle_ids:
            self._seen.add(bundle_id, expires_ns=None)

    def accept(self, bundle_id: BundleId) -> list[SessionId]:
        """A delivered bundle is safe here; return the sessions that may be acknowledged now."""
        return self._gates.accept(bundle_id)

    def take(self, notice: BlockReceived) -> Taken:
        """Take in a whole block."""
        compressed = notice.service == SERVICE
        try:
            bundles = decode_all(self._expanded(notice) if compressed else notice.block)
        except BundleError as error:
            what = "bad compressed bundle" if compressed else "bad bundle"
            return Taken([Rejected(what, str(error))], Settled.CANCELLED)
        outputs: list[AgentOutput] = []
        failures = self._failures
        for bundle in bundles:
            outputs += self._on_bundle(bundle, notice)
        if compressed and self._failures > failures:
            self._failures = failures  # it comes again as it is, and counts then
            return Taken(outputs, Settled.CANCELLED)
        if failures < self._failures <= MAX_DAMAGED:
            return Taken(outputs, Settled.CANCELLED)
        early = self._seen.trim(now_ns=notice.received_ns)
        if early:
            outputs.append(SeenForgotten(early))
        is_open = self._gates.is_open(notice.session)
        makeup = makeup_of(bundles, len(notice.block), compressed=compressed)
        return Taken(outputs, Settled.ACCEPTED if is_open else Settled.WAITS, makeup)

    def _expanded(self, notice: BlockReceived) -> bytes:
        context = Context(self._config.peer_eid, self._config.eid, self._config.hop_limit)
        return context.expand(notice.block, now_ms=self._clock.shared_ms(notice.received_ns))

    def take_green(self, notice: GreenReceived) -> list[AgentOutput]:
        """Green data is not sent again: only a block in one segment can be used."""
        if notice.offset or not notice.is_end:
            return [Rejected("green data", f"part of session {notice.session.number}")]
        block = BlockReceived(notice.session, notice.data, notice.received_ns, notice.service)
        compressed = notice.service == SERVICE
        try:
            bundles = decode_all(self._expanded(block) if compressed else notice.data)
        except BundleError as error:
            return [Rejected("bad bundle", str(error))]
        return [output for bundle in bundles for output in self._on_bundle(bundle, block)]

    def _on_bundle(self, received: Bundle, notice: BlockReceived) -> list[AgentOutput]:
        bundle = self._opened(received)
        if isinstance(bundle, Rejected):
            return [bundle]
        bundle_id = bundle.id
        if bundle_id in self._seen:
            if bundle_id in self._gates:
                self._gates.wait(bundle_id, notice.session)
            return [DuplicateReceived(bundle_id, notice.session)]
        now_ns = notice.received_ns
        outputs = self._compare_clocks(bundle, now_ns)
        left_ms, age_ms = self._clock.left_ms(bundle, now_ns), self._clock.age_ms(bundle, now_ns)
        reason = self._refusal(bundle, left_ms)
        if reason is not None:
            return [*outputs, Rejected(reason, str(bundle_id))]
        assert left_ms is not None
        assert age_ms is not None
        kept = without_unknown(bundle, KNOWN_TYPES)
        if kept is None:
            return [*outputs, Rejected("unsupported block", str(bundle_id))]
        if bundle.is_admin_record:
            return [*outputs, _status_of(bundle)]
        if bundle_id.fragment_offset is not None:
            return [*outputs, *self._on_fragment(kept, notice, left_ms, age_ms)]
        self._seen.add(bundle_id, expires_ns=self._clock.forget_ns(bundle, left_ms, now_ns))
        self._gates.wait(bundle_id, notice.session)
        return [
            *outputs,
            BundleReceived(kept, notice.session, now_ns, age_ms, len(notice.block)),
        ]

    def _compare_clocks(self, bundle: Bundle, now_ns: int) -> list[AgentOutput]:
        if self._clocks_differ or bundle.source != self._config.peer_eid:
            return []
        ahead_ms = self._clock.peer_ahead_ms(bundle, now_ns)
        self._clocks_differ = ahead_ms is not None
        return [] if ahead_ms is None else [ClocksDiffer(ahead_ms)]

    def _on_fragment(
        self, piece: Bundle, notice: BlockReceived, left_ms: int, age_ms: int
    ) -> list[AgentOutput]:
        now_ns, whole = notice.received_ns, whole_id(piece.id)
        for gone in self._fragments.forget_expired(now_ns=now_ns):
            self._gates.accept(gone)
        if whole in self._seen:
            if whole in self._gates:
                self._gates.wait(whole, notice.session)
            return [DuplicateReceived(piece.id, notice.session)]
        expires_ns = now_ns + left_ms * NS_PER_MS
        try:
            bundle = self._fragments.add(piece, expires_ns=expires_ns)
        except ValueError as error:
            return [Rejected("fragment", str(error))]
        self._gates.wait(whole, notice.session)
        if bundle is None:
            return []
        self._seen.add(whole, expires_ns=expires_ns)
        return [BundleReceived(bundle, notice.session, now_ns, age_ms, len(notice.block))]

    def _refusal(self, bundle: Bundle, left_ms: int | None) -> str | None:
        """Why a well-formed bundle is not for the application."""
        if bundle.destination != self._config.eid:
            return "wrong destination"
        if is_local_node(bundle.source):
            return "another's LocalNode"
        if is_null(bundle.source) and not bundle.is_admin_record:
            return "anonymous"  # nothing to recognise a copy by, and nobody to answer
        if left_ms is None:
            return "no age"
        if left_ms <= 0:
            return EXPIRED_BY_CLOCK if self._clock.over_by_clock(bundle) else "expired"
        hops = bundle.hops
        if hops is not None and hops[1] > hops[0]:
            return "hop limit"
        return None

    def _opened(self, bundle: Bundle) -> Bundle | Rejected:
        """A received bundle in the clear, or why it is dropped."""
        if self._security is None:
            if bundle.block(BCB) is not None:  # ciphertext must not pass for the message
                return Rejected("security", SecurityReason.NO_KEY)
            guarded = bundle.primary.crc_type != CRC_NONE or signs_primary(bundle.blocks)
            return bundle if guarded else _unguarded(bundle)
        try:
            opened = self._security.open(bundle)
        except SecurityFailure as failure:
            if bundle.block(BIB) is not None or bundle.block(BCB) is not None:
                self._failures += 1  # secured, and perhaps damaged on the way
            return Rejected("security", failure.reason)
        self._failures = 0
        return opened if opened.primary.crc_type != CRC_NONE else _unguarded(bundle)


def _unguarded(bundle: Bundle) -> Rejected:
    """One or the other must be there (RFC 9171 §4.3.1)."""
    return Rejected("neither CRC nor signature on the primary block", str(bundle.id))


def _status_of(record: Bundle) -> StatusReported | Rejected:
    try:
        return StatusReported(decode_status_report(record.payload))
    except BundleError as error:
        return Rejected("administrative record", str(error))
