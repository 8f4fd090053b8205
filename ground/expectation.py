"""When an answer can be expected: by the contact plan, the link's rates, and what the node took for
the answers before. Never earlier than the plan allows. Pure.
"""

from __future__ import annotations

from collections import deque
from statistics import median

from dtn.ltp.notices import serialisation_ns
from ground.results.record import NodeTimes
from roundtrip.contacts import ContactPlan
from roundtrip.units import NS_PER_MS

HEAD_BYTES = 36
"""What a question takes besides its payload: compressed headers, tag, segment."""
SUPPOSED_NS = 500 * NS_PER_MS
SUPPOSED_BYTES = 80
"""Of the node's work and its answer, before there was any."""
REMEMBERED = 32
"""Answers."""


class Expectation:
    """What is learned of the node, and what follows from it.

    Args:
        plan: the contact plan.
    """

    def __init__(self, plan: ContactPlan) -> None:
        self._plan = plan
        self._work_ns: deque[int] = deque(maxlen=REMEMBERED)
        self._bytes: deque[int] = deque(maxlen=REMEMBERED)

    def answered(self, times: NodeTimes, block_bytes: int) -> None:
        """An answer is here, in a block of so many bytes."""
        self._work_ns.append(times.finished_ns)
        self._bytes.append(block_bytes)

    def of(self, payload_bytes: int, ahead: int, *, now_ns: int) -> int | None:
        """When the answer to a question should be here; None where no contact is left for it.

        Args:
            payload_bytes: of the question.
            ahead: questions that leave before it.
            now_ns: the time.
        """
        size = payload_bytes + HEAD_BYTES
        there_ns = self._through("ground", now_ns, size * (ahead + 1))
        if there_ns is None:
            return None
        work_ns = int(median(self._work_ns)) if self._work_ns else SUPPOSED_NS
        answer = int(median(self._bytes)) if self._bytes else SUPPOSED_BYTES
        return self._through("node", there_ns + work_ns, answer)

    def _through(self, source: str, at_ns: int, size: int) -> int | None:
        """When so many bytes are at the other end, handed over at a time."""
        for contact in self._plan.contacts:
            if contact.source != source or contact.end_time <= at_ns:
                continue
            start_ns = max(at_ns, contact.start_time)
            end_ns = start_ns + serialisation_ns(size, contact.rate_bits_per_sec)
            if end_ns <= contact.end_time:
                return end_ns + contact.owlt_at(end_ns)
            at_ns = contact.end_time
        return None
