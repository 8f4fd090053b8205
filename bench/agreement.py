"""The same scenario live and in virtual time: do the loop distributions agree?

Each pair has the same seed, so the same questions at the same moments; channel losses differ where
the order of frames does. The profile must have been measured on this machine while it was idle
(`groundloop bench node`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.row import Row
from ground.results.histogram import quantiles_ms

SEEDS = {"demo": (1, 2), "leo-pass": (1,)}
REACH = {"p50": 0.05, "p90": 0.10}


def rows() -> list[Row]:
    """How far p50 and p90 of the loop are apart, for each scenario: about ten minutes."""
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        for scenario, seeds in SEEDS.items():
            loops: dict[str, list[int]] = {"live": [], "virtual": []}
            for seed in seeds:
                for mode, flags in (("live", []), ("virtual", ["--virtual"])):
                    out = Path(name) / f"{scenario}-{seed}-{mode}"
                    loops[mode] += _loops(scenario, seed, flags, out)
            quantiles = {mode: quantiles_ms(times) for mode, times in loops.items()}
            for quantile, reach in REACH.items():
                live, virtual = quantiles["live"][quantile], quantiles["virtual"][quantile]
                assert live is not None
                assert virtual is not None
                note = f"live {live:,.1f} ms, virtual {virtual:,.1f} ms, {len(loops['live'])} loops"
                what = f"virtual against live, {scenario}: {quantile} of the loop is off by"
                found.append(Row(what, abs(virtual / live - 1), "", reach, False, note))
    return found


def _loops(scenario: str, seed: int, flags: list[str], out: Path) -> list[int]:
    command = [sys.executable, "-m", "testbed", "run", scenario, "--seed", str(seed), *flags]
    subprocess.run([*command, "--out", str(out)], check=True, capture_output=True)
    lines = (out / "loops.jsonl").read_text().splitlines()
    loops = [json.loads(line)["loop_ns"] for line in lines]
    assert all(loop is not None for loop in loops), "every question is answered"
    return loops
