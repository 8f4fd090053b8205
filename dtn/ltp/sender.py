"""The sending half of an LTP engine: all blocks on their way out, and whose turn it is.

Gives up a block only when a limit of the configuration or the peer says so, and then says so.
Standard: RFC 5326 §4.1, 4.2, 6.7, 6.12, 6.13. A block is red, or goes in one green segment.
"""

from __future__ import annotations

import random
from collections import deque
from heapq import heappop, heappush, heapreplace

from dtn.errors import LtpLimitError
from dtn.ltp.control import Rank
from dtn.ltp.losses import Losses
from dtn.ltp.notices import (
    BUNDLE_PROTOCOL,
    BlockAcknowledged,
    Leaving,
    LtpConfig,
    LtpOutput,
    Rejected,
    SendFailed,
)
from dtn.ltp.outbox import CHECKPOINT, Outbox
from dtn.ltp.segment import (
    CancelReason,
    DataSegment,
    Kind,
    ReportAckSegment,
    ReportSegment,
    SessionId,
    encode,
    reason_name,
)
from dtn.ltp.sender_session import Progress, SenderSession

SERIAL_START = 1 << 14
"""First serial numbers of reports are drawn below this: they tell the lives of a receiver apart."""
_CHECKPOINT_START = 1 << 7
"""Those of checkpoints below this, which is one byte: new lives have new sessions."""
_SESSION_START = 1 << 32
"""Numbers of sessions are drawn below this, each anew (RFC 5326 §9.1)."""


class LtpSender:
    """All sessions this engine originated."""

    def __init__(self, config: LtpConfig, outbox: Outbox, *, rng: random.Random) -> None:
        self._config = config
        self._outbox = outbox
        self._rng = rng
        self._submitted = 0
        self._senders: dict[SessionId, SenderSession] = {}
        self._ready: list[tuple[int, int, int, SessionId]] = []
        self._losses = Losses()
        self._green: deque[tuple[SessionId, bytes, int]] = deque()
        """Sessions, their frames, and how much of each is data."""
        self._with_tail: list[SenderSession] = []
        """Sessions that may have segments to send once more; the latest is the last."""

    def submit(
        self,
        block: bytes,
        *,
        service: int = BUNDLE_PROTOCOL,
        priority: int = 0,
        due_ns: int | None = None,
        now_ns: int,
    ) -> SessionId:
        """Start a session that sends a block. A lower priority number leaves first.

        Raises:
            LtpLimitError: the block is empty or too large, or there are too many sessions.
        """
        if not 0 < len(block) <= self._config.max_block_bytes:
            raise LtpLimitError(
                f"block of {len(block)} bytes; 1 to {self._config.max_block_bytes} fit"
            )
        if not self.free_sessions:
            raise LtpLimitError(f"{self._config.max_tx_sessions} sessions are open already")
        session = self._new_session(now_ns)
        self._submitted += 1
        sender = SenderSession(
            session,
            block,
            priority,
            service,
            self._config.mtu_bytes,
            self._rng.randrange(1, _CHECKPOINT_START),
            self._config.echo_segments,
            due_ns,
            self._submitted,
        )
        self._senders[session] = sender
        self._queue(sender)
        return session

    def _new_session(self, now_ns: int) -> SessionId:
        # Who could tell the next number could open the session first, with a block of another size.
        # Time is in it so that a restart with the same seed has others.
        number = self._rng.randrange(1, _SESSION_START) + now_ns // 1_000_000
        return SessionId(self._config.engine_id, number)

    def submit_green(self, block: bytes, service: int, now_ns: int) -> SessionId:
        """See `LtpEngine.submit_green`."""
        session = self._new_session(now_ns)
        frame = encode(DataSegment(Kind.GREEN_END_OF_BLOCK, session, service, 0, block))
        if len(frame) > self._config.mtu_bytes:
            raise LtpLimitError(f"a frame of {len(frame)} bytes; {self._config.mtu_bytes} fit")
        self._green.append((session, frame, len(block)))
        return session

    def forget_green(self) -> None:
        """What is green and waits is not sent."""
        self._green.clear()

    @property
    def losses(self) -> float:
        """Share of our frames that get lost, as far as reports tell."""
        return self._losses.share

    def cancel(self, session: SessionId) -> list[LtpOutput]:
        """Give a session up (§4.2); one that is not there is no error."""
        sender = self._senders.get(session)
        if sender is None:
            return []
        if not sender.started:
            self._drop_sender(sender)
            return [SendFailed(session, CancelReason.USER.name)]
        return self._cancel_sender(sender, CancelReason.USER)

    def next_data(self, *, start_ns: int) -> Leaving | None:
        """The next data segment, whose first bit leaves at a time; see `LtpEngine.next_segment`."""
        sender = self._most_urgent()
        if sender is None:
            return self._next_green() or self._next_echo(start_ns)
        before = sender.first_sent_bytes
        mtu_bytes = self._config.mtu_bytes
        frame, checkpoint = sender.next_segment(
            checkpoint_every=max(
                self._config.checkpoint_bytes, self._outbox.frames_in_flight // 2 * mtu_bytes
            )
        )
        session = sender.session
        if sender.pending_bytes:
            entry = (sender.priority, sender.pending_bytes, sender.order, session)
            heapreplace(self._ready, entry)
        else:
            heappop(self._ready)
            if self._is_worth_an_echo(sender, start_ns):
                self._with_tail.append(sender)
        if checkpoint:
            self._outbox.start_timer((CHECKPOINT, session, checkpoint), frame, start_ns)
        return Leaving(frame, session, before, sender.first_sent_bytes)

    def _next_green(self) -> Leaving | None:
        if not self._green:
            return None
        session, frame, size = self._green.popleft()
        return Leaving(frame, session, 0, size)

    def _next_echo(self, start_ns: int) -> Leaving | None:
        """A segment once more, as the link is idle. It costs no one's time, and a loss at the end
        of a block, where no later segment tells of it, else costs a time-out."""
        sender = self._echoing()
        if sender is None:
            return None
        frame, checkpoint = sender.next_echo(limit=self._outbox.frames_in_flight)
        if checkpoint:
            self._outbox.start_timer((CHECKPOINT, sender.session, checkpoint), frame, start_ns)
        return Leaving(frame, sender.session)

    def _echoing(self) -> SenderSession | None:
        """The latest session that has something to send once more; none while nobody hears it."""
        if self._outbox.peer_is_silent:
            self._with_tail.clear()
        while self._with_tail:
            sender = self._with_tail[-1]
            if sender.has_echo and sender.session in self._senders:
                return sender
            self._with_tail.pop()
        return None

    def _is_worth_an_echo(self, sender: SenderSession, now_ns: int) -> bool:
        size_bytes = min(len(sender.block), self._config.mtu_bytes)
        left_ns = None if sender.due_ns is None else sender.due_ns - now_ns
        frame_ns, repair_ns = self._outbox.frame_ns(size_bytes), self._outbox.repair_ns
        return self._losses.worth_twice(frame_ns, repair_ns, left_ns)

    @property
    def has_data(self) -> bool:
        """Whether data waits, or something to send once more."""
        return bool(self._green) or self._most_urgent() is not None or self._echoing() is not None

    @property
    def data_bytes(self) -> int:
        """Bytes of data that wait, retransmissions included."""
        return sum(sender.pending_bytes for sender in self._senders.values())

    def upset(self, bit: int) -> None:
        """Invert one bit of the blocks in memory, as radiation does: `bit` counts through all of
        them, and beyond their end nothing happens."""
        for session in self._senders.values():
            if bit < 8 * len(session.block):
                block = bytearray(session.block)
                block[bit // 8] ^= 1 << bit % 8
                session.block = bytes(block)
                return
            bit -= 8 * len(session.block)

    @property
    def free_sessions(self) -> int:
        """How many more blocks may be submitted now."""
        return self._config.max_tx_sessions - len(self._senders)

    def on_report(self, report: ReportSegment, now_ns: int) -> list[LtpOutput]:
        """Take in a report on one of our sessions, known or not (§6.13)."""
        session = report.session
        ack = encode(ReportAckSegment(session, report.report))
        outputs = self._outbox.put((Rank.ACKNOWLEDGMENT, session, report.report), ack)
        sender = self._senders.get(session)
        if sender is None:
            self._outbox.answered((CHECKPOINT, session, report.checkpoint), now_ns=now_ns)
            return outputs
        if report.report in sender.reports_seen:
            return outputs
        progress = sender.on_report(report, cycle_limit=self._config.cycle_limit)
        if progress is Progress.UNKNOWN_CHECKPOINT or progress is Progress.OUT_OF_BLOCK:
            return [*outputs, Rejected("bad report", f"{progress.value}, session {session.number}")]
        self._outbox.answered((CHECKPOINT, session, report.checkpoint), now_ns=now_ns)
        self._losses.told(*sender.told, twice=sender.sent_twice)
        if progress is Progress.COMPLETE:
            self._drop_sender(sender)
            return [*outputs, BlockAcknowledged(session)]
        if progress is Progress.TOO_MANY_CYCLES:
            return outputs + self._cancel_sender(sender, CancelReason.RETRANSMISSION_CYCLES)
        if progress is Progress.STALLED:
            again = (CHECKPOINT, session, sender.reopen_checkpoint())
            self._outbox.await_other(again, now_ns=now_ns)
        self._queue(sender)
        return outputs

    def on_cancel(self, session: SessionId, reason: int) -> list[LtpOutput]:
        """The receiver gave a session up (§6.17)."""
        sender = self._senders.get(session)
        if sender is None:
            return []
        self._drop_sender(sender)
        return [SendFailed(session, reason_name(reason), by_peer=True)]

    def checkpoint_expired(self, session: SessionId, serial: int, runs: int) -> list[LtpOutput]:
        """No report came in time, for so many times in a row (§6.7)."""
        sender = self._senders.get(session)
        if sender is None:  # ended by another timer at the same time
            return []
        if runs > self._config.retry_limit:
            return self._cancel_sender(sender, CancelReason.RETRY_LIMIT)
        self._losses.told(1, 1)
        sender.repeat_checkpoint(serial)
        self._queue(sender)
        return []

    def _queue(self, sender: SenderSession) -> None:
        """Put a session where its priority and what is left of it say."""
        if sender.pending_bytes:
            session = sender.session
            entry = (sender.priority, sender.pending_bytes, sender.order, session)
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

    def _cancel_sender(self, sender: SenderSession, reason: CancelReason) -> list[LtpOutput]:
        self._drop_sender(sender)
        self._outbox.send_cancel(Kind.CANCEL_BY_SENDER, sender.session, reason)
        return [SendFailed(sender.session, reason.name)]

    def _drop_sender(self, sender: SenderSession) -> None:
        del self._senders[sender.session]
        for serial in sender.checkpoints:
            self._outbox.stop_timer((CHECKPOINT, sender.session, serial))
