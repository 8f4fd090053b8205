"""How long the command line takes to begin: to its list of commands, and to the first event of a
run in virtual time. Each in a process of its own, with bytecode there already."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time

from bench.row import Row

RUNS = 11
TO_THE_FIRST_EVENT = """
import os
from roundtrip.drive.virtual import VirtualClock
from testbed.__main__ import main

VirtualClock.run = lambda *args, **options: os._exit(0)
main()
"""


def rows() -> list[Row]:
    """Seconds from start to end of the process, the median of several."""
    with tempfile.TemporaryDirectory() as folder:
        run = ["run", "leo-pass", "--virtual", "--out", folder]
        return [
            _row("start: groundloop --help", ["-m", "testbed", "--help"], 0.25),
            _row(
                "start: groundloop run leo-pass --virtual, to its first event",
                ["-c", TO_THE_FIRST_EVENT, *run],
                0.6,
            ),
        ]


def _row(name: str, arguments: list[str], reach_s: float) -> Row:
    seconds = []
    for _ in range(RUNS + 1):
        begin = time.perf_counter()
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.perf_counter() - begin)
    return Row(name, statistics.median(seconds[1:]), "s", reach_s, at_least=False)
