"""A small cell of `make versus`: two contenders, a few questions."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        sys.platform != "linux"
        or os.geteuid() != 0
        or not Path("/dev/net/tun").exists()
        or shutil.which("ip") is None
        or importlib.util.find_spec("uvicorn") is None,
        reason="needs Linux, root, /dev/net/tun, iproute2 and llama_cpp.server",
    ),
]


def test_both_answer_and_groundloop_takes_fewer_bytes(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "bench.versus", "--links", "clean", "--count", "6",
            "--contenders", "groundloop;HTTP, retried", "--out", str(tmp_path),
            "--page", str(tmp_path / "versus.md"),
        ],
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "clean.json").read_text())
    ours, http = kept["results"]
    assert (ours["in_time"], http["in_time"]) == (6, 6), done.stdout
    assert ours["right"] == http["right"] >= 5
    assert ours["bytes_per_answer"] < http["bytes_per_answer"] / 3
    page = (tmp_path / "versus.md").read_text()
    assert "## clean: low orbit" in page
    alone = kept["alone"]
    texts_s = alone["question_bytes"] / 8_000 + alone["answer_bytes"] / 125_000
    parts = f"(light 0.012, texts {texts_s:.3g}, inference {alone['inference_s']:.3g})"
    assert f"{parts}; groundloop's p50 by it: " in page
    assert (tmp_path / "pictures" / "versus-clean.png").stat().st_size > 10_000
