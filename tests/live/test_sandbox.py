"""Tools in processes of their own: what hangs, prints without end, or wants the network."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from node.board.errands import Job
from node.board.sandbox import run, run_all
from roundtrip.units import NS_PER_S

pytestmark = pytest.mark.live

FRAME = {"at_ns": 0, "light": "SUN", "values": {"A": "1"}, "units": {"A": "V"}}


def result(job: Job, limit_s: float = 10.0, max_bytes: int = 4096) -> str:
    return asyncio.run(run(job, round(limit_s * NS_PER_S), max_bytes))


def program(code: str, **arguments: object) -> Job:
    return Job("a.program", (sys.executable, "-c", code), arguments, {})


def test_our_own_tools_run_there() -> None:
    view = {"frames": [FRAME], "channels": []}
    assert result(Job("telemetry.read", (), {"channels": ["A"]}, view)) == "SUN\nA 1 V"
    assert result(Job("time.now", (), {}, {"time": "2026"})) == "2026"


def test_a_file_is_read_there(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    view = {"folder": str(tmp_path), "max_bytes": 99}
    assert result(Job("files.read", (), {"name": "a.txt"}, view)) == "hello"


def test_a_program_gets_its_arguments_and_nothing_else() -> None:
    code = "import sys, os; print(sys.stdin.read(), sorted(os.environ))"
    said = result(program(code, to="you"))
    assert said.startswith('{"to": "you"} [')
    assert "HOME" not in said


def test_one_that_hangs_is_killed(tmp_path: Path) -> None:
    begin = time.monotonic()
    code = "import os, time\nif os.fork() == 0: time.sleep(60)\ntime.sleep(60)"
    assert result(program(code), limit_s=1.0) == "error: took longer than 1 s"
    assert time.monotonic() - begin < 10


def test_what_it_leaves_behind_is_killed_with_it(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.touch()
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        f"    while True: os.utime({str(mark)!r}); time.sleep(0.05)\n"
        "time.sleep(60)"
    )
    assert result(program(code), limit_s=1.0) == "error: took longer than 1 s"
    last_ns = mark.stat().st_mtime_ns
    time.sleep(0.5)
    assert mark.stat().st_mtime_ns == last_ns


def test_one_that_prints_without_end_is_cut() -> None:
    code = "while True: print('x' * 10_000)"
    assert result(program(code)) == "error: its output is longer than 4096 bytes"


def test_one_that_fails_says_so() -> None:
    assert result(program("raise SystemExit(7)")) == "error: it failed with exit code 7"
    missing = Job("a.program", ("/no/such/program",), {}, {})
    assert result(missing).startswith("error: it failed with exit code")


def test_there_is_no_network() -> None:
    """Not even the machine itself can be reached."""
    code = (
        "import socket\n"
        "server = socket.socket()\n"
        "try:\n"
        "    socket.create_connection(('127.0.0.1', PORT), timeout=2)\n"
        "    print('reached')\n"
        "except OSError as error: print('not reached:', type(error).__name__)"
    )
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        said = result(program(code.replace("PORT", str(port))))
    assert said.startswith(("not reached", "error: this machine cannot keep")), said


def test_no_file_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    code = f"open({str(path)!r}, 'w').write('x' * 100)"
    result(program(code))
    assert not path.exists() or path.stat().st_size == 0


def test_memory_has_an_end() -> None:
    code = "x = bytearray(3 << 30)"
    assert result(program(code)).startswith("error: it failed")


def test_calls_run_one_after_the_other() -> None:
    jobs = [Job("time.now", (), {}, {"time": "1"}), Job("rm", (), {}, {}, "no such tool")]
    assert asyncio.run(run_all(jobs, NS_PER_S * 9, 99)) == ["1", "error: no such tool"]
