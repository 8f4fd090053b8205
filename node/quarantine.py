"""Prompts, with their schemas, over which the engine died twice: not tried a third time. Pure."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256

from roundtrip.message import Question

MAX_KEPT = 1024


class Quarantine:
    """Remembers the last `MAX_KEPT` such prompts."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, None] = OrderedDict()

    def add(self, question: Question) -> None:
        """Its prompt and schema are not to be tried again, in whatever question they come."""
        self._kept[_fingerprint(question)] = None
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    def __contains__(self, question: Question) -> bool:
        return _fingerprint(question) in self._kept


def _fingerprint(question: Question) -> bytes:
    turns = (text for turn in question.turns for text in (turn.text, turn.answer))
    parts = (question.system, question.text, question.schema, *turns)
    return sha256(b"".join(sha256(part.encode()).digest() for part in parts)).digest()
