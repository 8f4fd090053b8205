"""The terminal: the one way in which tables, colours and progress are printed.

What is printed is text, never markup: styles are given as `rich.text.Text`. Nothing that a terminal
would obey gets through, whoever wrote it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from roundtrip.words import printable

MAX_WIDTH = 10_000


class Screen(Console):
    """A console that takes text literally. For the arguments see `rich.console.Console`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """What a string becomes, before its width is measured."""
        return super().render_str(printable(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of what is printed, whoever made it (`Text` comes by here alone)."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)

    @property
    def is_full(self) -> bool:
        """Whether this is a terminal that can be drawn on, and has a keyboard."""
        return self.is_terminal and not self.is_dumb_terminal and sys.stdin.isatty()

    def print_wide(self, table: Table) -> None:
        """Print a table as wide as it is, however narrow the terminal: its lines may wrap there."""
        width = self.width
        self.width = max(
            width, self.measure(table, options=self.options.update_width(MAX_WIDTH)).maximum
        )
        self.print(table, crop=False)
        self.width = width


OPENED = "\x1b[?1049h\x1b[?7l\x1b[?2004h\x1b[2J"
"""Other screen, no wrapping at the margin, pastes marked as such, cleared (xterm, ECMA-48)."""
CLOSED = "\x1b[?2004l\x1b[?7h\x1b[?25h\x1b[?1049l"


class Canvas:
    """The whole terminal, drawn line by line; only lines that changed are written.

    Args:
        screen: the terminal.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._drawn: list[str] = []
        self._cursor = (-1, -1)

    def __enter__(self) -> Canvas:
        self._write(OPENED)
        return self

    def __exit__(self, *_: object) -> None:
        self._write(CLOSED)

    def forget(self) -> None:
        """The terminal may show something else: the next drawing writes every line."""
        self._drawn = []
        self._write("\x1b[2J")

    def show(self, lines: Sequence[Text], cursor: tuple[int, int]) -> None:
        """Show these lines, from the top, and the cursor at a line and a cell, from 0."""
        drawn = [self._as_sent(line) for line in lines]
        changed = [
            f"\x1b[{place};1H{line}\x1b[0m\x1b[K"
            for place, line in enumerate(drawn, 1)
            if place > len(self._drawn) or line != self._drawn[place - 1]
        ]
        if changed or cursor != self._cursor:
            at = f"\x1b[{cursor[0] + 1};{cursor[1] + 1}H\x1b[?25h"
            self._write("\x1b[?25l" + "".join(changed) + at)
        self._drawn, self._cursor = drawn, cursor

    def _as_sent(self, line: Text) -> str:
        with self._screen.capture() as captured:
            self._screen.print(line, end="", no_wrap=True, overflow="ignore", crop=False)
        return captured.get()

    def _write(self, text: str) -> None:
        self._screen.file.write(text)
        self._screen.file.flush()
