"""A line that is being written: characters, a cursor, and the lines before it. Pure."""

from __future__ import annotations

from collections import deque

from rich.cells import cell_len

from roundtrip.message import MAX_TEXT_BYTES

KEPT_LINES = 100
NEW_LINE = "⏎"
"""How the end of a line inside the text is shown."""


class Line:
    """Edited by the keys of `keys.Keys`."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._at = 0
        self._before: deque[str] = deque(maxlen=KEPT_LINES)
        self._place = 0
        """In the lines before, from the end; 0: the new one."""
        self._new = ""

    @property
    def text(self) -> str:
        """What is written."""
        return "".join(self._text)

    def press(self, key: str) -> bool:
        """Take a key; whether it was one of the line's."""
        edit = {
            "left": lambda: self._go(self._at - 1),
            "right": lambda: self._go(self._at + 1),
            "home": lambda: self._go(0),
            "end": lambda: self._go(len(self._text)),
            "word left": lambda: self._go(self._word_before()),
            "word right": lambda: self._go(self._word_after()),
            "backspace": lambda: self._cut(self._at - 1, self._at),
            "delete": lambda: self._cut(self._at, self._at + 1),
            "cut word": lambda: self._cut(self._word_before(), self._at),
            "cut to start": lambda: self._cut(0, self._at),
            "cut to end": lambda: self._cut(self._at, len(self._text)),
            "escape": lambda: self._cut(0, len(self._text)),
            "earlier": lambda: self._show(self._place + 1),
            "later": lambda: self._show(self._place - 1),
            "new line": lambda: self._insert("\n"),
        }.get(key)
        if edit is not None:
            edit()
        elif len(key) == 1:
            self._insert(key)
        else:
            return False
        return True

    def take(self) -> str:
        """The line, which is empty then."""
        text = self.text.strip()
        if text and (not self._before or self._before[-1] != text):
            self._before.append(text)
        self._set("")
        self._place = 0
        return text

    def put_back(self, text: str) -> None:
        """What was taken could not be used: it is here again, unless something else is."""
        if not self._text:
            self._set(text)

    def shown(self, width: int) -> tuple[str, int]:
        """The part around the cursor that so many cells have room for, and the cursor's cell."""
        start = end = self._at
        room = width - 1
        while start > 0 and (room := room - cell_len(_seen(self._text[start - 1]))) >= 0:
            start -= 1
        left = "".join(map(_seen, self._text[start : self._at]))
        cursor = cell_len(left)
        room = width - 1 - cursor
        while end < len(self._text) and (room := room - cell_len(_seen(self._text[end]))) >= 0:
            end += 1
        return left + "".join(map(_seen, self._text[self._at : end])), cursor

    # -- edits -------------------------------------------------------------------------------------

    def _set(self, text: str) -> None:
        self._text = list(text)
        self._at = len(self._text)

    def _go(self, to: int) -> None:
        self._at = min(max(to, 0), len(self._text))

    def _cut(self, start: int, end: int) -> None:
        start = max(start, 0)
        del self._text[start:end]
        self._at = start

    def _insert(self, character: str) -> None:
        if len(self._text) < MAX_TEXT_BYTES // 4:
            self._text.insert(self._at, character)
            self._at += 1

    def _word_before(self) -> int:
        at = self._at
        while at > 0 and self._text[at - 1].isspace():
            at -= 1
        while at > 0 and not self._text[at - 1].isspace():
            at -= 1
        return at

    def _word_after(self) -> int:
        at = self._at
        while at < len(self._text) and self._text[at].isspace():
            at += 1
        while at < len(self._text) and not self._text[at].isspace():
            at += 1
        return at

    def _show(self, place: int) -> None:
        """A line before this one."""
        if not 0 <= place <= len(self._before):
            return
        if self._place == 0:
            self._new = self.text
        self._place = place
        self._set(self._new if place == 0 else self._before[-place])


def _seen(character: str) -> str:
    return NEW_LINE if character == "\n" else character
