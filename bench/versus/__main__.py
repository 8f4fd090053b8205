"""`make versus`: every contender on every link, and the tables of docs/versus.md.

    python -m bench.versus [--links NAME,…] [--contenders NAME;…] [--count N] [--page FILE]

Linux, root; mosquitto, and pip install -e '.[dev]'. All contenders of a link run at the same time,
each over a link of its own with the same seed: what one costs the others, all cost each other.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.versus.links import BUDGET_S, CASES, COUNT, START_S, LinkCase
from bench.versus.page import page_of, table_of
from models.resolve import resolve

PY = sys.executable
RESULTS = Path(__file__).parent / "results"
SEED = 1
END_S = 25.0
"""After the last question's budget."""
MOSQUITTO = "listener 1883 10.42.0.1\nallow_anonymous true\nmax_queued_messages 1000\n"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one contender runs on one link."""

    case: LinkCase
    folder: Path
    questions: Path
    number: int
    """Of the cell: for ports and names."""
    count: int
    """Questions."""

    @property
    def scenario(self) -> str:
        return str(self.folder / "scenario.toml")


Commands = list[list[str]]


def _relay(place: Place) -> Commands:
    base = 20_000 + 4 * place.number
    ends = [f"tcp://127.0.0.1:{base + at}" for at in range(2)]
    return [
        [PY, "-m", "link_sim", place.scenario, "--ground", ends[0], "--node", ends[1],
         "--frames", str(place.folder / "frames.jsonl")],
        _guarded(place, [PY, "-m", "node", "--scenario", place.scenario, "--link", ends[1],
                         "--store", str(place.folder / "node.sqlite")]),
        [PY, "-m", "ground", place.scenario, "--link", ends[0], "--wait", "60",
         "--out", str(place.folder / "run")],
    ]  # fmt: skip


def _guarded(place: Place, command: list[str]) -> list[str]:
    reset_s = place.case.reset_s
    return [PY, "-m", "bench.versus.served", "guard", str(reset_s), "--", *command]


def _over_tun(place: Place, ground: list[str], node: list[str]) -> Commands:
    return [
        [PY, "-m", "link_sim", place.scenario, "--tun", "--name", f"vs{os.getpid()}-{place.number}",
         "--frames", str(place.folder / "frames.jsonl"),
         "--", "ground:", *ground, "--", "node:", *_guarded(place, node)],
    ]  # fmt: skip


def _udp(place: Place) -> Commands:
    node = [
        PY, "-m", "node", "--scenario", place.scenario, "--link", "udp://10.42.0.1:1113",
        "--listen", "10.42.0.2:1113", "--store", str(place.folder / "node.sqlite"),
    ]  # fmt: skip
    ground = [
        PY, "-m", "ground", place.scenario, "--link", "udp://10.42.0.2:1113", "--listen",
        "10.42.0.1:1113", "--wait", "60", "--out", str(place.folder / "run"),
    ]  # fmt: skip
    return _over_tun(place, ground, node)


def _client(kind: str, place: Place) -> list[str]:
    return [
        PY, "-m", "bench.versus.client", kind, str(place.questions), str(place.case.per_min),
        str(START_S), str(time.monotonic()), str(place.folder / "loops.jsonl"),
    ]  # fmt: skip


def _server(place: Place, host: str) -> list[str]:
    """The node's model, threads and context; it does not think first, as the others' do not."""
    model = {
        "model": str(resolve("builtin")), "n_ctx": 1024, "n_threads": 1, "n_threads_batch": 1,
        "chat_template_kwargs": {"enable_thinking": False}, "verbose": False,
    }  # fmt: skip
    config = place.folder / "server.json"
    config.write_text(json.dumps({"host": host, "port": 8000, "models": [model]}))
    return [PY, "-m", "llama_cpp.server", "--config_file", str(config)]


def _http(kind: str) -> Callable[[Place], Commands]:
    return lambda place: _over_tun(place, _client(kind, place), _server(place, "10.42.0.2"))


def _by_worker(kind: str, before: str = "") -> Callable[[Place], Commands]:
    def commands(place: Place) -> Commands:
        (place.folder / "mosquitto.conf").write_text(MOSQUITTO)
        server = " ".join(_server(place, "127.0.0.1"))
        node = ["sh", "-c", f"{server} & exec {PY} -m bench.versus.served {kind}"]
        ground = _client(kind, place)
        if before:
            begin = before.format(folder=place.folder)
            ground = ["sh", "-c", f"{begin} & sleep 1; exec {' '.join(ground)}"]
        return _over_tun(place, ground, node)

    return commands


CONTENDERS: dict[str, Callable[[Place], Commands]] = {
    "groundloop": _relay,
    "groundloop, UDP": _udp,
    "openai": _http("openai"),
    "openai, streaming": _http("openai-stream"),
    "HTTP, retried": _http("http-retry"),
    "MQTT QoS 2": _by_worker("mqtt", "mosquitto -c {folder}/mosquitto.conf"),
    "ZeroMQ, lazy pirate": _by_worker("zmq"),
}


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
        executed = log.count("executed\n") or log.count('POST /v1/chat/completions HTTP/1.1" 200')
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
            "twice": None if "groundloop" in self.name else max(0, executed - len(answered)),
            "compute_s": self._compute_s(),
            "loops_s": [
                None if loop["loop_s"] is None else round(loop["loop_s"], 3) for loop in loops
            ],
        }

    def _compute_s(self) -> float | None:
        """The median of what inference took, of ours."""
        run = self.place.folder / "run" / "loops.jsonl"
        if not run.exists():
            return None
        records = (json.loads(line) for line in run.read_text().splitlines())
        took = [
            (one["phases_ns"]["prefill"] + one["phases_ns"]["decode"]) / 1e9
            for one in records
            if one["outcome"] == "on_time"
        ]
        return statistics.median(took) if took else None

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


def _of_case(
    case: LinkCase, folder: Path, questions: Path, count: int, names: list[str]
) -> list[dict[str, Any]]:
    cells = [
        _begin(name, Place(case, folder / case.name / f"{at}", questions, at, count))
        for at, name in enumerate(names)
    ]
    limit = time.monotonic() + case.last_s(count) + BUDGET_S + END_S
    while time.monotonic() < limit and not all(cell.done for cell in cells):
        time.sleep(0.5)
    for cell in cells:
        cell.end()
    return [cell.result() for cell in cells]


def main() -> int:
    """Run what is asked for, and print the tables."""
    parser = argparse.ArgumentParser(description="groundloop beside others, on the same links")
    parser.add_argument("--links", default=",".join(case.name for case in CASES))
    parser.add_argument("--contenders", default=";".join(CONTENDERS))
    parser.add_argument("--count", type=int, default=COUNT, help="questions of each")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, help="write docs/versus.md anew from what is kept")
    options = parser.parse_args()
    cases = [case for case in CASES if case.name in options.links.split(",")]
    names = [name for name in CONTENDERS if name in options.contenders.split(";")]
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        questions = folder / "questions.jsonl"
        said = subprocess.run(
            [PY, "-m", "testbed", "models", "questions", "--n", str(options.count), "--seed", "5"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        questions.write_text(said.stdout)
        for case in cases:
            begun = time.monotonic()
            results = _of_case(case, folder, questions, options.count, names)
            kept = {"link": case.name, "machine": f"{platform.machine()}, {os.cpu_count()} cores",
                    "results": results}  # fmt: skip
            (options.out / f"{case.name}.json").write_text(json.dumps(kept) + "\n")
            print(table_of(case, results))
            print(f"({time.monotonic() - begun:.0f} s)\n", flush=True)
    if options.page is not None:
        options.page.write_text(page_of(options.out, options.page.parent / "pictures"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
