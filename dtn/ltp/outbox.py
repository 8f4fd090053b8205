"""What leaves besides data: control segments, their timers, and the state of the link.

Shared by the sending and the receiving half of an engine. Starts timers when a segment is given to
the transmitter, never before, and looks after cancellations, which outlive their sessions. A timer
runs as long as answers are seen to take (`round_trip`), and waits while nothing at all is answered
(`silence`). Standard: RFC 5326 §6.1 to 6.6, 6.15, 6.16, 6.18.
"""

from __future__ import annotations

from dtn.ltp.control import ControlKey, ControlQueue, Rank
from dtn.ltp.notices import LtpConfig, LtpOutput, Rejected, serialisation_ns
from dtn.ltp.round_trip import RoundTrip
from dtn.ltp.segment import CancelReason, CancelSegment, Kind, SessionId, encode
from dtn.ltp.silence import Silence
from dtn.ltp.timers import Answered, TimerTable

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
        self._round_trip = RoundTrip()
        self._silence: Silence[TimerKey] = Silence()
        self._cancelling: dict[SessionId, CancelSegment] = {}
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
            self._end_silence(now_ns)
        elif self._rx_up and not rx_up:
            self._timers.suspend(now_ns=now_ns)
        self._rx_up = rx_up

    @property
    def repair_ns(self) -> int:
        """What it takes until a lost frame is sent again and there."""
        return self._wait_ns(0) + self._one_way_ns

    def frame_ns(self, size_bytes: int) -> int:
        """How long the transmitter takes for a frame."""
        return serialisation_ns(size_bytes, self._tx_rate_bps)

    @property
    def peer_is_silent(self) -> bool:
        """Whether it answers nothing, not even repeats."""
        return self._silence.lasts

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
        """A control segment is of no interest any more: do not send it, stop its timer."""
        self._control.withdraw(key)
        self.stop_timer(key)

    def start_timer(self, key: TimerKey, frame: bytes, start_ns: int) -> None:
        """A frame's first bit leaves: await the answer from when its last bit does."""
        runs = 0 if self._silence.lasts else self._timers.runs(key)
        margin_ns = self._round_trip.margin_ns(self._margin_ns, runs=runs)
        self._silence.forget(key)
        self._timers.start(
            key,
            sent_ns=start_ns + serialisation_ns(len(frame), self._tx_rate_bps),
            one_way_ns=self._one_way_ns,
            margin_ns=margin_ns,
        )

    def await_other(self, key: TimerKey, *, now_ns: int) -> None:
        """An answer that is on its way already is awaited from now on."""
        self._timers.start(
            key,
            sent_ns=now_ns,
            one_way_ns=self._one_way_ns,
            margin_ns=self._round_trip.margin_ns(self._margin_ns),
            measured=False,
        )

    def rest_timer(self, key: TimerKey) -> None:
        """A segment is about to leave again: await no answer until it does."""
        self._silence.forget(key)
        self._timers.rest(key)

    def stop_timer(self, key: TimerKey) -> None:
        """Await an answer no longer."""
        self._silence.forget(key)
        self._timers.stop(key)

    def answered(self, key: TimerKey, *, now_ns: int) -> None:
        """The answer is here."""
        answered = self._timers.answered(key, one_way_ns=self._one_way_ns, now_ns=now_ns)
        if answered is not None and self._round_trip.take(answered):
            for other in self._timers.running():
                self._retime(other, now_ns)
        self._silence.forget(key)
        self._end_silence(now_ns)

    def expired(self, *, now_ns: int) -> list[tuple[TimerKey, int]]:
        """The timers that are due, each with how often it has run out; cancellations are repeated
        here (§6.16).

        In a silence they wait, but for one at a time. That one does not count for a checkpoint: the
        silence says nothing of its session, whose bundle ends some day. Nothing else ends a report.
        """
        due = [
            (key, self._count(key, now_ns))
            for key in self._timers.expired(now_ns=now_ns)
            if not self._waits(key, now_ns)
        ]
        if self._rx_up:
            for key in self._silence.probe(now_ns=now_ns, wait_ns=self._wait_ns(0)):
                counts = key[0] != CHECKPOINT
                due.append((key, self._timers.count(key) if counts else 0))
        for key, runs in due:
            if key[0] == Rank.CANCEL:
                self._cancel_expired(key, runs)
        return [(key, runs) for key, runs in due if key[0] != Rank.CANCEL]

    def _waits(self, key: TimerKey, now_ns: int) -> bool:
        """A timer has run out: whether it waits until the silence is over."""
        return self._silence.ran_out(
            key,
            first_ns=self._timers.first_ns(key),
            sent_ns=self._timers.sent_ns(key),
            repeated=self._timers.runs(key) > 0,
            now_ns=now_ns,
        )

    def _count(self, key: TimerKey, now_ns: int) -> int:
        """A timer has run out and does not wait: how often it has."""
        runs = self._timers.count(key)
        first_ns, sent_ns = self._timers.first_ns(key), self._timers.sent_ns(key)
        if runs > self._config.retry_limit and self._silence.answered_since(first_ns):
            # Others are answered meanwhile: so the answers to this one are late rather than lost.
            late_ns = max(0, now_ns - sent_ns - 2 * self._one_way_ns)
            self._round_trip.take(Answered(late_ns, late_ns))
        return runs

    @property
    def deadline(self) -> tuple[int, str] | None:
        """When the next timer is due, and what it is for."""
        head = self._timers.deadline
        probe_ns = self._silence.probe_ns if self._rx_up else None
        if probe_ns is not None and (head is None or probe_ns < head[0]):
            return probe_ns, "silence"
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
        self._cancelling[session] = cancel
        self.put((Rank.CANCEL, session, kind), encode(cancel), timed=True)

    def end_cancelling(self, kind: Kind, session: SessionId, *, now_ns: int) -> None:
        """The peer has acknowledged a cancellation of that kind (§6.18); of another kind, or where
        there is none, it is no error."""
        cancel = self._cancelling.get(session)
        if cancel is None or cancel.kind != kind:
            return
        del self._cancelling[session]
        key = (Rank.CANCEL, session, kind)
        self._control.withdraw(key)
        self.answered(key, now_ns=now_ns)

    def _cancel_expired(self, key: TimerKey, runs: int) -> None:
        cancel = self._cancelling[key[1]]
        if runs > self._config.retry_limit:
            del self._cancelling[key[1]]
            self.withdraw((Rank.CANCEL, cancel.session, cancel.kind))
            return
        self.put((Rank.CANCEL, cancel.session, cancel.kind), encode(cancel), timed=True)

    def _end_silence(self, now_ns: int) -> None:
        """The peer answers: what waited for that goes by its timer again, as if for the first
        time."""
        if self._silence.lasts:
            self._timers.count_anew()
        for key in self._silence.end(now_ns=now_ns):
            self._retime(key, now_ns)

    def _retime(self, key: TimerKey, now_ns: int) -> None:
        due_ns = self._timers.sent_ns(key) + self._wait_ns(self._timers.runs(key))
        self._timers.run_until(key, due_ns=max(now_ns, due_ns))

    def _wait_ns(self, runs: int) -> int:
        """From when a segment has left to when its answer should be here."""
        return 2 * self._one_way_ns + self._round_trip.margin_ns(self._margin_ns, runs=runs)
