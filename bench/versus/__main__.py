"""`make versus`: every contender on every link, and the tables of docs/versus.md.

    python -m bench.versus [--links NAME,…] [--contenders NAME;…] [--count N] [--page FILE]

Linux, root; mosquitto, openssl, OpenSSH, and pip install -e '.[dev,versus]'. Half of the contenders
of a link run at the same time, each over a link of its own with the same seed, and ask in turn;
then the others. What one costs the others, all cost each other. Before each link llama.cpp alone
is asked the same questions, so that the physical limit is the machine's.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.versus.contenders import CONTENDERS, PY, Place, check, configure
from bench.versus.links import BUDGET_S, CASES, COUNT, LinkCase
from bench.versus.page import page_of, table_of
from roundtrip.errors import EnvironmentFault

RESULTS = Path(__file__).parent / "results"
SEED = 1
END_S = 25.0
"""After the last question's budget."""
FEW_PER_MIN = 20
"""Questions that leave the processors idle most of the time."""
EXECUTED = (
    re.compile(r"^executed$", re.MULTILINE),
    re.compile(r'"POST /v1/chat/completions [^"]*" 200'),
    re.compile(r"Starting session: command"),
)
"""In a contender's log; what comes first counts."""


@dataclass(slots=True)
class Cell:
    """A contender on a link, running."""

    name: str
    place: Place
    processes: list[subprocess.Popen[bytes]]

    @property
    def done(self) -> bool:
        """The ground has all outcomes."""
        return self.processes[-1].poll() is not None

    def end(self) -> None:
        """Stop what still runs."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self.processes:
                if process.poll() is None:
                    process.send_signal(number)
            deadline = time.monotonic() + 15
            while time.monotonic() < deadline and any(p.poll() is None for p in self.processes):
                time.sleep(0.1)

    def result(self) -> dict[str, Any]:
        """What came of it."""
        loops = self._loops()
        answered = sorted(loop["loop_s"] for loop in loops if loop["loop_s"] is not None)
        in_time = [loop_s for loop_s in answered if loop_s <= BUDGET_S]
        log = (self.place.folder / "log").read_text(errors="replace")
        executed = next((n for one in EXECUTED if (n := len(one.findall(log)))), 0)
        sent = 0
        for line in (self.place.folder / "frames.jsonl").read_text().splitlines():
            if line:
                frame = json.loads(line)
                sent += frame["size_bytes"] if frame["tx_start_ns"] is not None else 0
        return {
            "contender": self.name,
            "asked": self.place.count,
            "in_time": len(in_time),
            "right": sum(bool(loop["right"]) for loop in loops),
            "p50_s": _quantile(in_time, 0.5, self.place.count),
            "p90_s": _quantile(in_time, 0.9, self.place.count),
            "p99_s": _quantile(in_time, 0.99, self.place.count),
            "bytes_per_answer": sent / len(in_time) if in_time else None,
            "twice": max(0, executed - len(answered)),
            "loops_s": [
                None if loop["loop_s"] is None else round(loop["loop_s"], 3) for loop in loops
            ],
        }

    def _loops(self) -> list[dict[str, Any]]:
        run = self.place.folder / "run" / "loops.jsonl"
        if not run.exists():
            path = self.place.folder / "loops.jsonl"
            text = path.read_text() if path.exists() else ""
            return [json.loads(line) for line in text.splitlines()]
        records = [json.loads(line) for line in run.read_text().splitlines()]
        return [
            {
                "index": one["index"],
                "loop_s": one["loop_ns"] / 1e9 if one["outcome"] in ("on_time", "late") else None,
                "right": one.get("correct") is True,
            }
            for one in records
        ]


def _quantile(in_time: list[float], share: float, count: int) -> float | None:
    """Of all that were asked: what was not answered took longer than any."""
    place = math.ceil(share * count) - 1
    return in_time[place] if place < len(in_time) else None


def _begin(name: str, place: Place) -> Cell:
    place.folder.mkdir(parents=True)
    place.case.write(Path(place.scenario), place.questions, place.count, SEED)
    log = (place.folder / "log").open("wb")
    processes = [
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        for command in CONTENDERS[name](place)
    ]
    return Cell(name, place, processes)


def _batches(case: LinkCase, names: list[str]) -> list[list[str]]:
    """Contenders that run at the same time; on a link with few questions it is all of them."""
    half = -(-len(names) // 2) if case.per_min > FEW_PER_MIN and len(names) > 2 else len(names)
    return [names[:half], names[half:]] if half < len(names) else [names]


def _of_case(
    case: LinkCase, folder: Path, questions: Path, count: int, names: list[str]
) -> list[dict[str, Any]]:
    cells: list[Cell] = []
    begun = time.monotonic()
    try:
        for at, name in enumerate(names):
            # one after the other, so that their questions do not come at the same moments
            time.sleep(max(0.0, begun + at * 60 / case.per_min / len(names) - time.monotonic()))
            cells.append(
                _begin(
                    name,
                    Place(
                        case, folder / case.name / re.sub(r"\W+", "-", name), questions, at, count
                    ),
                )
            )
        limit = time.monotonic() + case.last_s(count) + BUDGET_S + END_S
        while time.monotonic() < limit and not all(cell.done for cell in cells):
            time.sleep(0.5)
    finally:
        for cell in cells:
            cell.end()
    return [cell.result() for cell in cells]


def _alone(folder: Path, questions: Path) -> dict[str, float]:
    """What llama.cpp takes for a question when it does nothing else."""
    configure(folder, "")
    command = [PY, "-m", "bench.versus.served", "raw", str(folder), str(questions)]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(said.stdout)
    return found


def _machine() -> str:
    """Which one this is."""
    cores = f"{platform.machine()}, {os.cpu_count()} cores"
    with suppress(OSError):
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        return f"{found[1]} ({cores})" if found else cores
    return cores


def main() -> int:
    """Run what is asked for, and print the tables."""
    parser = argparse.ArgumentParser(description="groundloop beside others, on the same links")
    parser.add_argument("--links", default=",".join(case.name for case in CASES))
    parser.add_argument("--contenders", default=";".join(CONTENDERS))
    parser.add_argument("--count", type=int, default=COUNT, help="questions of each")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--logs", type=Path, help="keep here what every contender wrote")
    parser.add_argument("--page", type=Path, help="write docs/versus.md anew from what is kept")
    options = parser.parse_args()
    cases = [case for case in CASES if case.name in options.links.split(",")]
    names = [name for name in CONTENDERS if name in options.contenders.split(";")]
    if cases:
        os.environ["PATH"] += ":/usr/sbin:/sbin"  # where Debian has daemons
        try:
            check(names)
        except EnvironmentFault as fault:
            parser.exit(1, f"{fault}\n")
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if options.logs is None else options.logs.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        questions = folder / "questions.jsonl"
        said = subprocess.run(
            [PY, "-m", "testbed", "models", "questions", "--n", str(options.count), "--seed", "5"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        questions.write_text(said.stdout)
        for case in cases:
            begun = time.monotonic()
            alone = _alone(folder, questions)
            results = [
                result
                for batch in _batches(case, names)
                for result in _of_case(case, folder, questions, options.count, batch)
            ]
            kept = {
                "link": case.name,
                "machine": _machine(),
                "took_s": round(time.monotonic() - begun),
                "alone": alone,
                "results": results,
            }
            (options.out / f"{case.name}.json").write_text(json.dumps(kept) + "\n")
            print(table_of(case, results))
            print(f"({kept['took_s']} s)\n", flush=True)
    if options.page is not None:
        options.page.write_text(page_of(options.out, options.page.parent / "pictures"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
