"""What leaves besides data: control segments, their timers, and the state of the link.

Shared by the sending and the receiving half of an engine. Starts timers when a segment is given to
the transmitter, never before, and looks after cancellations, which outlive their sessions.
Standard: RFC 5326 §6.1 to 6.6, 6.15, 6.16, 6.18.
"""

from __future__ import annotations

from dtn.ltp.control import ControlKey, ControlQueue, Rank
from dtn.ltp.notices import LtpConfig, LtpOutput, Rejected, serialisation_ns
from dtn.ltp.segment import CancelReason, CancelSegment, Kind, SessionId, encode
from dtn.ltp.timers import TimerTable

CHECKPOINT = -1
"""What a timer is for, when not for a control segment."""

TimerKey = tuple[int, SessionId, int]
"""CHECKPOINT or the control segment's rank, its session, and its serial number or kind."""

_TIMER_NAMES = {CHECKPOINT: "checkpoint", Rank.REPORT: "report", Rank.CANCEL: "cancel"}
_MAX_CONTROL_QUEUED = 4096
"""Control segments of one rank that may wait."""
_MAX_CANCELLING = 256
"""Cancellations under way, beyond which a stranger's data segments get no answer."""


class Outbox:
    """Control queue, timers and link state of one engine."""

    def __init__(self, config: LtpConfig) -> None:
        self.tx_up = False
        self.frames_in_flight = 1
        """Frames that leave in one round trip."""
        self._config = config
        self._control = ControlQueue(limit=_MAX_CONTROL_QUEUED)
        self._timers: TimerTable[TimerKey] = TimerTable()
        self._timers.suspend(now_ns=0)
        self._cancelling: dict[SessionId, tuple[CancelSegment, int]] = {}
        self._rx_up = False
        self._one_way_ns = 0
        self._margin_ns = config.margin_ns
        self._tx_rate_bps = 0

    def carrier(
        self,
        *,
        tx_up: bool,
        rx_up: bool,
        one_way_ns: int,
        now_ns: int,
        tx_rate_bps: int,
        rx_rate_bps: int,
    ) -> None:
        """Take a link state cue; see `LtpEngine.carrier`."""
        self.tx_up = tx_up
        self._one_way_ns = one_way_ns
        self._tx_rate_bps = tx_rate_bps
        waiting_ns = 2 * serialisation_ns(self._config.mtu_bytes, rx_rate_bps)
        self._margin_ns = self._config.margin_ns + waiting_ns
        frame_ns = serialisation_ns(self._config.mtu_bytes, tx_rate_bps)
        self.frames_in_flight = max(1, 2 * one_way_ns // frame_ns) if frame_ns else 1
        if rx_up and not self._rx_up:
            self._timers.resume(now_ns=now_ns)
        elif self._rx_up and not rx_up:
            self._timers.suspend(now_ns=now_ns)
        self._rx_up = rx_up

    def put(self, key: ControlKey, frame: bytes, *, timed: bool = False) -> list[LtpOutput]:
        """Queue a control segment; timed when an answer is awaited and it will be repeated."""
        if self._control.put(key, frame, timed=timed):
            return []
        return [Rejected("control queue full", f"session {key[1].number}")]

    def next_control(self, *, start_ns: int) -> bytes | None:
        """Take out the next control segment, whose first bit leaves at a time."""
        entry = self._control.pop()
        if entry is None:
            return None
        key, frame, timed = entry
        if timed:
            self.start_timer(key, frame, start_ns)
        return frame

    def withdraw(self, key: ControlKey) -> None:
        """The answer is here, or of no interest: do not send, stop the timer."""
        self._control.withdraw(key)
        self._timers.stop(key)

    def start_timer(self, key: TimerKey, frame: bytes, start_ns: int) -> None:
        """A frame's first bit leaves: await the answer from when its last bit does."""
        self._timers.start(
            key,
            sent_ns=start_ns + serialisation_ns(len(frame), self._tx_rate_bps),
            one_way_ns=self._one_way_ns,
            margin_ns=self._margin_ns,
        )

    def stop_timer(self, key: TimerKey) -> None:
        """Await an answer no longer."""
        self._timers.stop(key)

    def expired(self, *, now_ns: int) -> list[TimerKey]:
        """Take out the timers that are due; cancellations are repeated here (§6.16)."""
        due: list[TimerKey] = []
        for key in self._timers.expired(now_ns=now_ns):
            if key[0] == Rank.CANCEL:
                self._cancel_expired(key[1])
            else:
                due.append(key)
        return due

    @property
    def deadline(self) -> tuple[int, str] | None:
        """When the next timer is due, and what it is for."""
        head = self._timers.deadline
        return None if head is None else (head[0], _TIMER_NAMES[head[1][0]])

    @property
    def has_control(self) -> bool:
        """Whether control segments wait."""
        return len(self._control) > 0

    @property
    def control_bytes(self) -> int:
        """Bytes of the control segments that wait."""
        return self._control.pending_bytes

    def is_cancelling(self, session: SessionId) -> bool:
        """Whether a cancellation of ours waits for its acknowledgment."""
        return session in self._cancelling

    def refuse(self, session: SessionId, reason: CancelReason) -> None:
        """Cancel a session of the peer's that was never opened here, if there is room to."""
        if session not in self._cancelling and len(self._cancelling) < _MAX_CANCELLING:
            self.send_cancel(Kind.CANCEL_BY_RECEIVER, session, reason)

    def send_cancel(self, kind: Kind, session: SessionId, reason: CancelReason) -> None:
        """Tell the peer that a session is over, until it acknowledges that."""
        cancel = CancelSegment(kind, session, reason)
        self._cancelling[session] = (cancel, 1)
        self.put((Rank.CANCEL, session, kind), encode(cancel), timed=True)

    def end_cancelling(self, session: SessionId) -> None:
        """The peer has acknowledged a cancellation (§6.18)."""
        ended = self._cancelling.pop(session, None)
        if ended is not None:
            self.withdraw((Rank.CANCEL, session, ended[0].kind))

    def _cancel_expired(self, session: SessionId) -> None:
        cancel, tries = self._cancelling[session]
        if tries > self._config.retry_limit:
            del self._cancelling[session]
            return
        self._cancelling[session] = (cancel, tries + 1)
        self.put((Rank.CANCEL, session, cancel.kind), encode(cancel), timed=True)
