"""The bundle agent: sends and receives whole bundles over one LTP engine to one peer.

A machine without I/O. Bundles wait in order of priority, each goes in an LTP session of its own,
and frames leave as fast as the modelled transmitter takes them. A bundle is given up only when its
lifetime is over: when a session fails the bundle gets another. A received bundle is delivered once,
and the peer is told that we have it only after `accept`. Bytes from the peer never raise. With
security, a bundle is secured anew for every session, and one that fails its checks is dropped and
never answered. Bit errors look like that too: so its session is cancelled, and the peer sends it
again. After MAX_DAMAGED in a row the keys must be different: then LTP acknowledges what is dropped,
or the peer would send it for ever. Fragments are put together; a fragment's session, too, is
settled only when the whole bundle is accepted. Standard: RFC 9171 §5; no forwarding, and no status
reports of our own.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import assert_never

from dtn.agent_notices import (
    Acknowledged,
    AgentConfig,
    AgentOutput,
    BundleReceived,
    ClocksDiffer,
    DuplicateReceived,
    Expired,
    QueueFull,
    SeenForgotten,
    SessionFailed,
    StatusReported,
    TransmissionStarted,
    Transmit,
)
from dtn.bpsec.block import BCB, BIB
from dtn.bpsec.check import guards_primary
from dtn.bpsec.security import Security
from dtn.bpv7.blocks import MUST_NOT_FRAGMENT, PrimaryBlock
from dtn.bpv7.bundle import (
    KNOWN_TYPES,
    Bundle,
    BundleId,
    decode,
    decode_all,
    encode,
    make_bundle,
    without_unknown,
)
from dtn.bpv7.eid import NULL_EID
from dtn.bpv7.fragments import Reassembly, whole_id
from dtn.bpv7.status import decode_status_report
from dtn.errors import BundleError, SecurityFailure, SecurityReason
from dtn.lifetime import NS_PER_MS, DtnClock
from dtn.ltp.engine import LtpEngine
from dtn.ltp.notices import (
    BlockAcknowledged,
    BlockReceived,
    GreenReceived,
    LtpOutput,
    ReceiveCancelled,
    Rejected,
    SendFailed,
    serialisation_ns,
)
from dtn.outgoing import OutgoingBundle, OutgoingTable, outgoing
from dtn.seen import Gates, SeenBundles
from dtn.transmitter import Transmitter

_SEQUENCE_START = 1 << 16
_SEQUENCE_START_UNDATED = 1 << 48
"""Where no creation time tells bundles of two starts apart."""
MAX_DAMAGED = 8
EXPIRED_BY_CLOCK = "expired by our clock"
"""Why a bundle is not taken that is not over by its age."""

__all__ = [
    "Acknowledged",
    "AgentConfig",
    "AgentOutput",
    "BundleAgent",
    "BundleReceived",
    "ClocksDiffer",
    "DuplicateReceived",
    "Expired",
    "QueueFull",
    "ReceiveCancelled",
    "Rejected",
    "SeenForgotten",
    "SessionFailed",
    "StatusReported",
    "TransmissionStarted",
    "Transmit",
]


class BundleAgent:
    """The agent of one node towards one peer.

    Args:
        config: identities and limits.
        rng: for LTP's numbers and the first sequence number; see `LtpEngine`.
        security: secures and opens bundles; None to send them as they are.

    Raises:
        ValueError: security without a rule for the peer.
    """

    def __init__(
        self, config: AgentConfig, *, rng: random.Random, security: Security | None = None
    ) -> None:
        if security is not None and not security.has_rule(config.peer_eid):
            raise ValueError(f"no security rule for {config.peer_eid}")
        self.config = config
        self._security = security
        self._engine = LtpEngine(config.ltp, rng=rng)
        self._outgoing = OutgoingTable()
        self._seen = SeenBundles(limit=config.max_seen)
        self._gates = Gates()
        self._fragments = Reassembly()
        self._failures = 0
        """Bundles that failed their checks since the last that passed."""
        self._clock = DtnClock(config.dtn_epoch_ms, config.shared_clock, security is not None)
        self._clocks_differ = False
        dated = config.dtn_epoch_ms is not None
        self._sequence = rng.randrange(_SEQUENCE_START if dated else _SEQUENCE_START_UNDATED)
        self._tx_up = False
        self._transmitter = Transmitter()

    # Commands

    def send(
        self, payload: bytes, *, lifetime_ms: int, priority: int = 0, now_ns: int
    ) -> tuple[BundleId | None, list[AgentOutput]]:
        """Make a bundle for the peer and queue it. A lower priority number leaves first.

        Returns:
            Its identity, or None when the queue is full, and what to do now.
        """
        primary = PrimaryBlock(
            destination=self.config.peer_eid,
            source=self.config.eid,
            creation_ms=self._clock.creation_ms(now_ns),
            sequence=self._sequence,
            lifetime_ms=lifetime_ms,
            flags=MUST_NOT_FRAGMENT,
        )
        bundle = make_bundle(primary, payload, hop_limit=self.config.hop_limit)
        self._sequence += 1
        return self._enqueue(bundle, priority, now_ns // NS_PER_MS, now_ns)

    def send_encoded(
        self, data: bytes, *, priority: int = 0, now_ns: int
    ) -> tuple[BundleId | None, list[AgentOutput]]:
        """Queue a bundle that was made before a restart, under its old identity.

        Raises:
            BundleError: the bytes are not one bundle.
        """
        bundle = decode(data)
        return self._enqueue(bundle, priority, self._clock.made_ms(bundle, now_ns), now_ns)

    def encoded(self, bundle_id: BundleId) -> bytes:
        """The bytes of a bundle not yet acknowledged, for `send_encoded` after a restart.

        They are not secured: that is done for each session, with the keys of the day.

        Raises:
            KeyError: no such bundle.
        """
        return self._outgoing[bundle_id].encoded()

    def cancel(self, bundle_id: BundleId, *, now_ns: int) -> list[AgentOutput]:
        """Give up a bundle. One that is not there is no error."""
        self._drop(bundle_id, now_ns)
        return self._pump(now_ns)

    def receive(self, frame: bytes, *, now_ns: int) -> list[AgentOutput]:
        """Take in one frame from the peer."""
        outputs = self._translate(self._engine.receive(frame, now_ns=now_ns), now_ns)
        return outputs + self._pump(now_ns)

    def accept(self, bundle_id: BundleId, *, now_ns: int) -> list[AgentOutput]:
        """A delivered bundle is safe here; the peer may be told. Repeated calls do nothing."""
        outputs: list[AgentOutput] = []
        for session in self._gates.accept(bundle_id):
            outputs += self._translate(self._engine.accept(session, now_ns=now_ns), now_ns)
        return outputs + self._pump(now_ns)

    def carrier(
        self,
        *,
        tx_up: bool,
        rx_up: bool,
        tx_rate_bps: int,
        one_way_ns: int,
        now_ns: int,
        rx_rate_bps: int = 0,
    ) -> list[AgentOutput]:
        """Take a link state cue: from the modem, or from the contact plan.

        Args:
            tx_up: whether we may transmit.
            rx_up: whether the peer may.
            tx_rate_bps: our rate; must be positive while tx_up.
            one_way_ns: light time.
            now_ns: the time of the cue.
            rx_rate_bps: the peer's rate, 0 to take ours: how long its answers may have to wait
                behind its own frames.

        Raises:
            ValueError: the transmitter is up without a rate.
        """
        if tx_up and tx_rate_bps <= 0:
            raise ValueError(f"tx_rate_bps {tx_rate_bps} with the transmitter up")
        if tx_up and not self._tx_up:
            self._transmitter.restart(now_ns=now_ns)
        self._tx_up = tx_up
        self._transmitter.retime(tx_rate_bps, now_ns=now_ns)
        outputs = self._engine.carrier(
            tx_up=tx_up,
            rx_up=rx_up,
            one_way_ns=one_way_ns,
            now_ns=now_ns,
            tx_rate_bps=tx_rate_bps,
            rx_rate_bps=rx_rate_bps or tx_rate_bps,
        )
        return self._translate(outputs, now_ns) + self._pump(now_ns)

    def timeout(self, *, now_ns: int) -> list[AgentOutput]:
        """Do what is due. Early or repeated calls do nothing."""
        outputs: list[AgentOutput] = []
        for bundle in self._outgoing.expired(now_ns=now_ns):
            self._drop(bundle.id, now_ns)
            outputs.append(Expired(bundle.id))
        outputs += self._translate(self._engine.timeout(now_ns=now_ns), now_ns)
        return outputs + self._pump(now_ns)

    def remember(self, bundle_ids: Iterable[BundleId]) -> None:
        """Take bundles for seen and accepted, as the store has them."""
        for bundle_id in bundle_ids:
            self._seen.add(bundle_id, expires_ns=None)

    # State

    @property
    def deadline(self) -> tuple[int, str] | None:
        """When `timeout` has something to do next, and why."""
        timer = self._engine.deadline
        candidates = [] if timer is None else [timer]
        expiry_ns = self._outgoing.next_expiry_ns
        if expiry_ns is not None:
            candidates.append((expiry_ns, "lifetime"))
        if self._tx_up and self._engine.has_pending:
            candidates.append((self._transmitter.free_ns - self._pace_ahead_ns, "transmitter"))
        return min(candidates) if candidates else None

    @property
    def queued_bundles(self) -> int:
        """Bundles of ours not yet acknowledged."""
        return len(self._outgoing)

    @property
    def pending_bytes(self) -> int:
        """Bytes in LTP sessions that wait for the transmitter."""
        return self._engine.pending_bytes

    # Sending

    def _enqueue(
        self, bundle: Bundle, priority: int, made_ms: int, now_ns: int
    ) -> tuple[BundleId | None, list[AgentOutput]]:
        if bundle.id in self._outgoing:
            return bundle.id, []
        if len(self._outgoing) >= self.config.max_queued_bundles:
            return None, [QueueFull(self.config.max_queued_bundles)]
        order = self._outgoing.next_order()
        entry = outgoing(bundle, priority=priority, order=order, made_ms=made_ms)
        size_bytes = entry.size_bytes + 32
        if self._security is not None:
            if not self._security.can_protect(bundle):
                return None, [Rejected("security", SecurityReason.CONFLICTING)]
            size_bytes += self._security.most_added_bytes(bundle)
        if size_bytes > self.config.ltp.max_block_bytes:
            return None, [Rejected("bundle too large", f"{entry.size_bytes} bytes")]
        self._outgoing.add(entry)
        return bundle.id, self._pump(now_ns)

    def _pump(self, now_ns: int) -> list[AgentOutput]:
        """Hand frames to the transmitter while it takes them."""
        outputs: list[AgentOutput] = []
        if not self._tx_up:
            return outputs
        self._open_sessions(now_ns)
        while self._transmitter.free_ns - self._pace_ahead_ns <= now_ns:
            start_ns = max(now_ns, self._transmitter.free_ns)
            leaving = self._engine.next_segment(now_ns=now_ns, start_ns=start_ns)
            if leaving is None:
                break
            frame, started = leaving
            bundle = None if started is None else self._outgoing.in_session(started)
            if bundle is not None and started is not None:
                size = bundle.block_bytes
                outputs.append(TransmissionStarted(bundle.id, started, start_ns, size))
            outputs.append(Transmit(frame))
            self._transmitter.take(len(frame), now_ns=now_ns)
        return outputs

    def _open_sessions(self, now_ns: int) -> None:
        """Give waiting bundles sessions. The last quarter is kept for the most urgent priority."""
        reserve = self.config.ltp.max_tx_sessions // 4
        while (bundle := self._outgoing.head()) is not None:
            free = self._engine.free_sessions
            if not free or (bundle.priority > 0 and free <= reserve):
                return
            age_ms = max(0, now_ns // NS_PER_MS - bundle.made_ms)
            block = self._secured(bundle.encoded(age_ms))
            session = self._engine.submit(block, priority=bundle.priority, now_ns=now_ns)
            self._outgoing.assign(bundle, session, len(block))

    def _secured(self, data: bytes) -> bytes:
        """A bundle of ours as it goes to the peer."""
        return data if self._security is None else encode(self._security.protect(decode(data)))

    def _drop(self, bundle_id: BundleId, now_ns: int) -> OutgoingBundle | None:
        bundle = self._outgoing.remove(bundle_id)
        if bundle is not None and bundle.session is not None:
            self._engine.cancel(bundle.session, now_ns=now_ns)
        return bundle

    @property
    def _pace_ahead_ns(self) -> int:
        if self.config.pace_ahead_ns is not None:
            return self.config.pace_ahead_ns
        return serialisation_ns(self.config.ltp.mtu_bytes, self._transmitter.rate_bps)

    # Receiving

    def _translate(self, notices: list[LtpOutput], now_ns: int) -> list[AgentOutput]:
        """What LTP's notices mean for bundles."""
        outputs: list[AgentOutput] = []
        for notice in notices:
            if isinstance(notice, BlockReceived):
                outputs += self._on_block(notice, now_ns)
            elif isinstance(notice, GreenReceived):
                outputs += self._on_green(notice)
            elif isinstance(notice, BlockAcknowledged):
                bundle = self._outgoing.in_session(notice.session)
                if bundle is not None:
                    self._outgoing.remove(bundle.id)
                    outputs.append(Acknowledged(bundle.id, notice.session, now_ns))
            elif isinstance(notice, SendFailed):
                bundle = self._outgoing.release(notice.session)
                if bundle is not None:
                    outputs.append(SessionFailed(bundle.id, notice.session, notice.reason))
            elif isinstance(notice, (ReceiveCancelled, Rejected)):
                outputs.append(notice)
            else:
                assert_never(notice)
        return outputs

    def _on_block(self, notice: BlockReceived, now_ns: int) -> list[AgentOutput]:
        session = notice.session
        try:
            bundles = decode_all(notice.block)
        except BundleError as error:
            # Damaged on the way, past the frame's own checks: let the peer send it again.
            outputs: list[AgentOutput] = [Rejected("bad bundle", str(error))]
            return outputs + self._translate(self._engine.cancel(session, now_ns=now_ns), now_ns)
        outputs, failures = [], self._failures
        for bundle in bundles:
            outputs += self._on_bundle(bundle, notice)
        if failures < self._failures <= MAX_DAMAGED:
            return outputs + self._translate(self._engine.cancel(session, now_ns=now_ns), now_ns)
        early = self._seen.trim(now_ns=now_ns)
        if early:
            outputs.append(SeenForgotten(early))
        if self._gates.is_open(session):
            outputs += self._translate(self._engine.accept(session, now_ns=now_ns), now_ns)
        return outputs

    def _on_green(self, notice: GreenReceived) -> list[AgentOutput]:
        """Green data is not sent again: only a block in one segment can be used."""
        if notice.offset or not notice.is_end:
            return [Rejected("green data", f"part of session {notice.session.number}")]
        try:
            bundles = decode_all(notice.data)
        except BundleError as error:
            return [Rejected("bad bundle", str(error))]
        block = BlockReceived(notice.session, notice.data, notice.received_ns)
        return [output for bundle in bundles for output in self._on_bundle(bundle, block)]

    def _on_bundle(self, received: Bundle, notice: BlockReceived) -> list[AgentOutput]:
        # Before all else: what is forged must not count as seen, nor as a duplicate to be answered.
        if not guards_primary(received):
            return [Rejected("neither CRC nor signature on the primary block", str(received.id))]
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
            BundleReceived(kept, notice.session, now_ns, max(0, age_ms), len(notice.block)),
        ]

    def _compare_clocks(self, bundle: Bundle, now_ns: int) -> list[AgentOutput]:
        if self._clocks_differ or bundle.source != self.config.peer_eid:
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
        return [BundleReceived(bundle, notice.session, now_ns, max(0, age_ms), len(notice.block))]

    def _refusal(self, bundle: Bundle, left_ms: int | None) -> str | None:
        """Why a well-formed bundle is not for the application."""
        if bundle.destination != self.config.eid:
            return "wrong destination"
        if bundle.source == NULL_EID and not bundle.is_admin_record:
            return "anonymous"
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
            return bundle
        try:
            opened = self._security.open(bundle)
        except SecurityFailure as failure:
            if bundle.block(BIB) is not None or bundle.block(BCB) is not None:
                self._failures += 1  # secured, and perhaps damaged on the way
            return Rejected("security", failure.reason)
        self._failures = 0
        return opened


def _status_of(record: Bundle) -> StatusReported | Rejected:
    try:
        return StatusReported(decode_status_report(record.payload))
    except BundleError as error:
        return Rejected("administrative record", str(error))
