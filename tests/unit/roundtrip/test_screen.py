"""Nothing that is printed is markup, and nothing moves a cursor."""

from __future__ import annotations

import io
import json

import pytest
from rich.table import Table
from rich.text import Text

from roundtrip.say import say, say_json
from roundtrip.screen import Screen

HOSTILE = "[/x] [red]a :smile: \x1b[2J\x00\u202e\x9b"
SHOWN = r"[/x] [red]a :smile: \x1b[2J\x00\u202e\x9b"


@pytest.mark.parametrize("what", ["string", "text", "cell", "title", "column", "styled"])
def test_whatever_is_printed_is_literal(what: str) -> None:
    out = io.StringIO()
    screen = Screen(file=out, width=100)
    table = Table(title=HOSTILE if what == "title" else None)
    table.add_column(HOSTILE if what == "column" else "name")
    table.add_row(HOSTILE if what == "cell" else "x" * 60)
    shown = {
        "string": HOSTILE,
        "text": Text(HOSTILE),
        "styled": Text.assemble(("a", "red"), HOSTILE),
    }
    screen.print(shown.get(what, table), soft_wrap=True)
    assert SHOWN in out.getvalue()
    assert out.getvalue().replace("\n", "").isprintable()


def test_styles_of_our_own_reach_a_terminal() -> None:
    out = io.StringIO()
    Screen(file=out, force_terminal=True, color_system="standard").print(
        Text("bad\x1b", style="red")
    )
    assert out.getvalue() == "\x1b[31mbad\\x1b\x1b[0m\n"


def test_a_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"error: {HOSTILE}\nverdict MET", err=True)
    assert capsys.readouterr().err == f"error: {SHOWN} verdict MET\n"
    say_json({"name": HOSTILE + "ü"})
    out = capsys.readouterr().out
    assert out.strip().isascii()
    assert json.loads(out) == {"name": HOSTILE + "ü"}
