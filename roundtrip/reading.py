"""Reads a message from the front, strictly: whatever is not exactly one is BadMessage."""

from __future__ import annotations

from dtn.errors import SegmentError
from dtn.ltp.sdnv import encode_sdnv, read_sdnv
from roundtrip.errors import BadMessage
from roundtrip.message import (
    INDEX_BITS,
    MAX_MESSAGE_BYTES,
    MAX_TEXT_BYTES,
    MAX_TURNS,
    RUN_BITS,
    index_of,
    question_id,
)
from roundtrip.text.packing import unpack

PACKED = 1
"""The flag of a text that is packed."""


class Reader:
    """Reads a message from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        """So many bytes."""
        end = self._at + size
        if end > len(self._data):
            raise self.bad(f"{size} bytes", str(len(self._data) - self._at))
        taken, self._at = self._data[self._at : end], end
        return taken

    def number(self, most: int = (1 << 64) - 1) -> int:
        """An SDNV in its shortest form."""
        try:
            value, after = read_sdnv(self._data, self._at)
        except SegmentError as error:
            raise self.bad("a number", str(error)) from None
        if value > most or len(encode_sdnv(value)) != after - self._at:
            raise self.bad(f"a number of at most {most} in its shortest form", str(value))
        self._at = after
        return value

    def question_id(self) -> int:
        """A run and an index."""
        run = int.from_bytes(self.take(RUN_BITS // 8), "big")
        return question_id(run, self.number((1 << INDEX_BITS) - 1))

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data) - self._at)

    def earlier(self, asked: int) -> int:
        """A question of the same run, by how many before this one it was."""
        back = self.number(index_of(asked))
        if not back:
            raise self.bad("an earlier question", "0 before this one")
        return asked - back

    def turns(self) -> tuple[str | bytes, ...]:
        """Texts and answers, in turn."""
        count = self.number(MAX_TURNS)
        if not count:
            raise self.bad("a number above 0 where a flag announces it", "0")
        return tuple(self.sized() for _ in range(2 * count))

    def sized(self) -> str | bytes:
        """A text behind twice its length, plus 1 where it is packed."""
        given = self.number(MAX_MESSAGE_BYTES << 1)
        return self.value(given & 1, given >> 1)

    def value(self, flags: int, size: int | None = None) -> str | bytes:
        """A text as `pack` gave it: so many bytes, or the rest."""
        start = self._at
        value = self.rest() if size is None else self.take(size)
        try:
            return value if flags & PACKED else value.decode()
        except UnicodeDecodeError as error:
            self._at = start
            raise self.bad("UTF-8", error.reason) from None

    def text(self, flags: int, most: int = MAX_TEXT_BYTES) -> str:
        """The rest, unpacked."""
        return unpack(self.value(flags), most)

    def done(self) -> None:
        """Nothing may be left."""
        if self._at != len(self._data):
            raise self.bad("the end of the message", f"{len(self._data) - self._at} more bytes")

    def bad(self, expected: str, found: str) -> BadMessage:
        """The error at this place."""
        return BadMessage("message", f"offset {self._at}", expected, found)
