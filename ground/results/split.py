"""The exact split of a loop between uplink, node and downlink, by the link's log of every frame.

The log's clock is the plan's clock. `uplink_started` and `downlink_started` are when a frame of the
question, and of its answer, was first on the air. `delivered` is the arrival of the frame with
which the node had the question: of those that can have been it, the one that the node's own clock
says. The log alone cannot tell, for it does not know which frames a damaged header, a restart or a
full node has kept from counting. What a session carries is not to be seen; so where one that no
record knows may have carried the question, or the answer, first, that stays an estimate.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace

from dtn.errors import SegmentError
from dtn.ltp.sdnv import read_sdnv
from dtn.ltp.segment import Kind, ReportSegment, SessionId, decode
from ground.results.record import LoopRecord, NodeTimes
from roundtrip.framelog import HEAD_BYTES, FrameFate
from roundtrip.message import CLOCK_US
from roundtrip.stages import Stage, in_order
from roundtrip.units import NS_PER_US

READING_US = 100_000
"""What a process may need to take a frame off its socket. More, and the node's clock is not the
log's."""
NEVER_NS = 1 << 63
GROWTH_BYTES = 192
"""By how much a bundle's block may grow from one session to the next: with the bundle's age, and
when its headers are not compressed any more."""
ONE_LIFE = 1 << 20
"""Session numbers nearer than this are of one process: each begins at a random one of 32 bits."""
_LAST_DATA_KIND = 7
_END_OF_BLOCK = (3, 7)


class _Block:
    """What the log shows of one LTP session."""

    def __init__(self) -> None:
        self.began_ns = NEVER_NS
        """When a frame of it was first on the air."""
        self.length: int | None = None
        self.arrived: list[tuple[int, int, int]] = []

    def possibly_complete_ns(self) -> list[int]:
        """The arrivals with or after which every byte has been there, if none was damaged."""
        if self.length is None:
            return []
        missing = [(0, self.length)]
        complete: list[int] = []
        for at_ns, start, end in sorted(self.arrived):
            missing = [
                piece
                for low, high in missing
                for piece in ((low, min(high, start)), (max(low, end), high))
                if piece[0] < piece[1]
            ]
            if not missing:
                complete.append(at_ns)
        return complete


class _Log:
    """The sessions of both directions, and which of them no record knows."""

    def __init__(self, fates: Iterable[FrameFate], records: Sequence[LoopRecord]) -> None:
        self._blocks: dict[tuple[str, SessionId], _Block] = {}
        self._whole_ns: dict[SessionId, int] = {}
        """Of a session down: when the ground first reported that it had all of it."""
        for fate in fates:
            self._note(fate)
        known = {("uplink", sent) for record in records for sent in record.uplink_sessions}
        known |= {("downlink", r.downlink_session) for r in records if r.downlink_session}
        self._strays = {
            direction: sorted(
                (block.began_ns, session)
                for (way, session), block in self._blocks.items()
                if way == direction and (way, session) not in known
            )
            for direction in ("uplink", "downlink")
        }

    def _note(self, fate: FrameFate) -> None:
        extent = _data_extent(fate.head)
        if extent is None:
            session = _reported_whole(fate)
            if session is not None:
                self._whole_ns.setdefault(session, fate.handed_ns)
            return
        session, start, end, last = extent
        block = self._blocks.setdefault((fate.direction, session), _Block())
        if last:
            block.length = end
        if fate.tx_start_ns is not None:
            block.began_ns = min(block.began_ns, fate.tx_start_ns)
        if fate.arrives_ns is not None:
            block.arrived.append((fate.arrives_ns, start, end))

    def first(self, direction: str, sessions: Iterable[SessionId]) -> tuple[int, SessionId] | None:
        """When a frame of these sessions was first on the air, and of which; None where the log
        has none of them."""
        known = [(direction, session) for session in sessions]
        return min(
            ((self._blocks[k].began_ns, k[1]) for k in known if k in self._blocks), default=None
        )

    def before_ns(
        self, direction: str, session: SessionId, since_ns: int, there_ns: int
    ) -> int | None:
        """When a session began that may have carried the same bundle before this one did; None if
        there was none.

        Args:
            direction: of both.
            session: the one that is known.
            since_ns: the bundle did not exist before.
            there_ns: when it had come. What was whole before brought something else.
        """
        strays, until_ns = self._strays[direction], self._blocks[direction, session].began_ns
        for at in range(bisect_left(strays, (since_ns,)), len(strays)):
            began_ns, stray = strays[at]
            if began_ns >= until_ns:
                break
            whole_ns = self._whole_ns.get(stray, NEVER_NS)
            if whole_ns >= there_ns and self._alike(direction, stray, session):
                return began_ns
        return None

    def _alike(self, direction: str, stray: SessionId, session: SessionId) -> bool:
        """Whether two sessions may carry the same bundle; what a process sends once more after a
        restart may look otherwise."""
        if abs(stray.number - session.number) >= ONE_LIFE:
            return True
        before, after = (self._blocks[direction, one].length for one in (stray, session))
        return before is None or after is None or 0 <= after - before <= GROWTH_BYTES

    def delivered_ns(self, sessions: Iterable[SessionId], said_us: int) -> int | None:
        """The arrival with which one of these sessions was complete, by the receiver's clock."""
        found: tuple[int, int] | None = None
        for session in sessions:
            block = self._blocks.get(("uplink", session))
            for at_ns in [] if block is None else block.possibly_complete_ns():
                reading_us = (said_us - at_ns // NS_PER_US) % CLOCK_US
                if reading_us <= READING_US and (found is None or (reading_us, -at_ns) < found):
                    found = reading_us, -at_ns
        return None if found is None else -found[1]


def split_by_log(records: Sequence[LoopRecord], fates: Iterable[FrameFate]) -> list[LoopRecord]:
    """The records with their stages placed by the frame log.

    A record whose stages the log does not show keeps its estimate.
    """
    log = _Log(fates, records)
    return [_placed(record, log) for record in records]


def data_session(head: bytes) -> SessionId | None:
    """The LTP session of a frame with data, by its first bytes; None for other frames."""
    extent = _data_extent(head)
    return None if extent is None else extent[0]


def _placed(record: LoopRecord, log: _Log) -> LoopRecord:
    stamps, times = dict(record.stamps), record.node_times
    first = log.first("uplink", record.uplink_sessions)
    if first is None:
        return record
    began_ns, session = first
    if log.before_ns("uplink", session, stamps[Stage.SUBMITTED], NEVER_NS) is not None:
        return record  # before the ground was started again
    stamps[Stage.UPLINK_STARTED] = began_ns
    if began_ns > record.settled_ns:  # the modem had it, and kept it
        del stamps[Stage.UPLINK_STARTED]
    exactly = replace(record, stamps=stamps, split="frame_log", uncertainty_ns=0)
    if times is None or record.downlink_session is None:
        return exactly
    if times.delivered_us is None:
        return record
    delivered_ns = log.delivered_ns(record.uplink_sessions, times.delivered_us)
    first_down = log.first("downlink", [record.downlink_session])
    if delivered_ns is None or first_down is None:
        return record
    down_ns = first_down[0]
    if down_ns < delivered_ns + times.finished_ns:
        return record
    stamps |= _node_stamps(delivered_ns, times)
    before_ns = log.before_ns(
        "downlink", record.downlink_session, stamps[Stage.FINISHED], stamps[Stage.ANSWERED]
    )
    stamps[Stage.DOWNLINK_STARTED] = down_ns if before_ns is None else before_ns
    exactly = replace(exactly, stamps=in_order(stamps))
    if before_ns is None:
        return exactly
    return replace(exactly, split="estimate", uncertainty_ns=down_ns - before_ns + NS_PER_US)


def _node_stamps(delivered_ns: int, times: NodeTimes) -> dict[Stage, int]:
    since_ns = {Stage.DELIVERED: 0} | times.stamps
    return {stage: delivered_ns + after_ns for stage, after_ns in since_ns.items()}


def _data_extent(head: bytes) -> tuple[SessionId, int, int, bool] | None:
    """Session, start, end and whether it ends the block, of an LTP data segment's first bytes."""
    try:
        kind = head[0] & 0x0F
        if head[0] >> 4 or kind > _LAST_DATA_KIND:
            return None
        originator, at = read_sdnv(head, 1)
        number, at = read_sdnv(head, at)
        if head[at] >> 4:
            return None
        _, at = read_sdnv(head, at + 1)
        offset, at = read_sdnv(head, at)
        length, at = read_sdnv(head, at)
    except (SegmentError, IndexError):
        return None
    return SessionId(originator, number), offset, offset + length, kind in _END_OF_BLOCK


def _reported_whole(fate: FrameFate) -> SessionId | None:
    """The session down of which a frame up reports that all of it is there."""
    head = fate.head
    if fate.direction != "uplink" or not head or head[0] != Kind.REPORT:
        return None
    if fate.size_bytes > HEAD_BYTES:
        return None  # of a block with gaps
    try:
        report = decode(head)
    except SegmentError:
        return None
    whole = isinstance(report, ReportSegment) and report.claims == ((0, report.upper),)
    return report.session if whole else None
