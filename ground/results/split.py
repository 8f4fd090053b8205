"""The exact split of a loop between uplink, node and downlink, by the link's log of every frame.

The log's clock is the plan's clock. `delivered` is when the frames that had arrived first covered
the whole block of the question; `downlink_started` is when the first frame of the answer's session
went on the air.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dtn.errors import SegmentError
from dtn.ltp.sdnv import read_sdnv
from dtn.ltp.segment import SessionId
from ground.results.record import LoopRecord, NodeTimes
from roundtrip.framelog import FrameFate
from roundtrip.stages import Stage, in_order

CONTRADICTION_NS = 20_000_000
_LAST_DATA_KIND = 7
_END_OF_BLOCK = (3, 7)


class _Block:
    """What the log shows of one LTP session."""

    def __init__(self) -> None:
        self.first_tx_ns: int | None = None
        self.length: int | None = None
        self.arrived: list[tuple[int, int, int]] = []

    def complete_ns(self) -> int | None:
        """When the arrived pieces first covered the block."""
        if self.length is None:
            return None
        missing = [(0, self.length)]
        for at_ns, start, end in sorted(self.arrived):
            missing = [
                piece
                for low, high in missing
                for piece in ((low, min(high, start)), (max(low, end), high))
                if piece[0] < piece[1]
            ]
            if not missing:
                return at_ns
        return None


def split_by_log(records: Sequence[LoopRecord], fates: Iterable[FrameFate]) -> list[LoopRecord]:
    """The records with their node stages placed by the frame log.

    A record whose sessions the log does not show whole keeps its estimate.
    """
    blocks = _blocks(fates)
    return [_placed(record, blocks) for record in records]


def data_session(head: bytes) -> SessionId | None:
    """The LTP session of a frame with data, by its first bytes; None for other frames."""
    extent = _data_extent(head)
    return None if extent is None else extent[0]


def _placed(record: LoopRecord, blocks: dict[tuple[str, SessionId], _Block]) -> LoopRecord:
    times, session = record.node_times, record.downlink_session
    if times is None or session is None:
        return record
    complete = [
        block.complete_ns()
        for sent in record.uplink_sessions
        if (block := blocks.get(("uplink", sent))) is not None
    ]
    delivered_ns = min((at_ns for at_ns in complete if at_ns is not None), default=None)
    answer = blocks.get(("downlink", session))
    if delivered_ns is None or answer is None or answer.first_tx_ns is None:
        return record
    if delivered_ns + times.finished_ns > answer.first_tx_ns + CONTRADICTION_NS:
        return record  # the node counts from an earlier delivery
    stamps = dict(record.stamps) | _node_stamps(delivered_ns, times)
    stamps[Stage.DOWNLINK_STARTED] = answer.first_tx_ns
    return replace(record, stamps=in_order(stamps), split="frame_log", uncertainty_ns=0)


def _node_stamps(delivered_ns: int, times: NodeTimes) -> dict[Stage, int]:
    return {
        Stage.DELIVERED: delivered_ns,
        Stage.STARTED: delivered_ns + times.started_ns,
        Stage.FIRST_TOKEN: delivered_ns + times.first_token_ns,
        Stage.FINISHED: delivered_ns + times.finished_ns,
    }


def _blocks(fates: Iterable[FrameFate]) -> dict[tuple[str, SessionId], _Block]:
    blocks: dict[tuple[str, SessionId], _Block] = {}
    for fate in fates:
        extent = _data_extent(fate.head)
        if extent is None:
            continue
        session, start, end, last = extent
        block = blocks.setdefault((fate.direction, session), _Block())
        if last:
            block.length = end
        if fate.tx_start_ns is not None and block.first_tx_ns is None:
            block.first_tx_ns = fate.tx_start_ns
        if fate.arrives_ns is not None:
            block.arrived.append((fate.arrives_ns, start, end))
    return blocks


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
