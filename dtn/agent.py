"""The bundle agent: sends and receives whole bundles over one LTP engine to one peer.

A machine without I/O. It sends what `outgoing` keeps: bundles wait in order of priority, each goes
in an LTP session of its own, secured anew for it, and frames leave as fast as the modelled
transmitter takes them. A bundle is given up only when its lifetime is over: when a session fails
the bundle gets another.

What comes in is for `incoming` to judge: a bundle is delivered once, and the peer is told that we
have it only after `accept`. Bytes from the peer never raise.

Standard: RFC 9171 §5; no forwarding, and no status reports of our own.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from dtn.agent_notices import (
    Acknowledged,
    AgentConfig,
    AgentOutput,
    BundleReceived,
    ClocksDiffer,
    Damaged,
    DuplicateReceived,
    Expired,
    QueueFull,
    SeenForgotten,
    SentOnce,
    SessionFailed,
    StatusReported,
    TransmissionStarted,
    Transmit,
)
from dtn.bpsec.security import Security
from dtn.bpv7.blocks import MUST_NOT_FRAGMENT, PrimaryBlock
from dtn.bpv7.bundle import Bundle, BundleId, decode, encode, make_bundle
from dtn.compressed import SERVICE, Context
from dtn.errors import SecurityReason
from dtn.incoming import EXPIRED_BY_CLOCK, MAX_DAMAGED, Incoming, Settled
from dtn.lifetime import NS_PER_MS, DtnClock
from dtn.ltp.engine import LtpEngine
from dtn.ltp.notices import (
    BUNDLE_PROTOCOL,
    BlockAcknowledged,
    BlockReceived,
    GreenReceived,
    Leaving,
    LtpOutput,
    ReceiveCancelled,
    Rejected,
    SendFailed,
    serialisation_ns,
)
from dtn.ltp.segment import CancelReason, SessionId
from dtn.outgoing import OutgoingBundle, OutgoingTable, outgoing
from dtn.tally import Makeup, Tally, makeup_of
from dtn.transmitter import Transmitter

_SEQUENCES = 1 << 16
"""They begin anew after so many: the creation time tells the same ones apart."""
_SEQUENCES_UNDATED = 1 << 48
"""Where no creation time tells bundles of two starts apart."""

ONCE_HEAD_BYTES = 24
"""Of a green segment's header, and of what larger payloads take more in theirs."""
MAX_COMPRESSED = 2
"""Sessions that the peer gives up, after which a bundle goes as it is: the first may have suffered
from bit errors."""

__all__ = [
    "EXPIRED_BY_CLOCK",
    "MAX_DAMAGED",
    "Acknowledged",
    "AgentConfig",
    "AgentOutput",
    "BundleAgent",
    "BundleReceived",
    "ClocksDiffer",
    "Damaged",
    "DuplicateReceived",
    "Expired",
    "QueueFull",
    "ReceiveCancelled",
    "Rejected",
    "SeenForgotten",
    "SentOnce",
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
        ltp = replace(config.ltp, client_services=(BUNDLE_PROTOCOL, SERVICE))
        self._engine = LtpEngine(ltp, rng=rng)
        self._outgoing = OutgoingTable()
        self._once: dict[SessionId, tuple[BundleId, Makeup, int, int]] = {}
        """Bundles that go once, when each is of no use, and their priorities."""
        self._clock = DtnClock(config.dtn_epoch_ms, config.shared_clock, security is not None)
        self._incoming = Incoming(config, self._clock, security)
        dated = config.dtn_epoch_ms is not None
        self._sequences = _SEQUENCES if dated else _SEQUENCES_UNDATED
        self._sequence = rng.randrange(self._sequences)
        self._outbound = Context(config.eid, config.peer_eid, config.hop_limit)
        self._compresses = config.compresses
        self._tx_up = False
        self._transmitter = Transmitter()
        self.sent, self.received = Tally(), Tally()
        """Bytes of all frames, by layer."""

    # Commands

    def send(
        self,
        payload: bytes,
        *,
        lifetime_ms: int,
        priority: int = 0,
        due_ns: int | None = None,
        now_ns: int,
    ) -> tuple[BundleId | None, list[AgentOutput]]:
        """Make a bundle for the peer and queue it.

        Args:
            payload: what it carries.
            lifetime_ms: after which it is of no use.
            priority: a lower number leaves first.
            due_ns: when it should be there, if that is sooner.
            now_ns: the time.

        Returns:
            Its identity, or None when the queue is full, and what to do now.
        """
        bundle = self._made(payload, lifetime_ms, now_ns)
        return self._enqueue(bundle, priority, now_ns // NS_PER_MS, now_ns, due_ns)

    def _made(self, payload: bytes, lifetime_ms: int, now_ns: int) -> Bundle:
        primary = PrimaryBlock(
            destination=self.config.peer_eid,
            source=self.config.eid,
            creation_ms=self._clock.creation_ms(now_ns),
            sequence=self._sequence,
            lifetime_ms=lifetime_ms,
            flags=MUST_NOT_FRAGMENT,
        )
        self._sequence = (self._sequence + 1) % self._sequences
        return make_bundle(primary, payload, hop_limit=self.config.hop_limit)

    def send_once(
        self, payload: bytes, *, lifetime_ms: int, priority: int, now_ns: int
    ) -> tuple[BundleId | None, list[AgentOutput]]:
        """Send a bundle in one frame, unacknowledged, when nothing else waits.

        Args:
            payload: what it carries; `once_bytes` fit.
            lifetime_ms: after which it is of no use.
            priority: as its frame is marked.
            now_ns: the time.

        Returns:
            Its identity, or None when as many wait as bundles may, and what to do now.

        Raises:
            LtpLimitError: it does not fit into a frame.
        """
        if len(self._once) >= self.config.max_queued_bundles:
            return None, []
        secured = self._secured(self._made(payload, lifetime_ms, now_ns))
        service, block = self._block_of(secured, now_ns, compressed=self._compresses)
        session = self._engine.submit_green(block, service=service, now_ns=now_ns)
        makeup = makeup_of([secured], len(block), compressed=service == SERVICE)
        self._once[session] = secured.id, makeup, now_ns + lifetime_ms * NS_PER_MS, priority
        return secured.id, self._pump(now_ns)

    def forget_once(self) -> None:
        """What was to go once, and waits, does not."""
        self._engine.forget_green()
        self._once.clear()

    def once_bytes(self, *, now_ns: int) -> int:
        """How long a payload of `send_once` may be."""
        empty = self._secured(self._made(bytes(64), 60_000, now_ns))
        _, block = self._block_of(empty, now_ns, compressed=self._compresses)
        return self.config.ltp.mtu_bytes - len(block) + 64 - ONCE_HEAD_BYTES

    @property
    def losses(self) -> float:
        """Share of our frames that get lost, as far as the peer's reports tell."""
        return self._engine.losses

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
        notices = self._engine.receive(frame, now_ns=now_ns)
        self.received.add_frame(len(frame), self._engine.came)
        return self._translate(notices, now_ns) + self._pump(now_ns)

    def accept(self, bundle_id: BundleId, *, now_ns: int) -> list[AgentOutput]:
        """A delivered bundle is safe here; the peer may be told. Repeated calls do nothing."""
        outputs: list[AgentOutput] = []
        for session in self._incoming.accept(bundle_id):
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

    def compress(self) -> None:
        """The peer has shown that it is one of ours: it expands compressed bundles."""
        self._compresses = True

    def remember(self, bundle_ids: Iterable[BundleId]) -> None:
        """Take bundles for seen and accepted, as the store has them."""
        self._incoming.remember(bundle_ids)

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

    def upset(self, bit: int) -> None:
        """Invert one bit of the bundles in memory, as radiation does; `bit` counts through all of
        them, those in sessions last."""
        beyond = self._outgoing.upset(bit)
        if beyond is not None:
            self._engine.upset(beyond)

    @property
    def pending_bytes(self) -> int:
        """Bytes in LTP sessions that wait for the transmitter."""
        return self._engine.pending_bytes

    # Sending

    def _enqueue(
        self,
        bundle: Bundle,
        priority: int,
        made_ms: int,
        now_ns: int,
        due_ns: int | None = None,
    ) -> tuple[BundleId | None, list[AgentOutput]]:
        if bundle.id in self._outgoing:
            return bundle.id, []
        if len(self._outgoing) >= self.config.max_queued_bundles:
            return None, [QueueFull(self.config.max_queued_bundles)]
        order = self._outgoing.next_order()
        entry = outgoing(bundle, priority=priority, order=order, made_ms=made_ms, due_ns=due_ns)
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
        outputs += self._open_sessions(now_ns)
        while self._transmitter.free_ns - self._pace_ahead_ns <= now_ns:
            start_ns = max(now_ns, self._transmitter.free_ns)
            leaving = self._engine.next_segment(now_ns=now_ns, start_ns=start_ns)
            if leaving is None:
                break
            session = leaving.session
            bundle = None if session is None else self._outgoing.in_session(session)
            if bundle is not None and session is not None and leaving.is_first:
                size = bundle.makeup.block
                outputs.append(TransmissionStarted(bundle.id, session, start_ns, size))
            once = self._once.pop(session, None) if session is not None else None
            priority = once[3] if once else 0 if bundle is None else bundle.priority
            if once is not None:
                outputs.append(SentOnce(once[0]))
                if once[2] <= now_ns:
                    continue
                self.sent.add_first(once[1], 0, leaving.after, len(leaving.frame))
            else:
                self._count(leaving, bundle)
            outputs.append(Transmit(leaving.frame, priority))
            self._transmitter.take(len(leaving.frame), now_ns=now_ns)
        return outputs

    def _count(self, leaving: Leaving, bundle: OutgoingBundle | None) -> None:
        size = len(leaving.frame)
        if leaving.session is None:
            self.sent.control += size
        elif bundle is None or bundle.failures or leaving.before == leaving.after:
            self.sent.repeats += size
        else:
            self.sent.add_first(bundle.makeup, leaving.before, leaving.after, size)

    def _open_sessions(self, now_ns: int) -> list[AgentOutput]:
        """Give waiting bundles sessions. The last quarter is kept for the most urgent priority."""
        outputs: list[AgentOutput] = []
        reserve = self.config.ltp.max_tx_sessions // 4
        while (bundle := self._outgoing.head()) is not None:
            free = self._engine.free_sessions
            if not free or (bundle.priority > 0 and free <= reserve):
                break
            if not bundle.whole:
                self._outgoing.remove(bundle.id)
                outputs.append(Damaged(bundle.id))
                continue
            age_ms = max(0, now_ns // NS_PER_MS - bundle.made_ms)
            secured = self._secured(decode(bundle.encoded(age_ms)))
            compressed = self._compresses and bundle.refusals < MAX_COMPRESSED
            service, block = self._block_of(secured, now_ns, compressed=compressed)
            session = self._engine.submit(
                block,
                service=service,
                priority=bundle.priority,
                due_ns=bundle.due_ns,
                now_ns=now_ns,
            )
            makeup = makeup_of([secured], len(block), compressed=service == SERVICE)
            self._outgoing.assign(bundle, session, makeup)
        return outputs

    def _block_of(self, bundle: Bundle, now_ns: int, *, compressed: bool) -> tuple[int, bytes]:
        """The client service and the block of a bundle."""
        block = encode(bundle)
        short = None
        if compressed:
            short = self._outbound.compress(block, now_ms=self._clock.shared_ms(now_ns))
        return (BUNDLE_PROTOCOL, block) if short is None else (SERVICE, short)

    def _secured(self, bundle: Bundle) -> Bundle:
        """A bundle of ours as it goes to the peer."""
        return bundle if self._security is None else self._security.protect(bundle)

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

    # What LTP says

    def _translate(self, notices: list[LtpOutput], now_ns: int) -> list[AgentOutput]:
        """What LTP's notices mean for bundles."""
        outputs: list[AgentOutput] = []
        for notice in notices:
            if isinstance(notice, BlockReceived):
                outputs += self._on_block(notice, now_ns)
            elif isinstance(notice, GreenReceived):
                outputs += self._incoming.take_green(notice)
            elif isinstance(notice, BlockAcknowledged):
                bundle = self._outgoing.in_session(notice.session)
                if bundle is not None:
                    self._outgoing.remove(bundle.id)
                    outputs.append(Acknowledged(bundle.id, notice.session, now_ns))
            elif isinstance(notice, SendFailed):
                if notice.reason == CancelReason.UNREACHABLE_SERVICE.name:
                    self._compresses = False
                bundle = self._outgoing.release(notice.session)
                if bundle is not None:
                    bundle.failures += 1
                    bundle.refusals += notice.by_peer
                    outputs.append(SessionFailed(bundle.id, notice.session, notice.reason))
            elif isinstance(notice, (ReceiveCancelled, Rejected)):
                outputs.append(notice)
            else:
                assert_never(notice)
        return outputs

    def _on_block(self, notice: BlockReceived, now_ns: int) -> list[AgentOutput]:
        taken, session = self._incoming.take(notice), notice.session
        if taken.makeup is not None:
            self.received.add_whole(taken.makeup)
        self._compresses |= notice.service == SERVICE and taken.session is not Settled.CANCELLED
        told: list[LtpOutput] = []
        match taken.session:
            case Settled.ACCEPTED:
                told = self._engine.accept(session, now_ns=now_ns)
            case Settled.CANCELLED:
                told = self._engine.cancel(session, now_ns=now_ns)
            case Settled.WAITS:
                pass
            case _:
                assert_never(taken.session)
        return taken.outputs + self._translate(told, now_ns)
