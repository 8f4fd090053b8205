"""The receiving half of an LTP engine: all blocks on their way in, and those lately finished.

Must never tell the peer that a block is complete before the client has accepted it, nor end a
reception that waits for the client. Standard: RFC 5326 §4.2, 6.8, 6.9, 6.11, 6.14, 6.17, 6.21.

Two departures from §6.8, both so that a delivered block is not cancelled: a report repeated because
its checkpoint was repeated does not count towards the retry limit (the peer has its own), and a
reception that was accepted ends quietly when its last report is never acknowledged.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import dataclass

from dtn.ltp.control import Rank
from dtn.ltp.notices import (
    BlockReceived,
    GreenReceived,
    LtpConfig,
    LtpOutput,
    ReceiveCancelled,
    Rejected,
)
from dtn.ltp.outbox import Outbox
from dtn.ltp.receiver_session import ReceiverSession, Reception, segment_end
from dtn.ltp.segment import (
    CancelReason,
    CancelSegment,
    DataSegment,
    Kind,
    ReportSegment,
    SessionId,
    encode,
    is_checkpoint,
    reason_name,
)
from dtn.ltp.sender import SERIAL_START


@dataclass(frozen=True, slots=True)
class _Closed:
    """What is remembered of a finished reception."""

    red_bytes: int
    """Size of the block; 0 when it was not delivered."""
    next_report: int
    reason: int = 0
    """Why it was cancelled, when it was."""


class LtpReceiver:
    """All sessions the peer originated."""

    def __init__(self, config: LtpConfig, outbox: Outbox, *, rng: random.Random) -> None:
        self._config = config
        self._outbox = outbox
        self._rng = rng
        self._receivers: dict[SessionId, ReceiverSession] = {}
        self._closed: OrderedDict[SessionId, _Closed] = OrderedDict()
        self._green_from: OrderedDict[SessionId, int] = OrderedDict()
        """The lowest offset of green data in each of the latest sessions that had any."""
        self.new_bytes = 0
        """Of the data that came last, what was not here yet."""

    def accept(self, session: SessionId) -> list[LtpOutput]:
        """The client has the block safe: open the gate. Only the first call does anything."""
        receiver = self._receivers.get(session)
        if receiver is None or receiver.state is not Reception.HELD:
            return []
        return self._send_reports(receiver, receiver.accept())

    def cancel(self, session: SessionId) -> list[LtpOutput]:
        """The client wants no more of a session (§4.2); one that is not there is no error."""
        receiver = self._receivers.get(session)
        return [] if receiver is None else self._cancel_receiver(receiver, CancelReason.SYSTEM)

    def on_data(self, segment: DataSegment, now_ns: int) -> list[LtpOutput]:
        """Take in a data segment of the peer's."""
        session, self.new_bytes = segment.session, 0
        if segment.kind >= Kind.GREEN:
            return self._on_green(segment, now_ns)
        closed = self._closed.get(session)
        if closed is not None:
            return self._on_late_data(segment, closed)
        receiver = self._receivers.get(session)
        refusal = self._refusal(segment)
        if refusal is not None:
            reason, why = refusal
            if receiver is None and reason is not None:
                self._outbox.refuse(session, reason)
            return [why]
        if segment.offset > self._green_from.get(session, segment.offset):
            return self._on_miscolored(segment, receiver)
        outputs: list[LtpOutput] = []
        if receiver is None:
            outputs += self._make_room()
            if len(self._receivers) >= self._config.max_rx_sessions:
                return [*outputs, Rejected("too many sessions", f"session {session.number}")]
            receiver = ReceiverSession(
                session,
                segment.service,
                self._config.mtu_bytes,
                self._rng.randrange(1, SERIAL_START),
            )
            self._receivers[session] = receiver
        if segment.service != receiver.service:
            return [*outputs, Rejected("contradicting segment", f"service {segment.service}")]
        receiver.active_ns = now_ns
        wrong = receiver.add(segment)
        if wrong is not None:
            return [*outputs, Rejected("contradicting segment", wrong)]
        self.new_bytes = receiver.new_bytes
        if receiver.state is Reception.RECEIVING and receiver.complete:
            block = receiver.take_block()
            outputs.append(BlockReceived(session, block, now_ns, receiver.service))
        if is_checkpoint(segment.kind):
            outputs += self._answer_checkpoint(receiver, segment)
        return outputs

    def _on_green(self, segment: DataSegment, now_ns: int) -> list[LtpOutput]:
        refusal = self._refusal(segment)
        if refusal is not None:
            return [refusal[1]]
        session, offset = segment.session, segment.offset
        receiver = self._receivers.get(session)
        if receiver is not None and offset < receiver.red_from:
            return self._on_miscolored(segment, receiver)
        self._green_from[session] = min(offset, self._green_from.get(session, offset))
        if len(self._green_from) > self._config.closed_sessions_kept:
            self._green_from.popitem(last=False)
        is_end = segment.kind == Kind.GREEN_END_OF_BLOCK
        return [GreenReceived(session, offset, segment.data, is_end, now_ns, segment.service)]

    def _on_miscolored(
        self, segment: DataSegment, receiver: ReceiverSession | None
    ) -> list[LtpOutput]:
        """Red data behind green data, or green before red: the session is void (§6.21), unless its
        red part is complete and with the client."""
        wrong = Rejected("miscolored segment", f"session {segment.session.number}")
        if receiver is None:
            self._outbox.refuse(segment.session, CancelReason.MISCOLORED)
        elif receiver.state is Reception.RECEIVING:
            return [wrong, *self._cancel_receiver(receiver, CancelReason.MISCOLORED)]
        return [wrong]

    def on_report_ack(self, session: SessionId, serial: int, now_ns: int) -> None:
        """The sender has a report (§6.14)."""
        key = (Rank.REPORT, session, serial)
        self._outbox.answered(key, now_ns=now_ns)
        self._outbox.withdraw(key)
        receiver = self._receivers.get(session)
        if receiver is not None and receiver.acknowledged(serial):
            self._close_receiver(receiver)

    def on_cancel(self, session: SessionId, reason: int) -> list[LtpOutput]:
        """The sender gave a session up (§6.17)."""
        receiver = self._receivers.get(session)
        if receiver is None:
            return []
        self._close_receiver(receiver)
        if receiver.state is not Reception.RECEIVING:
            return []
        return [ReceiveCancelled(session, reason_name(reason), by_peer=True)]

    def report_expired(self, session: SessionId, serial: int, runs: int) -> list[LtpOutput]:
        """No acknowledgment of a report came in time, for so many times in a row (§6.8)."""
        receiver = self._receivers.get(session)
        if receiver is None:  # ended by another timer at the same time
            return []
        if runs <= self._config.retry_limit:
            return self._send_reports(receiver, [serial])
        if receiver.state is Reception.RECEIVING:
            return self._cancel_receiver(receiver, CancelReason.RETRY_LIMIT)
        if receiver.state is Reception.ACCEPTED and receiver.says_complete(serial):
            self._close_receiver(receiver)
        return []

    def _refusal(self, segment: DataSegment) -> tuple[CancelReason | None, Rejected] | None:
        """Why a data segment is not for us, and what to tell a sender we know nothing else of."""
        if segment.service not in self._config.client_services:
            why = Rejected("unknown service", str(segment.service))
            return CancelReason.UNREACHABLE_SERVICE, why
        if segment_end(segment) > self._config.max_block_bytes:
            why = Rejected("block too large", f"data up to {segment_end(segment)}")
            return CancelReason.SYSTEM, why
        if not segment.data:
            return None, Rejected("empty segment", f"session {segment.session.number}")
        return None

    def _on_late_data(self, segment: DataSegment, closed: _Closed) -> list[LtpOutput]:
        """A session that is over here: say again how it ended, if a checkpoint asks."""
        session = segment.session
        if not is_checkpoint(segment.kind):
            return []
        end = segment_end(segment)
        ends = segment.kind >= Kind.RED_END_OF_RED
        other = end > closed.red_bytes or (ends and end < closed.red_bytes)
        if not closed.red_bytes or other:  # never got a whole block, or got another one
            if not self._outbox.is_cancelling(session):
                cancel = CancelSegment(Kind.CANCEL_BY_RECEIVER, session, closed.reason)
                self._outbox.put((Rank.CANCEL, session, cancel.kind), encode(cancel))
            return []
        claims = ((0, closed.red_bytes),)
        serial = closed.next_report
        report = ReportSegment(session, serial, segment.checkpoint, closed.red_bytes, 0, claims)
        self._closed[session] = _Closed(closed.red_bytes, serial + 1)
        return self._outbox.put((Rank.REPORT, session, serial), encode(report))

    def _answer_checkpoint(
        self, receiver: ReceiverSession, segment: DataSegment
    ) -> list[LtpOutput]:
        serials = receiver.on_checkpoint(segment)
        if serials is None:
            # It answers a report this reception never gave: we have forgotten data the peer
            # believes we have. Only a new session can repair that.
            return self._cancel_receiver(receiver, CancelReason.SYSTEM)
        if receiver.cycles > self._config.cycle_limit and receiver.state is Reception.RECEIVING:
            return self._cancel_receiver(receiver, CancelReason.RETRY_LIMIT)
        return self._send_reports(receiver, serials)

    def _send_reports(self, receiver: ReceiverSession, serials: list[int]) -> list[LtpOutput]:
        outputs: list[LtpOutput] = []
        for serial in serials:
            key = (Rank.REPORT, receiver.session, serial)
            self._outbox.rest_timer(key)
            outputs += self._outbox.put(key, encode(receiver.reports[serial].segment), timed=True)
        return outputs

    def _cancel_receiver(self, receiver: ReceiverSession, reason: CancelReason) -> list[LtpOutput]:
        self._drop_receiver(receiver)
        self._remember(receiver.session, _Closed(0, 0, reason))
        self._outbox.send_cancel(Kind.CANCEL_BY_RECEIVER, receiver.session, reason)
        return [ReceiveCancelled(receiver.session, reason.name)]

    def _drop_receiver(self, receiver: ReceiverSession) -> None:
        del self._receivers[receiver.session]
        for serial in receiver.reports:
            self._outbox.withdraw((Rank.REPORT, receiver.session, serial))

    def _close_receiver(self, receiver: ReceiverSession) -> None:
        """Forget a reception but for what late segments need."""
        self._drop_receiver(receiver)
        delivered = receiver.state is Reception.ACCEPTED
        red_bytes = receiver.red_bytes if delivered and receiver.red_bytes else 0
        self._remember(receiver.session, _Closed(red_bytes, receiver.next_report))

    def _remember(self, session: SessionId, closed: _Closed) -> None:
        self._closed[session] = closed
        if len(self._closed) > self._config.closed_sessions_kept:
            self._closed.popitem(last=False)

    def _make_room(self) -> list[LtpOutput]:
        """Before a new reception: end the one that is idle longest, if they are too many.

        Its sender is most likely gone, as it opens no more sessions than it has room for. One that
        waits for the client is never ended.
        """
        if len(self._receivers) < self._config.max_rx_sessions:
            return []
        idle = [r for r in self._receivers.values() if r.state is not Reception.HELD]
        if not idle:
            return []
        oldest = min(idle, key=_active_ns)
        if oldest.state is Reception.ACCEPTED:
            self._close_receiver(oldest)
            return []
        return self._cancel_receiver(oldest, CancelReason.SYSTEM)


def _active_ns(receiver: ReceiverSession) -> int:
    return receiver.active_ns
