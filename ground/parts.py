"""What has come down of an answer that is still being written. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from roundtrip.message import MAX_TEXT_BYTES, Answer, Part, digest_of


class Parts:
    """The parts of one answer, in any order.

    Args:
        parts: those known from before a restart.
    """

    def __init__(self, parts: Iterable[Part] = ()) -> None:
        self._pieces: dict[int, bytes] = {}
        for part in parts:
            self.add(part)

    def add(self, part: Part) -> None:
        """Take a part; those after a gap wait for what is missing. The last of two at one place
        counts: the node may have begun anew."""
        data = part.text.encode()
        held = sum(map(len, self._pieces.values()))
        if held + len(data) <= MAX_TEXT_BYTES:
            self._pieces[part.start] = data

    def _data(self) -> bytes:
        found = b""
        while piece := self._pieces.get(len(found)):
            found += piece
        return found

    @property
    def text(self) -> str:
        """The answer's beginning, as far as it is here without a gap."""
        return self._data().decode()

    def whole(self, answer: Answer) -> Answer | None:
        """An answer with the text that came before it; None where that is not here, or not the one
        that it belongs to."""
        if not answer.start:
            return answer
        data = self._data()[: answer.start] + answer.text.encode()
        if digest_of(data) != answer.digest:
            return None
        return replace(answer, text=data.decode(errors="replace"), start=0, digest=b"")
