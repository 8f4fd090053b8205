"""What a terminal sends when keys are pressed, as keys: characters, or names such as `left`.

ECMA-48 control sequences as xterm sends them, and bracketed paste. Pure and total: what is not
known is left out.
"""

from __future__ import annotations

import codecs
import re

ESCAPE = "\x1b"
PASTE, PASTE_END = "\x1b[200~", "\x1b[201~"
_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?]*[@-~]|O[@-~]|[^\[O])")
_NAMES = {
    "[A": "up",
    "[B": "down",
    "[C": "right",
    "[D": "left",
    "[H": "home",
    "[F": "end",
    "[1~": "home",
    "[4~": "end",
    "[3~": "delete",
    "[5~": "page up",
    "[6~": "page down",
    "[1;5C": "word right",
    "[1;5D": "word left",
    "OA": "up",
    "OB": "down",
    "OC": "right",
    "OD": "left",
    "OH": "home",
    "OF": "end",
    "\r": "new line",
    "\n": "new line",
    "b": "word left",
    "f": "word right",
    "\x7f": "cut word",
}
_CONTROLS = {
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x01": "home",
    "\x02": "left",
    "\x04": "end of input",
    "\x05": "end",
    "\x06": "right",
    "\x0b": "cut to end",
    "\x0c": "redraw",
    "\x0e": "later",
    "\x10": "earlier",
    "\x15": "cut to start",
    "\x17": "cut word",
    "\x18": "give up",
}
MOST_HELD = 1 << 16
"""Characters of a paste or a sequence that does not end."""


class Keys:
    """Decodes what comes from one terminal."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self._pasting = False

    def feed(self, data: bytes) -> list[str]:
        """The keys in some bytes; a sequence that has not ended waits for the rest."""
        self._held += self._decoder.decode(data)
        keys: list[str] = []
        while self._held:
            taken = self._take(keys)
            if not taken:
                if len(self._held) > MOST_HELD:
                    self._held = ""
                break
            self._held = self._held[taken:]
        return keys

    def flush(self) -> list[str]:
        """No more came for a while: an escape that stands alone is a key."""
        if self._held == ESCAPE:
            self._held = ""
            return ["escape"]
        return []

    def _take(self, keys: list[str]) -> int:
        """Take one key from the front; how many characters it was, 0 for a part of one."""
        held = self._held
        if self._pasting:
            return self._paste(keys)
        if held[0] != ESCAPE:
            if held[0].isprintable():
                keys.append(held[0])
            elif held[0] in _CONTROLS:
                keys.append(_CONTROLS[held[0]])
            return 1
        if held.startswith(PASTE):
            self._pasting = True
            return len(PASTE)
        found = _SEQUENCE.match(held)
        if found is None:
            return 0 if re.fullmatch(r"\x1b(?:\[[0-9;?]*|O)?", held) else 1
        if name := _NAMES.get(found[0][1:]):
            keys.append(name)
        return len(found[0])

    def _paste(self, keys: list[str]) -> int:
        end = self._held.find(PASTE_END)
        text = self._held if end < 0 else self._held[:end]
        if end < 0:  # what may go on with the next bytes waits for them
            text = text[: text.rindex(ESCAPE)] if ESCAPE in text[-len(PASTE_END) :] else text
            text = text.removesuffix("\r")
        for character in text.replace("\r\n", "\n").replace("\r", "\n"):
            if character == "\n":
                keys.append("new line")
            elif character.isprintable():
                keys.append(character)
            elif character == "\t":
                keys.append(" ")
        if end < 0:
            return len(text)
        self._pasting = False
        return end + len(PASTE_END)
