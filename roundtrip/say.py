"""Single lines on the terminal, literally; `screen.py` has the rest.

It is apart because the commands start with it, and rich takes a while to load.
"""

from __future__ import annotations

import json

import click

from roundtrip.words import shown


def say(text: object, *, err: bool = False) -> None:
    """One line on stdout, or on stderr."""
    click.echo(shown(text), err=err)


def say_part(text: str) -> None:
    """Text of others as it comes, in as many lines as it has; nothing in it that a terminal would
    obey."""
    click.echo("".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text), nl=False)


def say_json(value: object, *, indent: int | None = None) -> None:
    """JSON for programs on stdout, in ASCII: every character of others is escaped."""
    click.echo(json.dumps(value, indent=indent))
