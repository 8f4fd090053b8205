"""The table of conformance, played over UDP to a node of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.conformance.table import rows
from tests.live.test_udp import SCENARIO, unused_port

pytestmark = pytest.mark.live
ROOT = Path(__file__).parents[2]


def test_a_node_answers_as_the_standards_say_and_goes_on(start, tmp_path) -> None:
    node, player = (f"127.0.0.1:{unused_port(2, '127.0.0.1')}" for _ in range(2))
    scenario = tmp_path / "udp.toml"
    scenario.write_text(SCENARIO)
    receiver = start(
        "node", "--scenario", str(scenario), "--link", f"udp://{player}", "--listen", node,
        "--store", str(tmp_path / "node.sqlite"), "--plain",
    )  # fmt: skip
    receiver.wait_for("engine ready", 60)
    played = subprocess.run(
        [
            *[sys.executable, "-m", "tests.interop.conformance"],
            *["--send", f"udp://{node}", "--listen", player, "--wait", "0.3"],
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert played.returncode == 0, played.stdout + played.stderr
    *_, last = played.stdout.splitlines()
    assert last.startswith(f"{len(rows())} rows: ")
    assert " 0 not as the standard says" in last
    assert int(last.split()[2]) > 150, last
    receiver.process.terminate()
    assert receiver.wait() == 0, receiver.output()
