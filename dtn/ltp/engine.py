"""The LTP engine: red blocks to one peer and from it, over frames that may vanish.

A machine without I/O. Frames come in by `receive`; frames go out when the caller, whose transmitter
is free, asks `next_segment`, and that is when their timers start. It must never raise on bytes from
the peer. The two halves are `LtpSender` and `LtpReceiver`. Standard: RFC 5326 §4, 6 and 8.
"""

from __future__ import annotations

import random
from typing import assert_never

from dtn.errors import SegmentError
from dtn.ltp.control import Rank
from dtn.ltp.notices import (
    BUNDLE_PROTOCOL,
    BlockAcknowledged,
    BlockReceived,
    GreenReceived,
    Leaving,
    LtpConfig,
    LtpOutput,
    ReceiveCancelled,
    Rejected,
    SendFailed,
)
from dtn.ltp.outbox import CHECKPOINT, Outbox
from dtn.ltp.receiver import LtpReceiver
from dtn.ltp.segment import (
    CancelAckSegment,
    CancelSegment,
    DataSegment,
    Kind,
    ReportAckSegment,
    ReportSegment,
    Segment,
    SessionId,
    decode,
    encode,
)
from dtn.ltp.sender import LtpSender

__all__ = [
    "BlockAcknowledged",
    "BlockReceived",
    "GreenReceived",
    "LtpConfig",
    "LtpEngine",
    "LtpOutput",
    "ReceiveCancelled",
    "Rejected",
    "SendFailed",
    "SessionId",
]


class LtpEngine:
    """All sessions between this engine and its peer.

    Args:
        config: limits and identities.
        rng: for session and serial numbers. After a restart it must not start from the same state,
            or the peer may take new sessions for old ones.
    """

    def __init__(self, config: LtpConfig, *, rng: random.Random) -> None:
        self.config = config
        self._outbox = Outbox(config)
        self._sender = LtpSender(config, self._outbox, rng=rng)
        self._receiver = LtpReceiver(config, self._outbox, rng=rng)
        self.came: int | None = None
        """Of the frame taken in last: bytes of data that were not here yet; None without data."""

    def submit(
        self,
        block: bytes,
        *,
        service: int = BUNDLE_PROTOCOL,
        priority: int = 0,
        due_ns: int | None = None,
        now_ns: int,
    ) -> SessionId:
        """Start a session that sends a block.

        Args:
            block: what is sent.
            service: the peer's client service that it is for.
            priority: a lower number leaves first.
            due_ns: when it should be there, if that matters.
            now_ns: the time.

        Raises:
            LtpLimitError: the block is empty or too large, or there are too many sessions.
        """
        return self._sender.submit(
            block, service=service, priority=priority, due_ns=due_ns, now_ns=now_ns
        )

    def submit_green(self, block: bytes, *, service: int, now_ns: int) -> SessionId:
        """Send a block once, in one segment, when nothing else waits (§4.1: green data).

        Raises:
            LtpLimitError: the block does not fit.
        """
        return self._sender.submit_green(block, service, now_ns)

    def forget_green(self) -> None:
        """What is green and waits is not sent."""
        self._sender.forget_green()

    @property
    def losses(self) -> float:
        """Share of our frames that get lost, as far as reports tell."""
        return self._sender.losses

    def cancel(self, session: SessionId, *, now_ns: int) -> list[LtpOutput]:
        """Give a session up, sending or receiving (§4.2). An unknown one is no error."""
        del now_ns
        return self._sender.cancel(session) + self._receiver.cancel(session)

    def accept(self, session: SessionId, *, now_ns: int) -> list[LtpOutput]:
        """The client has the block safe: open the gate. Only the first call does anything."""
        del now_ns
        return self._receiver.accept(session)

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
        self._outbox.carrier(
            tx_up=tx_up,
            rx_up=rx_up,
            one_way_ns=one_way_ns,
            now_ns=now_ns,
            tx_rate_bps=tx_rate_bps,
            rx_rate_bps=rx_rate_bps,
        )
        return []

    def receive(self, payload: bytes, *, now_ns: int) -> list[LtpOutput]:
        """Take in one frame. Whatever is wrong with it is an output."""
        self.came = None
        try:
            segment = decode(payload)
        except SegmentError as error:
            return [Rejected("bad segment", str(error))]
        return self._on_segment(segment, now_ns)

    def next_segment(self, *, now_ns: int, start_ns: int | None = None) -> Leaving | None:
        """The next frame to transmit, if the link is up and there is one.

        Args:
            now_ns: the time.
            start_ns: when its first bit leaves, if later than now.
        """
        if not self._outbox.tx_up:
            return None
        start_ns = now_ns if start_ns is None else max(start_ns, now_ns)
        control = self._outbox.next_control(start_ns=start_ns)
        if control is not None:
            return Leaving(control)
        return self._sender.next_data(start_ns=start_ns)

    def timeout(self, *, now_ns: int) -> list[LtpOutput]:
        """Do what is due. Early or repeated calls do nothing."""
        outputs: list[LtpOutput] = []
        for (what, session, serial), runs in self._outbox.expired(now_ns=now_ns):
            if what == CHECKPOINT:
                outputs += self._sender.checkpoint_expired(session, serial, runs)
            else:
                outputs += self._receiver.report_expired(session, serial, runs)
        return outputs

    @property
    def deadline(self) -> tuple[int, str] | None:
        """When `timeout` has something to do next, and why."""
        return self._outbox.deadline

    @property
    def has_pending(self) -> bool:
        """Whether `next_segment` has something to give while the link is up."""
        return self._outbox.has_control or self._sender.has_data

    @property
    def pending_bytes(self) -> int:
        """Bytes waiting for the transmitter, retransmissions included."""
        return self._sender.data_bytes + self._outbox.control_bytes

    def upset(self, bit: int) -> None:
        """Invert one bit of what waits to be sent, see `LtpSender.upset`."""
        self._sender.upset(bit)

    @property
    def free_sessions(self) -> int:
        """How many more blocks may be submitted now."""
        return self._sender.free_sessions

    def _on_segment(self, segment: Segment, now_ns: int) -> list[LtpOutput]:
        ours = segment.session.originator == self.config.engine_id
        theirs = segment.session.originator == self.config.peer_engine_id
        if isinstance(segment, DataSegment):
            if not theirs:
                return [_wrong_engine(segment)]
            outputs = self._receiver.on_data(segment, now_ns)
            self.came = self._receiver.new_bytes
            return outputs
        if isinstance(segment, ReportSegment):
            return self._sender.on_report(segment, now_ns) if ours else [_wrong_engine(segment)]
        if isinstance(segment, ReportAckSegment):
            if not theirs:
                return [_wrong_engine(segment)]
            self._receiver.on_report_ack(segment.session, segment.report, now_ns)
            return []
        if isinstance(segment, CancelSegment):
            if not (theirs if segment.kind == Kind.CANCEL_BY_SENDER else ours):
                return [_wrong_engine(segment)]
            return self._on_cancel(segment)
        if isinstance(segment, CancelAckSegment):
            by_us = segment.kind == Kind.CANCEL_ACK_TO_SENDER
            if not (ours if by_us else theirs):
                return [_wrong_engine(segment)]
            kind = Kind.CANCEL_BY_SENDER if by_us else Kind.CANCEL_BY_RECEIVER
            self._outbox.end_cancelling(kind, segment.session, now_ns=now_ns)
            return []
        assert_never(segment)

    def _on_cancel(self, cancel: CancelSegment) -> list[LtpOutput]:
        """Acknowledge a cancellation, of an unknown session too (§6.17)."""
        session = cancel.session
        by_sender = cancel.kind == Kind.CANCEL_BY_SENDER
        kind = Kind.CANCEL_ACK_TO_SENDER if by_sender else Kind.CANCEL_ACK_TO_RECEIVER
        ack = encode(CancelAckSegment(kind, session))
        outputs = self._outbox.put((Rank.ACKNOWLEDGMENT, session, kind), ack)
        half = self._receiver if by_sender else self._sender
        return outputs + half.on_cancel(session, cancel.reason)


def _wrong_engine(segment: Segment) -> Rejected:
    return Rejected("wrong engine", f"session of engine {segment.session.originator}")
