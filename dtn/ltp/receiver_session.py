"""One block on its way in: the pieces that are here, and the reports given about them.

Stores received bytes only: an offset or a length that is merely claimed costs nothing. A report
that the block is complete is held back until the client has accepted the block, so that the peer
never forgets what is not yet on disk here. Knows nothing of time or links.
Standard: RFC 5326 §6.8, 6.9, 6.11; red data only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from dtn.ltp.sdnv import sdnv_bytes
from dtn.ltp.segment import DataSegment, Kind, ReportSegment, SessionId, header
from dtn.ranges import Ranges


class Reception(Enum):
    """How far a reception is."""

    RECEIVING = "receiving"
    HELD = "held"
    """The block is complete and with the client, which has not accepted it yet."""
    ACCEPTED = "accepted"


@dataclass(slots=True)
class Report:
    """A report given, kept until the peer acknowledges it."""

    segment: ReportSegment
    acknowledged: bool = False


@dataclass(slots=True, eq=False)
class ReceiverSession:
    """The receiving half of a session."""

    session: SessionId
    service: int
    """The client service that the block is for."""
    mtu_bytes: int
    next_report: int
    """Serial number of the next new report."""
    new_bytes: int = 0
    """Of the data that came last, what was not here yet."""
    red_from: int = 0
    """The highest offset at which red data came."""
    active_ns: int = 0
    """When the last segment of this session came."""
    state: Reception = Reception.RECEIVING
    red_bytes: int | None = None
    """Size of the block, once its last segment has come."""
    reports: dict[int, Report] = field(default_factory=dict)
    cycles: int = 0
    """How many checkpoints were answered with new reports."""
    _ranges: Ranges = field(default_factory=Ranges)
    _pieces: list[tuple[int, bytes]] = field(default_factory=list)
    _by_checkpoint: dict[int, list[int]] = field(default_factory=dict)
    _held: tuple[int, int] | None = None
    """Latest checkpoint whose answer is held back: its serial number and the report it answers."""
    _primary_upper: int = 0
    """Upper bound of the latest primary report."""

    def add(self, segment: DataSegment) -> str | None:
        """Take in the data of a segment; return why not, if it contradicts what is here."""
        start = segment.offset
        end = start + len(segment.data)
        if segment.kind >= Kind.RED_END_OF_RED:
            if self.red_bytes not in (None, end) or self._ranges.top > end:
                return f"block ends at {end}, but not by an earlier segment"
            self.red_bytes = end
        elif self.red_bytes is not None and end > self.red_bytes:
            return f"data up to {end} in a block of {self.red_bytes} bytes"
        self.red_from = max(self.red_from, start)
        self.new_bytes = 0
        if self.state is not Reception.RECEIVING:
            return None
        for low, high in self._ranges.add(start, end):
            self.new_bytes += high - low
            whole = high - low == len(segment.data)
            data = segment.data if whole else segment.data[low - start : high - start]
            self._pieces.append((low, data))
        return None

    @property
    def complete(self) -> bool:
        """Whether every byte of the block is here."""
        return self.red_bytes is not None and self._ranges.covers(0, self.red_bytes)

    def take_block(self) -> bytes:
        """Hand out the complete block, once, and close the gate."""
        self._pieces.sort(key=_offset)
        block = b"".join([data for _, data in self._pieces])
        self._pieces.clear()
        self.state = Reception.HELD
        return block

    def on_checkpoint(self, segment: DataSegment) -> list[int] | None:
        """Answer a checkpoint (§6.8, §6.11).

        Returns:
            Serial numbers of the reports to send now, new or again; empty when the gate holds the
            answer; None when it answers a report that this reception never gave.
        """
        given = self._by_checkpoint.get(segment.checkpoint)
        if given is not None and self.state is not Reception.ACCEPTED:
            owing = [serial for serial in given if not self.reports[serial].acknowledged]
            return owing or given
        if given is not None and self.says_complete(given[-1]):
            return given
        if self.state is Reception.HELD:
            self._held = (segment.checkpoint, segment.report)
            return []
        receiving = self.state is Reception.RECEIVING
        if receiving and segment.report and segment.report not in self.reports:
            return None
        return self._new_reports(segment.checkpoint, segment.report, segment_end(segment))

    def accept(self) -> list[int]:
        """Open the gate; return serial numbers of the reports that were held back."""
        self.state = Reception.ACCEPTED
        if self._held is None or self.red_bytes is None:
            return []
        checkpoint, answers = self._held
        self._held = None
        return self._new_reports(checkpoint, answers, self.red_bytes)

    def acknowledged(self, serial: int) -> bool:
        """The peer has a report; return whether it now knows that the block is complete."""
        report = self.reports.get(serial)
        if report is None:
            return False
        report.acknowledged = True
        return self.state is Reception.ACCEPTED and self.says_complete(serial)

    def says_complete(self, serial: int) -> bool:
        """Whether a report claims the whole block."""
        segment = self.reports[serial].segment
        return segment.claims == ((0, self.red_bytes),)

    def _new_reports(self, checkpoint: int, answers: int, upper: int) -> list[int]:
        if self.state is Reception.ACCEPTED and self.red_bytes is not None:
            lower, upper = 0, self.red_bytes  # §6.11 allows it, and it ends the session soonest
        elif answers:
            lower = self.reports[answers].segment.lower
        else:
            lower = self._primary_upper
            self._primary_upper = max(self._primary_upper, upper)
        if lower >= upper:  # checkpoints out of order: §6.11 allows 0, and forbids an empty scope
            lower = 0
        serials = []
        for segment in self._split(checkpoint, lower, upper):
            self.reports[segment.report] = Report(segment)
            serials.append(segment.report)
        self._by_checkpoint[checkpoint] = serials
        self.cycles += 1
        return serials

    def _split(self, checkpoint: int, lower: int, upper: int) -> list[ReportSegment]:
        """As many report segments as the claims need, their scopes end to end."""
        claims = self._ranges.within(lower, upper)
        numbers = (self.next_report + len(claims), checkpoint, upper, upper, len(claims))
        room = self.mtu_bytes - len(header(Kind.REPORT, self.session))
        room -= sum(sdnv_bytes(number) for number in numbers)
        segments: list[ReportSegment] = []
        batch: list[tuple[int, int]] = []
        used = 0
        for start, end in claims:
            size = sdnv_bytes(start - lower) + sdnv_bytes(end - start)
            if batch and used + size > room:
                segments.append(self._report(checkpoint, lower, batch[-1][1], batch))
                lower = batch[-1][1]
                batch = []
                used = 0
            batch.append((start, end))
            used += size
        segments.append(self._report(checkpoint, lower, upper, batch))
        return segments

    def _report(
        self, checkpoint: int, lower: int, upper: int, claims: list[tuple[int, int]]
    ) -> ReportSegment:
        serial = self.next_report
        self.next_report += 1
        return ReportSegment(self.session, serial, checkpoint, upper, lower, tuple(claims))


def segment_end(segment: DataSegment) -> int:
    """The offset behind a segment's data."""
    return segment.offset + len(segment.data)


def _offset(piece: tuple[int, bytes]) -> int:
    return piece[0]
