"""The full-screen view, live: draws a station's events on a terminal, and asks what is typed.

The terminal is as it was before when this ends, however it ends. Signals stay with the program:
Ctrl-C stops it, Ctrl-Z does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol

from ground.desk import Desk, Event
from ground.outputs import Request
from ground.terminal.drawing import Looking, draw
from ground.terminal.keys import Keys
from ground.terminal.line import Line
from ground.terminal.view import KEPT_QUESTIONS, View
from roundtrip.drive.realtime import background
from roundtrip.errors import EnvironmentFault, GroundloopError
from roundtrip.screen import Canvas, Screen

TICK_S = 0.1
STATUS_S = 0.5
PAGE = 5
"""Lines."""


class Source(Protocol):
    """A station, in process or elsewhere."""

    async def status(self) -> Event:
        """As `Desk.status`."""

    async def earlier(self, number: int) -> list[Event]:
        """The latest outcomes, the newest first."""

    def events(self) -> AsyncIterator[Event]:
        """Those that are kept, then the new ones."""

    async def ask(self, text: str) -> None:
        """Ask a question."""

    async def cancel(self, key: str) -> None:
        """Give one up."""


class AtTheDesk:
    """The station of this process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def status(self) -> Event:
        """How it does."""
        return self._desk.status()

    async def earlier(self, number: int) -> list[Event]:
        """The latest outcomes, the newest first."""
        return self._desk.answers(number)

    def events(self) -> AsyncIterator[Event]:
        """Those that are kept, then the new ones."""
        return self._desk.events(0)

    async def ask(self, text: str) -> None:
        """Ask a question."""
        self._desk.ask(Request(text))

    async def cancel(self, key: str) -> None:
        """Give one up."""
        self._desk.cancel(key)


class FullScreen:
    """One view of one station.

    Args:
        source: the station.
        name: of what it runs.
        screen: a terminal, see `Screen.is_full`.
        stop: called when the person wants to go.
    """

    def __init__(self, source: Source, name: str, screen: Screen, stop: Callable[[], None]) -> None:
        self._source = source
        self._view = View(name)
        self._screen = screen
        self._canvas = Canvas(screen)
        self._stop = stop
        self._looking = Looking()
        self._line = Line()
        self._keys = Keys()
        self._loop = asyncio.get_running_loop()
        self._told_s = 0.0
        """When the status was told, by the loop's clock."""
        self._quiet = True
        """No byte of a key came since the last tick."""
        self._asking: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Show it until cancelled."""
        with _keyboard(self._typed), self._canvas, _resized(self._redraw):
            tasks = [background(work) for work in (self._follow(), self._ask_status())]
            try:
                while True:
                    self._draw()
                    await asyncio.sleep(TICK_S)
                    if self._quiet:
                        self._press(self._keys.flush())
                    self._quiet = True
            finally:
                for task in [*tasks, *self._asking]:
                    task.cancel()

    async def _follow(self) -> None:
        """The events; anew from the first one kept where a connection broke."""
        while True:
            try:
                self._view.earlier(await self._source.earlier(KEPT_QUESTIONS))
                async for event in self._source.events():
                    self._view.take(event)
                said = "the station ended"
            except GroundloopError as error:
                said = str(error)
            self._view = View(self._view.name)
            self._view.note(said)
            await asyncio.sleep(1)

    async def _ask_status(self) -> None:
        while True:
            try:
                self._view.status = await self._source.status()
                self._told_s = self._loop.time()
            except GroundloopError:
                self._view.status = {}
            await asyncio.sleep(STATUS_S)

    @property
    def _now_s(self) -> float | None:
        """On the plan's clock."""
        told_s: float | None = self._view.status.get("clock_s")
        return None if told_s is None else told_s + self._loop.time() - self._told_s

    def _draw(self) -> None:
        width, height = self._size()
        frame = draw(self._view, self._looking, self._line, self._now_s, width, height)
        self._canvas.show(frame.lines, frame.cursor)

    def _size(self) -> tuple[int, int]:
        try:
            width, height = os.get_terminal_size(self._screen.file.fileno())
        except OSError:
            return 80, 24
        return width, height

    def _redraw(self) -> None:
        self._canvas.forget()
        self._draw()

    # -- keys --------------------------------------------------------------------------------------

    def _typed(self, data: bytes) -> None:
        self._quiet = False
        if not data:  # the terminal is gone
            self._stop()
        self._press(self._keys.feed(data))
        self._draw()

    def _press(self, keys: list[str]) -> None:
        for key in keys:
            self._looking.note = ""
            match key:
                case "enter":
                    if text := self._line.take():
                        self._start(self._ask(text))
                case "up" | "down":
                    self._choose(1 if key == "down" else -1)
                case "page up" | "page down":
                    self._scroll(up=key == "page up")
                case "give up":
                    self._give_up()
                case "redraw":
                    self._redraw()
                case "end of input":
                    if not self._line.text:
                        self._stop()
                case _:
                    self._line.press(key)

    def _choose(self, step: int) -> None:
        keys = [one.key for one in self._view.rows(KEPT_QUESTIONS)]
        if not keys:
            return
        at = keys.index(self._looking.chosen) if self._looking.chosen in keys else 0
        to = at + step
        self._looking.scroll = 0
        self._looking.chosen = keys[min(to, len(keys) - 1)] if to > 0 else None

    def _scroll(self, *, up: bool) -> None:
        one = self._view.questions.get(self._looking.chosen or "")
        one = one or next(iter(self._view.rows(1)), None)
        from_the_end = one is not None and not one.outcome
        step = PAGE if up == from_the_end else -PAGE
        self._looking.scroll = max(0, self._looking.scroll + step)

    def _give_up(self) -> None:
        chosen = self._looking.chosen
        one = self._view.questions.get(chosen or "") or next(iter(self._view.rows(1)), None)
        if one is None or one.outcome:
            self._looking.note = "nothing to give up: choose an open question"
            return
        self._start(self._cancel(one.key))

    def _start(self, work: asyncio.Task[None]) -> None:
        self._asking.add(work)
        work.add_done_callback(self._asking.discard)

    def _ask(self, text: str) -> asyncio.Task[None]:
        async def ask() -> None:
            try:
                await self._source.ask(text)
                self._looking.chosen = None
                self._looking.scroll = 0
            except GroundloopError as error:
                self._looking.note = f"not asked: {error}"
                self._line.put_back(text)

        return background(ask())

    def _cancel(self, key: str) -> asyncio.Task[None]:
        async def cancel() -> None:
            try:
                await self._source.cancel(key)
            except GroundloopError as error:
                self._looking.note = str(error)

        return background(cancel())


@contextlib.contextmanager
def _keyboard(typed: Callable[[bytes], None]) -> Iterator[None]:
    """Keys come as they are pressed, and are not echoed; signals stay."""
    loop = asyncio.get_running_loop()
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    changed = termios.tcgetattr(number)
    changed[0] &= ~(termios.IXON | termios.ICRNL)
    changed[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
    for place, value in ((termios.VMIN, 1), (termios.VTIME, 0)):
        changed[6][place] = value
    with contextlib.suppress(OSError, ValueError):
        changed[6][termios.VSUSP] = os.fpathconf(number, "PC_VDISABLE").to_bytes(1, "big")
    try:
        termios.tcsetattr(number, termios.TCSAFLUSH, changed)
    except termios.error as error:
        raise EnvironmentFault("set the terminal", str(error), "use --ui plain") from None

    def read() -> None:
        try:
            data = os.read(number, 65_536)
        except OSError:
            data = b""
        if not data:
            loop.remove_reader(number)
        typed(data)

    loop.add_reader(number, read)
    try:
        yield
    finally:
        loop.remove_reader(number)
        termios.tcsetattr(number, termios.TCSAFLUSH, before)


@contextlib.contextmanager
def _resized(redraw: Callable[[], None]) -> Iterator[None]:
    """While inside, a new size of the terminal is drawn for."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, redraw)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
