"""Real processes on loopback, with the `tiny` model. Each test has a folder of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
CI_SCENARIO = ROOT / "tests" / "data" / "ci.toml"
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled once, as where it is installed


class Program:
    """A `groundloop` command that runs."""

    def __init__(self, arguments: list[str], folder: Path, keys: Path, clock_s: int) -> None:
        self.out = folder / "stdout"
        self.err = folder / "stderr"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=os.environ
                | {
                    "COLUMNS": "200",
                    "GROUNDLOOP_KEYS": str(keys),
                    "GROUNDLOOP_TEST_CLOCK_OFFSET_S": str(clock_s),
                },
            )

    def wait(self, limit_s: float = 90) -> int:
        """Its exit code."""
        return self.process.wait(limit_s)

    def output(self) -> str:
        """What it has written so far."""
        return self.out.read_text() + self.err.read_text()

    def wait_for(self, text: str, limit_s: float = 30) -> None:
        """Wait until it has written `text`."""
        end = time.monotonic() + limit_s
        while text not in self.output():
            assert time.monotonic() < end, f"no {text!r} in:\n{self.output()}"
            assert self.process.poll() is None, f"ended:\n{self.output()}"
            time.sleep(0.02)

    def family(self) -> list[psutil.Process]:
        """Its child processes, and theirs."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def member(self, word: str, limit_s: float = 20) -> psutil.Process:
        """The descendant with `word` in its command line."""
        end = time.monotonic() + limit_s
        while True:
            for process in self.family():
                if word in " ".join(process.cmdline()):
                    return process
            assert time.monotonic() < end, f"no {word}"
            time.sleep(0.02)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Start a command, with a wall clock that is so far ahead; whatever still runs at the end of
    the test is killed."""
    programs: list[Program] = []

    def begin(*arguments: str, keys: str = "keys.toml", clock_s: int = 0) -> Program:
        folder = tmp_path / f"program-{len(programs)}"
        folder.mkdir()
        programs.append(Program(list(arguments), folder, tmp_path / keys, clock_s))
        return programs[-1]

    yield begin
    for program in programs:
        if program.process.poll() is None:
            family = program.family()
            program.process.send_signal(signal.SIGKILL)
            program.process.wait()
            psutil.wait_procs(family, timeout=10)


@pytest.fixture
def ci_scenario() -> Path:
    return CI_SCENARIO


@pytest.fixture
def near(tmp_path: Path) -> Path:
    """A scenario without loss, for a station that stands."""
    path = tmp_path / "near.toml"
    way = "rate_bps = 64_000\none_way_delay_ms = 20\n"
    path.write_text(
        f"[link.uplink]\n{way}[link.downlink]\n{way}"
        '[workload]\nquestions = ["?"]\ncount = 1\nmax_tokens = 60\ntemperature = 0\n'
        '[node]\nmodel = "builtin"\nthreads = 1\ncontext = 1024\n'
    )
    return path


@pytest.fixture
def port_of() -> Callable[..., str]:
    """The port of a station that was started, once its link is up."""

    def find(program, until: str = "carrier up") -> str:
        program.wait_for("ledger in")
        found = re.search(r"http://127\.0\.0\.1:(\d+)", program.output())
        assert found is not None
        program.wait_for(until)
        return found[1]

    return find
