"""The end of a JSON text that was cut. Pure."""

from __future__ import annotations

import re

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
"""Without its closing quote; what is half escaped at its end is not part of it."""
_SCALAR = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_CLOSER = {"[": "]", "{": "}"}


def closed_json(text: str) -> str:
    """The text as valid JSON: what is open is closed, what is half written is taken back.

    A text that holds no JSON at all comes back as `null`. Keys that were not reached are missing.
    It takes one pass, however long and deep the text is.
    """
    reader = _Reader(text)
    reader.read()
    if reader.whole is None:
        return "null"
    return text[: reader.whole] + reader.ending + "".join(reversed(reader.closers))


class _Reader:
    """Reads a text as far as it is JSON.

    Args:
        text: what there is of it.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.closers: list[str] = []
        """Of what is open."""
        self.whole: int | None = None
        """What comes before makes JSON with `ending` and all closers."""
        self.ending = ""

    def _next(self) -> str:
        """The next character that is no space; empty at the end."""
        found = _SPACE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()
        return self._text[self._at : self._at + 1]

    def _keep(self, ending: str = "") -> None:
        self.whole, self.ending = self._at, ending

    def read(self) -> None:
        """Read until the text is over or no JSON any more; nothing is closed after the last
        `_keep`, so `closers` fits it."""
        while self._value():
            while self.closers and self._next() == self.closers[-1]:
                self._at += 1
                self.closers.pop()
                self._keep()
            if not self.closers or self._next() != ",":
                return
            self._at += 1
            if self.closers[-1] == "}" and not self._key():
                return

    def _value(self) -> bool:
        """Whether a value, or the beginning of one with something in it, was read."""
        while (start := self._next()) in ("[", "{"):
            self._at += 1
            self.closers.append(_CLOSER[start])
            self._keep()
            if self._next() == self.closers[-1]:
                return True
            if start == "{" and not self._key():
                return False
        if start == '"':
            return self._string()
        scalar = _SCALAR.match(self._text, self._at)
        if scalar is None:
            return False
        self._at = scalar.end()
        self._keep()
        return True

    def _string(self) -> bool:
        found = _STRING.match(self._text, self._at)
        assert found is not None
        self._at = found.end()
        self._keep('"')
        if self._text[self._at : self._at + 1] != '"':
            return False
        self._at += 1
        self._keep()
        return True

    def _key(self) -> bool:
        """Whether a key and its colon were read; a key without a value is taken back."""
        if self._next() != '"':
            return False
        found = _STRING.match(self._text, self._at)
        assert found is not None
        self._at = found.end()
        for mark in ('"', ":"):
            if self._next() != mark:
                return False
            self._at += 1
        return True
