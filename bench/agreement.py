"""The same scenario live, in virtual time, and there with real answers: do the loop distributions
agree?

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
from typing import Any

from bench.row import Row
from ground.results.histogram import quantiles_ms

SEEDS = {"demo": (1, 2), "leo-pass": (1,)}
MODES = {"live": [], "virtual": ["--virtual"], "real": ["--virtual", "--engine", "real"]}
REACH = {"virtual": {"p50": 0.05, "p90": 0.10}, "real": {"p50": 0.03, "p90": 0.05}}


def rows() -> list[Row]:
    """How far p50 and p90 of the loop are apart, for each scenario: about ten minutes."""
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        for scenario, seeds in SEEDS.items():
            loops: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
            for seed in seeds:
                for mode, flags in MODES.items():
                    out = Path(name) / f"{scenario}-{seed}-{mode}"
                    loops[mode] += _loops(scenario, seed, flags, out)
            quantiles = {
                mode: quantiles_ms([loop["loop_ns"] for loop in some])
                for mode, some in loops.items()
            }
            for mode, reaches in REACH.items():
                for quantile, reach in reaches.items():
                    live, other = quantiles["live"][quantile], quantiles[mode][quantile]
                    assert live is not None
                    assert other is not None
                    note = f"live {live:,.1f} ms, {mode} {other:,.1f} ms, {len(loops[mode])} loops"
                    what = f"{mode} against live, {scenario}: {quantile} of the loop is off by"
                    found.append(Row(what, abs(other / live - 1), "", reach, False, note))
            pairs = zip(loops["live"], loops["real"], strict=True)
            same = sum(live["answer"] == real["answer"] for live, real in pairs)
            what = f"real against live, {scenario}: the same texts"
            found.append(Row(what, same / len(loops["live"]), "share", 1, True))
    return found


def _loops(scenario: str, seed: int, flags: list[str], out: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "testbed", "run", scenario, "--seed", str(seed), *flags]
    subprocess.run([*command, "--out", str(out)], check=True, capture_output=True)
    lines = (out / "loops.jsonl").read_text().splitlines()
    loops = [json.loads(line) for line in lines]
    assert all(loop["loop_ns"] is not None for loop in loops), "every question is answered"
    return loops
