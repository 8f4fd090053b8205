"""A screen whose lines are told as notes: for a station that is watched otherwise than by lines."""

from __future__ import annotations

import io
from collections.abc import Callable

from roundtrip.screen import MAX_WIDTH, Screen


class Notes(Screen):
    """Takes what would be printed.

    Args:
        note: called with every line.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__(file=_Lines(note), width=MAX_WIDTH, color_system=None)


class _Lines(io.TextIOBase):
    """A file that gives each line away."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self._note = note
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if said := line.strip():
                self._note(said)
        return len(text)
