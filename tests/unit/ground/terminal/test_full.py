"""What the keys of the full-screen view do, without a terminal."""

from __future__ import annotations

import asyncio
import io
import os
import termios
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from ground.terminal import full
from ground.terminal.drawing import LEAST_HEIGHT, LEAST_WIDTH, Looking, draw
from ground.terminal.full import FullScreen, _keyboard
from ground.terminal.line import Line
from ground.terminal.view import View
from roundtrip.errors import EnvironmentFault
from roundtrip.screen import Canvas, Screen

SENT = "1: sent"


class Station:
    """Remembers what it was asked to do; refuses what is called `No.`."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []

    async def status(self) -> dict[str, Any]:
        return {}

    async def earlier(self, number: int) -> list[dict[str, Any]]:
        return []

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        return
        yield

    async def ask(self, text: str) -> None:
        self.done.append(("ask", text))
        if text == "No.":
            raise EnvironmentFault("ask", "no room", "wait")

    async def cancel(self, key: str) -> None:
        self.done.append(("cancel", key))
        raise EnvironmentFault("cancel", "the station ended", "start it")


@pytest.fixture
def view(story) -> Callable[..., tuple[FullScreen, Station]]:
    """Three questions, the last of them open; then the keys that are pressed."""
    story.settled(0, 1.0, "First?", 0.8)
    story.settled(1, 2.0, "Second?", 0.8)
    story.asked(2, 3.0, "Third?", submitted=0.1)

    def press(*keys: str) -> tuple[FullScreen, Station]:
        station = Station()

        async def run() -> FullScreen:
            found = FullScreen(station, "x", Screen(file=io.StringIO(), width=80), lambda: None)
            found._view = story.view
            for key in keys:
                found._press([key])
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            return found

        return asyncio.run(run()), station

    return press


def test_questions_are_chosen_up_and_down_and_each_is_read_from_its_end(view) -> None:
    rows = [one.key for one in view()[0]._view.rows(9)]
    assert view("down")[0]._looking.chosen == rows[1]
    assert view("down", "down")[0]._looking.chosen == rows[2]
    assert view("down", "down", "down", "down")[0]._looking.chosen == rows[2]
    assert view("down", "down", "up")[0]._looking.chosen == rows[1]
    assert view("down", "up")[0]._looking.chosen is None
    scrolled = view("down", "page down", "page down")[0]
    assert scrolled._looking.scroll == 2 * full.PAGE
    assert view("down", "page down", "down")[0]._looking.scroll == 0
    assert view("down", "page down", "page up", "page up")[0]._looking.scroll == 0


def test_a_question_that_was_asked_is_the_one_that_is_read(view) -> None:
    it, station = view("down", "page down", *"Why?", "enter")
    assert station.done == [("ask", "Why?")]
    assert (it._looking.chosen, it._looking.scroll, it._line.text) == (None, 0, "")


def test_what_is_not_asked_is_said_and_its_text_comes_back(view) -> None:
    it, _ = view(*"No.", "enter")
    assert it._looking.note.startswith("not asked: ask: no room")
    assert it._line.text == "No."


def test_what_cannot_be_given_up_is_said(view) -> None:
    it, station = view("give up")
    assert station.done == [("cancel", f"{2:014x}")]
    assert "the station ended" in it._looking.note
    assert view("down", "give up")[0]._looking.note.startswith("nothing to give up")


def test_without_a_terminal_it_is_80_by_24(view) -> None:
    assert view()[0]._size() == (80, 24)


def test_the_smallest_screen_is_drawn_and_a_smaller_one_says_so() -> None:
    def first(width: int, height: int) -> str:
        frame = draw(View("x"), Looking(), Line(), None, width, height)
        return "\n".join(line.plain for line in frame.lines)

    assert "too small" not in first(LEAST_WIDTH, LEAST_HEIGHT)
    assert "too small" in first(LEAST_WIDTH - 1, LEAST_HEIGHT)
    assert "too small" in first(LEAST_WIDTH, LEAST_HEIGHT - 1)


def test_only_what_changed_is_written_and_the_cursor_where_it_moved() -> None:
    from rich.text import Text

    out = io.StringIO()
    canvas = Canvas(Screen(file=out, width=80))
    lines = [Text("one"), Text("two")]
    canvas.show(lines, (0, 0))
    out.truncate(0)
    canvas.show(lines, (0, 0))
    assert out.getvalue() == ""
    canvas.show(lines, (1, 0))
    assert "\x1b[2;1H" in out.getvalue()
    assert "one" not in out.getvalue()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """A pseudo-terminal whose far end is what is typed on, and whose near end is stdin."""
    typing, stdin = os.openpty()
    with os.fdopen(stdin, "rb", buffering=0) as near:
        monkeypatch.setattr("sys.stdin", near)
        yield typing, stdin
    os.close(typing)


def flags(descriptor: int) -> list[int]:
    return [int(part) for part in termios.tcgetattr(descriptor)[:4]]


def test_keys_come_as_they_are_pressed_and_the_terminal_is_as_before_afterwards(
    terminal: tuple[int, int],
) -> None:
    typing, stdin = terminal
    before = termios.tcgetattr(stdin)
    came: list[bytes] = []

    async def scene() -> list[int]:
        with _keyboard(came.append):
            inside = flags(stdin)
            for key in (b"\r", b"\x11", b"\x13", b"a"):
                os.write(typing, key)
                for _ in range(100):
                    await asyncio.sleep(0.001)
                    if b"".join(came).endswith(key):
                        break
            return inside

    inside = asyncio.run(scene())
    assert b"".join(came) == b"\r\x11\x13a", "no carriage return is changed, and no flow control"
    changed = [old ^ new for old, new in zip(flags(stdin), inside, strict=True)]
    assert changed[0] == (termios.IXON | termios.ICRNL) & int(before[0])
    assert changed[1] == changed[2] == 0
    assert changed[3] == (termios.ECHO | termios.ICANON | termios.IEXTEN) & int(before[3])
    assert termios.tcgetattr(stdin) == before
