"""The queue of control segments: order, no doubles, a limit."""

from __future__ import annotations

from dtn.ltp.control import ControlQueue, Rank
from dtn.ltp.segment import SessionId

S = SessionId(1, 1)


def test_acknowledgments_then_reports_then_cancels() -> None:
    queue = ControlQueue(limit=4)
    for rank in (Rank.CANCEL, Rank.REPORT, Rank.ACKNOWLEDGMENT):
        for serial in (2, 1):
            assert queue.put((rank, S, serial), bytes(rank + 1), timed=rank is Rank.REPORT)
    assert queue.pending_bytes == 12
    order = []
    while (entry := queue.pop()) is not None:
        order.append((entry[0][0], entry[0][2], entry[2]))
    control = [(0, 2, False), (0, 1, False)]
    assert order == [*control, (1, 2, True), (1, 1, True), (2, 2, False), (2, 1, False)]
    assert (len(queue), queue.pending_bytes) == (0, 0)


def test_twice_is_once_and_the_limit_holds() -> None:
    queue = ControlQueue(limit=1)
    key = (Rank.REPORT, S, 1)
    assert queue.put(key, b"ab", timed=True)
    assert queue.put(key, b"ab", timed=True)
    assert not queue.put((Rank.REPORT, S, 2), b"ab", timed=True)
    assert len(queue) == 1
    queue.withdraw(key)
    queue.withdraw(key)
    assert (len(queue), queue.pending_bytes) == (0, 0)
