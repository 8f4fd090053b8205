"""The full-screen view in a real pseudo-terminal: asked, answered, and left as it was."""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
WITH_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


class Terminal:
    """A terminal with a program that runs in it, as a person sees it."""

    def __init__(self, words: tuple[str, ...], folder: Path, *, width: int, height: int) -> None:
        pyte = pytest.importorskip("pyte")
        self._mine, self._theirs = os.openpty()
        self.resize(width, height)
        self._screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self._screen)
        self.before = termios.tcgetattr(self._theirs)
        self.sent = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", WITH_TERMINAL, "-m", "testbed", *words],
            cwd=ROOT,
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            start_new_session=True,
            env={
                **{name: value for name, value in os.environ.items() if name != "COLUMNS"},
                "TERM": "xterm-256color",
                "GROUNDLOOP_KEYS": str(folder / "keys.toml"),
            },
        )

    def resize(self, width: int, height: int) -> None:
        size = struct.pack("HHHH", height, width, 0, 0)
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, size)
        if hasattr(self, "_screen"):
            self._screen.resize(height, width)

    @property
    def text(self) -> str:
        return "\n".join(self._screen.display)

    def read(self, limit_s: float) -> None:
        if select.select([self._mine], [], [], limit_s)[0]:
            data = os.read(self._mine, 65_536)
            self.sent += data
            self._stream.feed(data)

    def wait_for(self, words: str, limit_s: float = 30) -> None:
        end = time.monotonic() + limit_s
        while not re.search(words, self.text):
            assert time.monotonic() < end, f"no {words!r} in:\n{self.text}"
            self.read(0.1)

    def type(self, text: str) -> None:
        os.write(self._mine, text.encode())

    def ended(self, limit_s: float = 30) -> int:
        """Its exit code."""
        end = time.monotonic() + limit_s
        while self.process.poll() is None:
            assert time.monotonic() < end, self.text
            self.read(0.05)
        self.read(0.05)
        return self.process.returncode

    @property
    def after(self) -> list[object]:
        """How the terminal is set now."""
        return termios.tcgetattr(self._theirs)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._mine)
        os.close(self._theirs)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    terminals: list[Terminal] = []

    def begin(*words: str, width: int = 80, height: int = 24) -> Terminal:
        terminals.append(Terminal(words, tmp_path, width=width, height=height))
        return terminals[-1]

    yield begin
    for one in terminals:
        one.close()


def test_a_person_asks_sees_the_answer_and_goes(terminal, near: Path, tmp_path: Path) -> None:
    station = terminal("up", str(near), "--port", "0", "--out", str(tmp_path / "run"))
    station.wait_for("carrier up")
    station.wait_for("node: groundloop telemetry")
    found = re.search(r"127\.0\.0\.1:(\d+)", station.text)
    assert found is not None
    station.type("Whaat\x7f\x7f\x7fat is EPS.VBAT?")
    station.wait_for(r"> What is EPS\.VBAT\?")
    station.type("\r")
    station.wait_for("#0 on time")
    assert re.search(r"▸#0 What is EPS\.VBAT\?.*\d\.\d\d\b", station.text)
    station.wait_for("1/1 in time")
    answer = re.search(r"── #0: .*\n *(\S.*\S)", station.text)
    assert answer is not None

    watcher = terminal("watch", "--port", found[1], width=120, height=40)
    watcher.wait_for(re.escape(answer[1]))
    watcher.type("Still there?\r")
    watcher.wait_for("#1 on time")
    station.wait_for("#1 on time")
    watcher.type("\x04")
    assert watcher.ended() == 0, watcher.text
    assert watcher.after == watcher.before

    station.resize(132, 43)
    station.wait_for("── questions, s since asked ─────")
    station.type("\x03")
    assert station.ended() == 0, station.text
    assert station.after == station.before
    assert b"\x1b[?1049h" in station.sent
    assert b"\x1b[?25h" in station.sent.rpartition(b"\x1b[?1049l")[0][-40:]
    assert b"stopped; what is open goes on" in station.sent.rpartition(b"\x1b[?1049l")[2]


def test_a_station_that_is_gone_is_tried_again(terminal, start, near, port_of, tmp_path) -> None:
    words = ("testbed", "up", str(near), "--out", str(tmp_path / "run"), "--port")
    program = start(*words, "0")
    port = port_of(program)
    watcher = terminal("watch", "--port", port)
    watcher.wait_for("carrier up")
    program.process.send_signal(signal.SIGINT)
    assert program.wait() == 0, program.output()
    watcher.wait_for("no station")
    watcher.type("Well?\r")
    watcher.wait_for("not asked: .*nobody answers")
    assert "> Well?" in watcher.text, "what could not be asked is not lost"
    port_of(start(*words, port))
    watcher.wait_for("carrier up")
    watcher.type("\r")
    watcher.wait_for("#0 on time")
    watcher.process.send_signal(signal.SIGTERM)
    assert watcher.ended() == 0, watcher.text
    assert watcher.after == watcher.before


def test_without_a_view_every_event_is_a_line_of_json(start, near, port_of, tmp_path) -> None:
    words = ("testbed", "up", str(near), "--port", "0", "--out", str(tmp_path / "run"))
    program = start(*words, "--ui", "none", "--workload")
    program.wait_for('"settled"')
    program.process.send_signal(signal.SIGINT)
    assert program.wait() == 0, program.output()
    events = [json.loads(line) for line in program.out.read_text().splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "note"
    assert "http://127.0.0.1:" in events[0]["text"]
    assert {"asked", "stage", "carrier", "health", "settled"} <= set(kinds)
    assert kinds.index("asked") < kinds.index("stage") < kinds.index("settled")
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    assert program.err.read_text() == ""


def test_where_nothing_can_be_drawn_it_says_so(start, near, tmp_path) -> None:
    for words in (("up", str(near), "--ui", "full"), ("watch",)):
        program = start("testbed", *words)
        assert program.wait() == 104
        (line,) = program.output().splitlines()
        assert "terminal" in line
