"""A command that is imported when it is called: the others start without what it needs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click


class Deferred(click.Command):
    """Stands for a command or a group of commands until it is called.

    Args:
        name: what it is called by.
        place: where it is, "MODULE:ATTRIBUTE".
        summary: the first sentence of its docstring, for the list of commands.
    """

    def __init__(self, name: str, place: str, summary: str) -> None:
        super().__init__(name, help=summary)
        self._place = place

    def load(self) -> click.Command:
        """The command itself."""
        module, _, attribute = self._place.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """The context of the command itself, which click then invokes."""
        return self.load().make_context(info_name, args, parent, **extra)
