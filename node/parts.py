"""Pieces of answers that go down while the rest is being written.

At a loss of signal the ground then has what exists. The reply at the end leaves out what the ground
has acknowledged by then, and carries the hash of the whole. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from dtn.bpv7.bundle import BundleId
from node.downlink import BUNDLE_BYTES
from roundtrip.message import MAX_TEXT_BYTES, Answer, Part, Refusal, digest_of
from roundtrip.units import serialisation_ns

PART_BYTES = BUNDLE_BYTES + 40
"""What a part costs beside its text: its bundle's head, and its last frame, which an idle link
repeats."""
PART_SHARE = 0.05
"""Of the downlink, what that may take."""


@dataclass(slots=True)
class _Sent:
    data: bytes = b""
    """The answer as far as it was sent."""
    acknowledged: dict[int, int] = field(default_factory=dict)
    """Where each part that the ground has begins and ends."""
    on_the_way: dict[BundleId, Part] = field(default_factory=dict)

    def held(self) -> int:
        """Bytes that the ground has, from the answer's start on."""
        end = 0
        while end in self.acknowledged:
            end = self.acknowledged[end]
        return end


class Parts:
    """What has gone down of each answer that is being written."""

    def __init__(self) -> None:
        self._answers: dict[int, _Sent] = {}
        self._bundles: dict[BundleId, int] = {}
        self._next_ns = 0

    def next_part(
        self, question_id: int, text: str, rate_bps: int | None, now_ns: int
    ) -> Part | None:
        """What is new of an answer.

        Args:
            question_id: whose.
            text: the answer as far as it is written.
            rate_bps: of the downlink now; None while it is closed.
            now_ns: now.

        Returns:
            None where there is nothing, or while parts would cost more than their share.
        """
        if rate_bps is None or now_ns < self._next_ns:
            return None
        data, sent = text.encode(), self._answers.get(question_id, _Sent()).data
        if not len(sent) < len(data) <= MAX_TEXT_BYTES or not data.startswith(sent):
            return None
        return Part(question_id, len(sent), data[len(sent) :].decode())

    def sent(self, bundle_id: BundleId, part: Part, rate_bps: int, now_ns: int) -> None:
        """A part is on its way."""
        answer = self._answers.setdefault(part.question_id, _Sent())
        answer.data += part.text.encode()
        answer.on_the_way[bundle_id] = part
        self._bundles[bundle_id] = part.question_id
        self._next_ns = now_ns + round(serialisation_ns(PART_BYTES, rate_bps) / PART_SHARE)

    def left(self, bundle_id: BundleId, *, acknowledged: bool) -> None:
        """The ground has a part, or its time is over. Other bundles do not matter here."""
        question_id = self._bundles.pop(bundle_id, None)
        if question_id is None:
            return
        answer = self._answers[question_id]
        part = answer.on_the_way.pop(bundle_id)
        if acknowledged:
            answer.acknowledged[part.start] = part.start + len(part.text.encode())

    def last(
        self, question_id: int, reply: Answer | Refusal
    ) -> tuple[Answer | Refusal, list[BundleId]]:
        """The reply less what the ground has of it, and the parts that need not arrive any more.
        Asked again, the question gets the whole reply."""
        answer = self._answers.pop(question_id, None)
        if answer is None:
            return reply, []
        for bundle_id in answer.on_the_way:
            del self._bundles[bundle_id]
        held, given_up = answer.held(), list(answer.on_the_way)
        if not held or not isinstance(reply, Answer):
            return reply, given_up
        data = reply.text.encode()
        if data[:held] != answer.data[:held]:  # begun anew after a crash, or closed differently
            return reply, given_up
        rest = replace(
            reply,
            text=data[held:].decode(),
            start=held,
            digest=digest_of(data),
        )
        return rest, given_up
