"""The terminal: the one way in which tables, colours and progress are printed.

What is printed is text, never markup: styles are given as `rich.text.Text`. Nothing that a terminal
would obey gets through, whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable
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

    def print_wide(self, table: Table) -> None:
        """Print a table as wide as it is, however narrow the terminal: its lines may wrap there."""
        width = self.width
        self.width = max(
            width, self.measure(table, options=self.options.update_width(MAX_WIDTH)).maximum
        )
        self.print(table, crop=False)
        self.width = width
