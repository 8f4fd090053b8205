"""The LTP engine: red blocks to one peer and from it, over frames that may vanish.

A machine without I/O. Frames come in by `receive`; frames go out when the caller, whose transmitter
is free, asks `next_segment`, and that is when their timers start. It must never raise on bytes from
the peer, and never tell the peer that a block is complete before the client has accepted it.
Standard: RFC 5326 §4, 6 and 8; sending is red data only.

Two departures from §6.8, both so that a delivered block is not cancelled: a report repeated because
its checkpoint was repeated does not count towards the retry limit (the peer has its own), and a
reception that was accepted ends quietly when its last report is never acknowledged.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace
from typing import assert_never

from dtn.control import ControlKey, ControlQueue, Rank
from dtn.errors import LtpLimitError, SegmentError
from dtn.ltp_receiver import ReceiverSession, Reception, segment_end
from dtn.ltp_sender import Progress, SenderSession
from dtn.notices import (
    BlockAcknowledged,
    BlockReceived,
    LtpConfig,
    LtpOutput,
    ReceiveCancelled,
    Rejected,
    SendFailed,
    serialisation_ns,
)
from dtn.segment import (
    CancelAckSegment,
    CancelReason,
    CancelSegment,
    DataSegment,
    Kind,
    ReportAckSegment,
    ReportSegment,
    Segment,
    SessionId,
    decode,
    encode,
    is_checkpoint,
)
from dtn.timers import TimerTable

__all__ = [
    "BlockAcknowledged",
    "BlockReceived",
    "LtpConfig",
    "LtpEngine",
    "LtpOutput",
    "ReceiveCancelled",
    "Rejected",
    "SendFailed",
    "SessionId",
]

_CHECKPOINT = -1
"""Timer keys are control keys, or (_CHECKPOINT, session, serial) for a data segment."""

TimerKey = tuple[int, SessionId, int]

_TIMER_NAMES = {_CHECKPOINT: "checkpoint", Rank.REPORT: "report", Rank.CANCEL: "cancel"}

_MAX_CONTROL_QUEUED = 4096
_MAX_CANCELLING = 256
"""Beyond this many cancellations under way, a data segment that is not for us gets no answer."""
_SERIAL_START = 1 << 14
"""First serial numbers are drawn below this: two bytes each on every report."""
_SESSION_START = 1 << 32


@dataclass(frozen=True, slots=True)
class _Closed:
    """What is remembered of a finished reception."""

    red_bytes: int
    """Size of the block; 0 when it was not delivered."""
    next_report: int
    reason: int = 0
    """Why it was cancelled, when it was."""


class LtpEngine:
    """All sessions between this engine and its peer.

    Args:
        config: limits and identities.
        rng: for session and serial numbers. After a restart it must not start from the same state,
            or the peer may take new sessions for old ones.
    """

    def __init__(self, config: LtpConfig, *, rng: random.Random) -> None:
        self.config = config
        self._rng = rng
        self._next_number: int | None = None
        self._senders: dict[SessionId, SenderSession] = {}
        self._receivers: dict[SessionId, ReceiverSession] = {}
        self._closed: OrderedDict[SessionId, _Closed] = OrderedDict()
        self._cancelling: dict[SessionId, tuple[CancelSegment, int]] = {}
        self._control = ControlQueue(limit=_MAX_CONTROL_QUEUED)
        self._timers: TimerTable[TimerKey] = TimerTable()
        self._timers.suspend(now_ns=0)
        self._ready: list[tuple[int, int, int, SessionId]] = []
        self._tx_up = False
        self._rx_up = False
        self._one_way_ns = 0
        self._margin_ns = config.margin_ns
        self._tx_rate_bps = 0

    # Commands

    def submit(self, block: bytes, *, priority: int = 0, now_ns: int) -> SessionId:
        """Start a session that sends a block. A lower priority number leaves first.

        Raises:
            LtpLimitError: the block is empty or too large, or there are too many sessions.
        """
        if not 0 < len(block) <= self.config.max_block_bytes:
            raise LtpLimitError(
                f"block of {len(block)} bytes; 1 to {self.config.max_block_bytes} fit"
            )
        if not self.free_sessions:
            raise LtpLimitError(f"{self.config.max_tx_sessions} sessions are open already")
        if self._next_number is None:
            # Time is in it so that a restart with the same seed starts beyond the old numbers.
            self._next_number = self._rng.randrange(1, _SESSION_START) + now_ns // 1_000_000
        session = SessionId(self.config.engine_id, self._next_number)
        self._next_number += 1
        sender = SenderSession(
            session,
            block,
            priority,
            self.config.client_service,
            self.config.mtu_bytes,
            self._rng.randrange(1, _SERIAL_START),
        )
        self._senders[session] = sender
        self._queue(sender)
        return session

    def cancel(self, session: SessionId, *, now_ns: int) -> list[LtpOutput]:
        """Give a session up, sending or receiving (§4.2). An unknown one is no error."""
        del now_ns
        sender = self._senders.get(session)
        if sender is not None:
            if not sender.started:
                self._drop_sender(sender)
                return [SendFailed(session, CancelReason.USER.name)]
            return self._cancel_sender(sender, CancelReason.USER)
        receiver = self._receivers.get(session)
        if receiver is not None:
            return self._cancel_receiver(receiver, CancelReason.SYSTEM)
        return []

    def accept(self, session: SessionId, *, now_ns: int) -> list[LtpOutput]:
        """The client has the block safe: open the gate. Only the first call does anything."""
        del now_ns
        receiver = self._receivers.get(session)
        if receiver is None or receiver.state is not Reception.HELD:
            return []
        outputs: list[LtpOutput] = []
        for serial in receiver.accept():
            outputs += self._send_report(receiver, serial)
        return outputs

    def carrier(
        self,
        *,
        tx_up: bool,
        rx_up: bool,
        one_way_ns: int,
        now_ns: int,
        tx_rate_bps: int = 0,
        rx_rate_bps: int = 0,
    ) -> list[LtpOutput]:
        """Take a link state cue (§6.1, 6.4 to 6.6).

        Args:
            tx_up: whether what we send can arrive.
            rx_up: whether what the peer sends can arrive.
            one_way_ns: light time.
            now_ns: the time of the cue.
            tx_rate_bps: our rate, by which timers start when a frame's last bit leaves; 0 if
                frames take no time.
            rx_rate_bps: the peer's rate. An answer may have to wait for two frames of ours size to
                leave the peer; 0 if that takes no time.
        """
        self._tx_up = tx_up
        self._one_way_ns = one_way_ns
        self._tx_rate_bps = tx_rate_bps
        waiting_ns = 2 * serialisation_ns(self.config.mtu_bytes, rx_rate_bps)
        self._margin_ns = self.config.margin_ns + waiting_ns
        if rx_up and not self._rx_up:
            self._timers.resume(now_ns=now_ns)
        elif self._rx_up and not rx_up:
            self._timers.suspend(now_ns=now_ns)
        self._rx_up = rx_up
        return []

    def receive(self, payload: bytes, *, now_ns: int) -> list[LtpOutput]:
        """Take in one frame. Whatever is wrong with it is an output."""
        try:
            segment = decode(payload)
        except SegmentError as error:
            return [Rejected("bad segment", str(error))]
        return self._on_segment(segment, now_ns)

    def next_segment(
        self, *, now_ns: int, start_ns: int | None = None
    ) -> tuple[bytes, SessionId | None] | None:
        """The next frame to transmit, if the link is up and there is one.

        Args:
            now_ns: the time.
            start_ns: when its first bit leaves, if later than now.

        Returns:
            The frame, and its session when it is the first frame of a block.
        """
        if not self._tx_up:
            return None
        start_ns = now_ns if start_ns is None else max(start_ns, now_ns)
        control = self._control.pop()
        if control is not None:
            key, frame = control
            if self._wants_timer(key):
                self._start_timer(key, frame, start_ns)
            return frame, None
        sender = self._most_urgent()
        if sender is None:
            return None
        first = not sender.started
        frame, checkpoint = sender.next_segment()
        session = sender.session
        if sender.pending_bytes:
            entry = (sender.priority, sender.pending_bytes, session.number, session)
            heapreplace(self._ready, entry)
        else:
            heappop(self._ready)
        if checkpoint:
            self._start_timer((_CHECKPOINT, session, checkpoint), frame, start_ns)
        return frame, session if first else None

    def timeout(self, *, now_ns: int) -> list[LtpOutput]:
        """Do what is due. Early or repeated calls do nothing."""
        outputs: list[LtpOutput] = []
        for what, session, serial in self._timers.expired(now_ns=now_ns):
            if what == _CHECKPOINT:
                outputs += self._checkpoint_expired(session, serial)
            elif what == Rank.REPORT:
                outputs += self._report_expired(session, serial)
            else:
                self._cancel_expired(session)
        return outputs

    # State

    @property
    def deadline(self) -> tuple[int, str] | None:
        """When `timeout` has something to do next, and why."""
        head = self._timers.deadline
        return None if head is None else (head[0], _TIMER_NAMES[head[1][0]])

    @property
    def has_pending(self) -> bool:
        """Whether `next_segment` has something to give while the link is up."""
        return len(self._control) > 0 or self._most_urgent() is not None

    @property
    def pending_bytes(self) -> int:
        """Bytes waiting for the transmitter, retransmissions included."""
        data = sum(sender.pending_bytes for sender in self._senders.values())
        return data + self._control.pending_bytes

    @property
    def free_sessions(self) -> int:
        """How many more blocks may be submitted now."""
        return self.config.max_tx_sessions - len(self._senders)

    # What arrives

    def _on_segment(self, segment: Segment, now_ns: int) -> list[LtpOutput]:
        ours = segment.session.originator == self.config.engine_id
        theirs = segment.session.originator == self.config.peer_engine_id
        if isinstance(segment, DataSegment):
            if not theirs:
                return [_wrong_engine(segment)]
            return self._on_data(segment, now_ns)
        if isinstance(segment, ReportSegment):
            return self._on_report(segment, now_ns) if ours else [_wrong_engine(segment)]
        if isinstance(segment, ReportAckSegment):
            return self._on_report_ack(segment) if theirs else [_wrong_engine(segment)]
        if isinstance(segment, CancelSegment):
            if not (theirs if segment.kind == Kind.CANCEL_BY_SENDER else ours):
                return [_wrong_engine(segment)]
            return self._on_cancel(segment)
        if isinstance(segment, CancelAckSegment):
            if not (ours if segment.kind == Kind.CANCEL_ACK_TO_SENDER else theirs):
                return [_wrong_engine(segment)]
            self._end_cancelling(segment.session)
            return []
        assert_never(segment)

    def _on_data(self, segment: DataSegment, now_ns: int) -> list[LtpOutput]:
        session = segment.session
        if segment.kind >= Kind.GREEN:
            return [Rejected("green data", f"session {session.number}")]
        closed = self._closed.get(session)
        if closed is not None:
            return self._on_late_data(segment, closed)
        receiver = self._receivers.get(session)
        refusal = self._refusal(segment)
        if refusal is not None:
            reason, why = refusal
            new = receiver is None and session not in self._cancelling
            if new and reason is not None and len(self._cancelling) < _MAX_CANCELLING:
                self._send_cancel(Kind.CANCEL_BY_RECEIVER, session, reason)
            return [why]
        outputs: list[LtpOutput] = []
        if receiver is None:
            outputs += self._make_room()
            if len(self._receivers) >= self.config.max_rx_sessions:
                return [*outputs, Rejected("too many sessions", f"session {session.number}")]
            receiver = ReceiverSession(
                session, self.config.mtu_bytes, self._rng.randrange(1, _SERIAL_START)
            )
            self._receivers[session] = receiver
        receiver.active_ns = now_ns
        wrong = receiver.add(segment)
        if wrong is not None:
            return [*outputs, Rejected("contradicting segment", wrong)]
        if receiver.state is Reception.RECEIVING and receiver.complete:
            outputs.append(BlockReceived(session, receiver.take_block(), now_ns))
        if is_checkpoint(segment.kind):
            outputs += self._answer_checkpoint(receiver, segment)
        return outputs

    def _refusal(self, segment: DataSegment) -> tuple[CancelReason | None, Rejected] | None:
        """Why a data segment is not for us, and what to tell a sender we know nothing else of."""
        if segment.service != self.config.client_service:
            why = Rejected("unknown service", str(segment.service))
            return CancelReason.UNREACHABLE_SERVICE, why
        if segment_end(segment) > self.config.max_block_bytes:
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
        if not closed.red_bytes:
            if session not in self._cancelling:
                cancel = CancelSegment(Kind.CANCEL_BY_RECEIVER, session, closed.reason)
                self._put((Rank.CANCEL, session, cancel.kind), encode(cancel))
            return []
        claims = ((0, closed.red_bytes),)
        serial = closed.next_report
        report = ReportSegment(session, serial, segment.checkpoint, closed.red_bytes, 0, claims)
        self._closed[session] = _Closed(closed.red_bytes, serial + 1)
        return self._put((Rank.REPORT, session, serial), encode(report))

    def _answer_checkpoint(
        self, receiver: ReceiverSession, segment: DataSegment
    ) -> list[LtpOutput]:
        serials = receiver.on_checkpoint(segment)
        if serials is None:
            # It answers a report this reception never gave: we have forgotten data the peer
            # believes we have. Only a new session can repair that.
            return self._cancel_receiver(receiver, CancelReason.SYSTEM)
        if receiver.cycles > self.config.cycle_limit and receiver.state is Reception.RECEIVING:
            return self._cancel_receiver(receiver, CancelReason.RETRY_LIMIT)
        outputs: list[LtpOutput] = []
        for serial in serials:
            outputs += self._send_report(receiver, serial)
        return outputs

    def _on_report(self, report: ReportSegment, now_ns: int) -> list[LtpOutput]:
        session = report.session
        ack = encode(ReportAckSegment(session, report.report))
        outputs = self._put((Rank.ACKNOWLEDGMENT, session, report.report), ack)
        sender = self._senders.get(session)
        if sender is None or report.report in sender.reports_seen:
            return outputs
        progress = sender.on_report(report, cycle_limit=self.config.cycle_limit)
        if progress is Progress.UNKNOWN_CHECKPOINT or progress is Progress.OUT_OF_BLOCK:
            return [*outputs, Rejected("bad report", f"{progress.value}, session {session.number}")]
        self._timers.stop((_CHECKPOINT, session, report.checkpoint))
        if progress is Progress.COMPLETE:
            self._drop_sender(sender)
            return [*outputs, BlockAcknowledged(session)]
        if progress is Progress.TOO_MANY_CYCLES:
            return outputs + self._cancel_sender(sender, CancelReason.RETRANSMISSION_CYCLES)
        if progress is Progress.STALLED:
            self._start_timer((_CHECKPOINT, session, sender.reopen_checkpoint()), b"", now_ns)
        self._queue(sender)
        return outputs

    def _on_report_ack(self, ack: ReportAckSegment) -> list[LtpOutput]:
        key = (Rank.REPORT, ack.session, ack.report)
        self._timers.stop(key)
        self._control.withdraw(key)
        receiver = self._receivers.get(ack.session)
        if receiver is not None and receiver.acknowledged(ack.report):
            self._close_receiver(receiver)
        return []

    def _on_cancel(self, cancel: CancelSegment) -> list[LtpOutput]:
        session = cancel.session
        by_sender = cancel.kind == Kind.CANCEL_BY_SENDER
        kind = Kind.CANCEL_ACK_TO_SENDER if by_sender else Kind.CANCEL_ACK_TO_RECEIVER
        ack = encode(CancelAckSegment(kind, session))
        outputs = self._put((Rank.ACKNOWLEDGMENT, session, kind), ack)
        if by_sender:
            receiver = self._receivers.get(session)
            if receiver is not None:
                if receiver.state is Reception.RECEIVING:
                    outputs.append(ReceiveCancelled(session, _name(cancel.reason), by_peer=True))
                self._close_receiver(receiver)
            return outputs
        sender = self._senders.get(session)
        if sender is not None:
            self._drop_sender(sender)
            outputs.append(SendFailed(session, _name(cancel.reason), by_peer=True))
        return outputs

    # Timers that ran out

    def _checkpoint_expired(self, session: SessionId, serial: int) -> list[LtpOutput]:
        sender = self._senders[session]
        if not sender.checkpoint_expired(serial, retry_limit=self.config.retry_limit):
            return self._cancel_sender(sender, CancelReason.RETRY_LIMIT)
        self._queue(sender)
        return []

    def _report_expired(self, session: SessionId, serial: int) -> list[LtpOutput]:
        receiver = self._receivers[session]
        report = receiver.reports[serial]
        if report.tries <= self.config.retry_limit:
            report.tries += 1
            return self._send_report(receiver, serial)
        if receiver.state is Reception.RECEIVING:
            return self._cancel_receiver(receiver, CancelReason.RETRY_LIMIT)
        if receiver.state is Reception.ACCEPTED and receiver.says_complete(serial):
            self._close_receiver(receiver)
        return []

    def _cancel_expired(self, session: SessionId) -> None:
        cancel, tries = self._cancelling[session]
        if tries > self.config.retry_limit:
            del self._cancelling[session]
            return
        self._cancelling[session] = (cancel, tries + 1)
        self._put((Rank.CANCEL, session, cancel.kind), encode(cancel))

    # What leaves

    def _send_report(self, receiver: ReceiverSession, serial: int) -> list[LtpOutput]:
        segment = receiver.reports[serial].segment
        key = (Rank.REPORT, receiver.session, serial)
        self._timers.stop(key)
        return self._put(key, encode(segment))

    def _send_cancel(self, kind: Kind, session: SessionId, reason: CancelReason) -> None:
        cancel = CancelSegment(kind, session, reason)
        self._cancelling[session] = (cancel, 1)
        self._put((Rank.CANCEL, session, kind), encode(cancel))

    def _put(self, key: ControlKey, frame: bytes) -> list[LtpOutput]:
        if self._control.put(key, frame):
            return []
        return [Rejected("control queue full", f"session {key[1].number}")]

    def _queue(self, sender: SenderSession) -> None:
        """Put a session where its priority and what is left of it say."""
        if sender.pending_bytes:
            session = sender.session
            entry = (sender.priority, sender.pending_bytes, session.number, session)
            heappush(self._ready, entry)

    def _most_urgent(self) -> SenderSession | None:
        """The session at the head of the queue, past entries that are out of date."""
        ready = self._ready
        while ready:
            _, pending_bytes, _, session = ready[0]
            sender = self._senders.get(session)
            if sender is not None and sender.pending_bytes == pending_bytes:
                return sender
            heappop(ready)
        return None

    def _wants_timer(self, key: ControlKey) -> bool:
        """Whether an answer is awaited to a control segment; not for answers about the past."""
        rank, session, _ = key
        if rank is Rank.REPORT:
            return session in self._receivers
        return rank is Rank.CANCEL and session in self._cancelling

    def _start_timer(self, key: TimerKey, frame: bytes, start_ns: int) -> None:
        self._timers.start(
            key,
            sent_ns=start_ns + serialisation_ns(len(frame), self._tx_rate_bps),
            one_way_ns=self._one_way_ns,
            margin_ns=self._margin_ns,
        )

    # Ends of sessions

    def _cancel_sender(self, sender: SenderSession, reason: CancelReason) -> list[LtpOutput]:
        self._drop_sender(sender)
        self._send_cancel(Kind.CANCEL_BY_SENDER, sender.session, reason)
        return [SendFailed(sender.session, reason.name)]

    def _cancel_receiver(self, receiver: ReceiverSession, reason: CancelReason) -> list[LtpOutput]:
        self._drop_receiver(receiver)
        self._remember(receiver.session, _Closed(0, 0, reason))
        self._send_cancel(Kind.CANCEL_BY_RECEIVER, receiver.session, reason)
        return [ReceiveCancelled(receiver.session, reason.name)]

    def _drop_sender(self, sender: SenderSession) -> None:
        del self._senders[sender.session]
        for serial in sender.checkpoints:
            self._timers.stop((_CHECKPOINT, sender.session, serial))

    def _drop_receiver(self, receiver: ReceiverSession) -> None:
        del self._receivers[receiver.session]
        for serial in receiver.reports:
            key = (Rank.REPORT, receiver.session, serial)
            self._timers.stop(key)
            self._control.withdraw(key)

    def _close_receiver(self, receiver: ReceiverSession) -> None:
        """Forget a reception but for what late segments need."""
        self._drop_receiver(receiver)
        delivered = receiver.state is Reception.ACCEPTED
        red_bytes = receiver.red_bytes if delivered and receiver.red_bytes else 0
        self._remember(receiver.session, _Closed(red_bytes, receiver.next_report))

    def _remember(self, session: SessionId, closed: _Closed) -> None:
        self._closed[session] = closed
        if len(self._closed) > self.config.closed_sessions_kept:
            self._closed.popitem(last=False)

    def _end_cancelling(self, session: SessionId) -> None:
        ended = self._cancelling.pop(session, None)
        if ended is not None:
            key = (Rank.CANCEL, session, ended[0].kind)
            self._timers.stop(key)
            self._control.withdraw(key)

    def _make_room(self) -> list[LtpOutput]:
        """Before a new reception: end the one that is idle longest, if they are too many.

        Its sender is most likely gone, as it opens no more sessions than it has room for. One that
        waits for the client is never ended.
        """
        if len(self._receivers) < self.config.max_rx_sessions:
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


def _wrong_engine(segment: Segment) -> Rejected:
    return Rejected("wrong engine", f"session of engine {segment.session.originator}")


def _name(reason: int) -> str:
    """The name of a reason code from the peer, which may be any byte."""
    known = [known.name for known in CancelReason if known == reason]
    return known[0] if known else f"reason {reason}"
