"""One block on its way out: what is still to be sent, what the peer has, which checkpoints stand.

Knows nothing of time, links or other sessions: the engine asks for the next segment, hands in
reports and says when a checkpoint's timer ran out. Must never leave the block incomplete with
nothing queued and no checkpoint standing. Standard: RFC 5326 §6.7, 6.12, 6.13; red data only.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from dtn.ltp.sdnv import encode_sdnv, sdnv_bytes
from dtn.ltp.segment import Kind, ReportSegment, SessionId
from dtn.ranges import Ranges


class Progress(Enum):
    """What a report means for the session."""

    COMPLETE = "complete"
    WAITING = "waiting"
    STALLED = "stalled"
    """Incomplete, nothing queued, no checkpoint standing: reopen a checkpoint."""
    TOO_MANY_CYCLES = "too many cycles"
    UNKNOWN_CHECKPOINT = "unknown checkpoint"
    OUT_OF_BLOCK = "out of block"


_Segment = tuple[Kind, int, int, int, int]
"""Kind, start and end, checkpoint serial number and the report it answers, or 0."""


@dataclass(slots=True)
class _Job:
    """Ranges to send whose last segment will be a checkpoint."""

    ranges: deque[tuple[int, int]]
    report: int
    """The report it answers; 0 for the first transmission."""
    lower: int
    """Lower bound of that report."""


@dataclass(slots=True)
class _Checkpoint:
    start: int
    end: int
    kind: Kind
    report: int
    lower: int
    """Where the scope of its answer starts; it ends where the checkpoint does."""
    answered: bool = False


@dataclass(slots=True)
class _Life:
    """What one life of the receiver has: one that crashed has lost what it had claimed, and its
    successor numbers its reports from another random start (§3.2.2)."""

    first: int
    """Serial numbers of its reports, the lowest and the highest so far: one that was lost and is
    repeated lies between them."""
    last: int
    acked: Ranges = field(default_factory=Ranges)


FRUITLESS = 32
REPORTS_APART = 32
"""Serial numbers of the reports of one life lie no further beyond these."""


@dataclass(slots=True, eq=False)
class SenderSession:
    """The sending half of a session."""

    session: SessionId
    block: bytes
    priority: int
    service: int
    mtu_bytes: int
    next_checkpoint: int
    """Serial number of the next new checkpoint."""
    echo_segments: int = 0
    """How many of the last segments are sent a second time when the link is idle."""
    due_ns: int | None = None
    """When the block should be there."""
    order: int = 0
    """Of its submission."""
    started: bool = False
    """Whether any segment has left."""
    pending_bytes: int = 0
    """Block data queued to leave, retransmissions included."""
    told: tuple[int, int] = (0, 0)
    """Of how many frames the last report told, and of how many of them that they are missing."""
    reports_seen: dict[int, None] = field(default_factory=dict)
    cycles: int = 0
    fruitless: int = 0
    """Reports in a row that claimed nothing new: the receiver, or somebody in its name, has
    another block under this number."""
    _lives: list[_Life] = field(default_factory=list)
    """Of the receiver, the present one last."""
    _jobs: deque[_Job] = field(default_factory=deque)
    _resends: deque[int] = field(default_factory=deque)
    _checkpoints: dict[int, _Checkpoint] = field(default_factory=dict)
    _prefix: bytes = b""
    _tail: deque[_Segment] = field(init=False)
    """What left last, and may leave once more."""
    _echoed: int = 0
    """Segments of the tail that have left once more."""
    _echoes: int = 0
    """In all."""
    _marked: int = 0
    """Where the latest checkpoint of the first transmission ends."""

    def __post_init__(self) -> None:
        self._jobs.append(_Job(deque([(0, len(self.block))]), 0, 0))
        self.pending_bytes = len(self.block)
        self._tail = deque(maxlen=self.echo_segments)
        self._prefix = b"".join(
            (
                encode_sdnv(self.session.originator),
                encode_sdnv(self.session.number),
                b"\x00",
                encode_sdnv(self.service),
            )
        )

    def next_segment(self, *, checkpoint_every: int) -> tuple[bytes, int]:
        """The next segment, encoded, and the serial number if it is a checkpoint (else 0).

        Only to be called while `pending_bytes` is not 0.

        Args:
            checkpoint_every: bytes of a long block after which the peer is asked what is missing
                (§6.2, discretionary checkpoints).
        """
        self.started = True
        if self._resends:
            serial = self._resends.popleft()
            again = self._checkpoints[serial]
            self.pending_bytes -= again.end - again.start
            segment = (again.kind, again.start, again.end, serial, again.report)
            return self._sent(segment), serial
        job = self._jobs[0]
        start, end = job.ranges[0]
        left = end - start
        room = self.mtu_bytes - 1 - len(self._prefix) - sdnv_bytes(start)
        room -= sdnv_bytes(self.mtu_bytes)
        last_range = len(job.ranges) == 1
        serial = self.next_checkpoint
        if last_range and left <= room - sdnv_bytes(serial) - sdnv_bytes(job.report):
            return self._last_of_job(job, start, end), serial
        size = min(room, left - 1 if last_range else left)
        if not job.report and start + size - self._marked >= checkpoint_every:
            size = min(size, room - sdnv_bytes(serial) - 1)
            job.ranges[0] = (start + size, end)
            return self._marking(start, start + size), serial
        if size == left:
            job.ranges.popleft()
        else:
            job.ranges[0] = (start + size, end)
        self.pending_bytes -= size
        return self._sent((Kind.RED, start, start + size, 0, 0)), 0

    @property
    def sent_twice(self) -> bool:
        """Whether any segment has left a second time, unasked."""
        return self._echoes > 0

    @property
    def has_echo(self) -> bool:
        """Whether there is a segment that may leave a second time."""
        return bool(self._tail)

    def next_echo(self, *, limit: int) -> tuple[bytes, int]:
        """One of the last segments once more, as `next_segment`; only while `has_echo`.

        Args:
            limit: how many may follow one another.
        """
        segment = self._tail.pop()
        self._echoed += 1
        self._echoes += 1
        while len(self._tail) > max(0, limit - self._echoed):
            self._tail.popleft()
        return self._frame(*segment), segment[3]

    def on_report(self, report: ReportSegment, *, cycle_limit: int) -> Progress:
        """Take a new report in and queue what it says is missing (§6.13)."""
        checkpoint = self._checkpoints.get(report.checkpoint)
        if report.checkpoint and checkpoint is None:
            return Progress.UNKNOWN_CHECKPOINT
        if report.upper > len(self.block):
            return Progress.OUT_OF_BLOCK
        self.reports_seen[report.report] = None
        known = len(self._lives)
        life, is_other = self._life_of(report)
        claimed = [bool(life.acked.add(start, end)) for start, end in report.claims]
        is_new = len(self._lives) > known
        self.fruitless = 0 if any(claimed) or is_new else self.fruitless + 1
        if checkpoint is not None:
            checkpoint.answered = True
            self._withdraw_resend(report.checkpoint, checkpoint)
        self._forget_tail(report.lower, report.upper)
        self.told = -(-(report.upper - report.lower) // self.mtu_bytes), 0
        if self._all_sent and life.acked.covers(0, len(self.block)):
            return Progress.COMPLETE
        lower, upper = (0, self.first_sent_bytes) if is_other else (report.lower, report.upper)
        missing = self._not_queued(life.acked.missing(lower, upper))
        lost = sum(-(-(end - start) // self.mtu_bytes) for start, end in missing)
        self.told = max(self.told[0], lost), lost
        if self.fruitless > FRUITLESS:
            return Progress.TOO_MANY_CYCLES
        if missing:
            self.cycles += 1
            if self.cycles > cycle_limit:
                return Progress.TOO_MANY_CYCLES
            self._jobs.append(_Job(deque(missing), report.report, report.lower))
            self.pending_bytes += sum(end - start for start, end in missing)
        if self.pending_bytes or any(not c.answered for c in self._checkpoints.values()):
            return Progress.WAITING
        return Progress.STALLED

    def _life_of(self, report: ReportSegment) -> tuple[_Life, bool]:
        """The life of the receiver that gave a report, and whether the one before was of another.
        Whichever reports is the present one: what a dead one had said may come after that."""
        for life in reversed(self._lives):
            if life.first - REPORTS_APART <= report.report <= life.last + REPORTS_APART:
                life.first = min(life.first, report.report)
                life.last = max(life.last, report.report)
                is_other = life is not self._lives[-1]
                if is_other:
                    self._lives.remove(life)
                    self._lives.append(life)
                return life, is_other
        self._lives.append(_Life(report.report, report.report))
        return self._lives[-1], len(self._lives) > 1

    def _forget_tail(self, lower: int, upper: int) -> None:
        """What a report speaks of is there, or about to leave anew."""
        unknown = [s for s in self._tail if s[1] < lower or s[2] > upper]
        self._tail.clear()
        self._tail.extend(unknown)

    def repeat_checkpoint(self, serial: int) -> None:
        """Queue a checkpoint again (§6.7)."""
        checkpoint = self._checkpoints[serial]
        self._resends.append(serial)
        self.pending_bytes += checkpoint.end - checkpoint.start

    def reopen_checkpoint(self) -> int:
        """Expect an answer once more to the checkpoint that owes it; return its serial number.

        When a checkpoint took several reports and one was lost, the others have stopped its timer.
        The receiver's own timer should bring the lost report; this is for when it does not.
        """
        acked = self._lives[-1].acked if self._lives else Ranges()
        unknown_at = acked.missing(0, len(self.block))[0][0]
        owing = next(iter(self._checkpoints))
        for serial, checkpoint in self._checkpoints.items():
            if checkpoint.lower <= unknown_at < checkpoint.end:
                owing = serial
        self._checkpoints[owing].answered = False
        return owing

    @property
    def checkpoints(self) -> list[int]:
        """Serial numbers of all checkpoints so far."""
        return list(self._checkpoints)

    @property
    def first_sent_bytes(self) -> int:
        """How much of the block has left for the first time."""
        first = next((job for job in self._jobs if not job.report), None)
        return len(self.block) if first is None else first.ranges[0][0]

    @property
    def _all_sent(self) -> bool:
        """Whether the end of the block has left once (§6.12 condition a)."""
        return not self._jobs or self._jobs[0].report != 0

    def _marking(self, start: int, end: int) -> bytes:
        serial = self.next_checkpoint
        self.next_checkpoint += 1
        self._checkpoints[serial] = _Checkpoint(start, end, Kind.RED_CHECKPOINT, 0, self._marked)
        self._marked = end
        self.pending_bytes -= end - start
        return self._sent((Kind.RED_CHECKPOINT, start, end, serial, 0))

    def _last_of_job(self, job: _Job, start: int, end: int) -> bytes:
        kind = Kind.RED_END_OF_BLOCK if end == len(self.block) else Kind.RED_CHECKPOINT
        serial = self.next_checkpoint
        self.next_checkpoint += 1
        lower = job.lower if job.report else self._marked
        self._checkpoints[serial] = _Checkpoint(start, end, kind, job.report, lower)
        self._jobs.popleft()
        self.pending_bytes -= end - start
        return self._sent((kind, start, end, serial, job.report))

    def _sent(self, segment: _Segment) -> bytes:
        self._tail.append(segment)
        self._echoed = 0
        return self._frame(*segment)

    def _frame(self, kind: Kind, start: int, end: int, checkpoint: int, report: int) -> bytes:
        parts = [_KIND_BYTES[kind], self._prefix, encode_sdnv(start), encode_sdnv(end - start)]
        if checkpoint:
            parts += (encode_sdnv(checkpoint), encode_sdnv(report))
        parts.append(self.block[start:end])
        return b"".join(parts)

    def _withdraw_resend(self, serial: int, checkpoint: _Checkpoint) -> None:
        if serial in self._resends:
            self._resends.remove(serial)
            self.pending_bytes -= checkpoint.end - checkpoint.start

    def _not_queued(self, missing: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """What of the gaps is not waiting to be sent already."""
        if not missing or not self._jobs:
            return missing
        queued = Ranges()
        for job in self._jobs:
            for start, end in job.ranges:
                queued.add(start, end)
        return [piece for start, end in missing for piece in queued.missing(start, end)]


_KIND_BYTES = tuple(bytes((code,)) for code in range(16))
