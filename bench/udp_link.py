"""The same questions over the relay without impairment and over UDP, secured, in alternation."""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.row import Row
from ground.results.histogram import quantiles_ms

SCENARIO = Path(__file__).parent / "face_to_face.toml"
TURNS = 4


def rows() -> list[Row]:
    """Ratio of the median and of the 90th percentile of the loop, UDP to relay."""
    relay: list[int] = []
    udp: list[int] = []
    with tempfile.TemporaryDirectory() as name:
        for turn in range(TURNS):
            relay += _over_relay(Path(name) / f"relay-{turn}")
            udp += _over_udp(Path(name) / f"udp-{turn}")
    a, b = quantiles_ms(relay), quantiles_ms(udp)
    assert a["p50"] is not None
    assert b["p50"] is not None
    assert a["p90"] is not None
    assert b["p90"] is not None
    means = f"{len(udp)} loops each, mean {_ms(udp):.1f} and {_ms(relay):.1f} ms"
    p90 = f"{b['p90']:.1f} and {a['p90']:.1f} ms"
    return [
        Row("loop over UDP / over the relay, p50", b["p50"] / a["p50"], "x", 1.1, False, means),
        Row("loop over UDP / over the relay, p90", b["p90"] / a["p90"], "x", 1.1, False, p90),
    ]


def _ms(durations_ns: list[int]) -> float:
    return statistics.fmean(durations_ns) / 1e6


def _over_relay(out: Path) -> list[int]:
    _groundloop("run", str(SCENARIO), "--out", str(out))
    return _loops(out)


def _over_udp(out: Path) -> list[int]:
    ground, node = (f"127.0.0.1:{_unused_port()}" for _ in range(2))
    link = ["--link", f"udp://{ground}", "--listen", node, "--store", f"{out}.sqlite"]
    satellite = subprocess.Popen(
        [sys.executable, "-m", "node", "--scenario", str(SCENARIO), *link],
        stdout=subprocess.DEVNULL,
    )
    try:
        there = ["--link", f"udp://{node}", "--listen", ground, "--out", str(out)]
        subprocess.run(
            [sys.executable, "-m", "ground", str(SCENARIO), *there],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    finally:
        satellite.terminate()
        satellite.wait()
    return _loops(out)


def _groundloop(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "testbed", *arguments], check=True, stdout=subprocess.DEVNULL
    )


def _loops(out: Path) -> list[int]:
    lines = (out / "loops.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert all(record["outcome"] == "on_time" for record in records)
    return [record["loop_ns"] for record in records]


def _unused_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
