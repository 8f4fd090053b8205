"""Ground and node face to face: LTP over UDP on loopback, secured."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

SCENARIO = """
[link.uplink]
rate_bps = 10_000_000
one_way_delay_ms = 0
[link.downlink]
rate_bps = 10_000_000
one_way_delay_ms = 0
[workload]
questions = ["What is the battery voltage?"]
count = 12
rate_per_min = 240
max_tokens = 8
[budget]
loop_s = 5
expire_s = 8
[node]
model = "tiny"
threads = 1
context = 512
"""


def unused_port(family: int, host: str) -> int:
    with socket.socket(family, socket.SOCK_DGRAM) as taken:
        taken.bind((host, 0))
        port: int = taken.getsockname()[1]
        return port


def start_both(
    start,
    tmp_path: Path,
    host: str,
    *,
    node_keys: str = "keys.toml",
    node_clock_s: int = 0,
    node_flags: tuple[str, ...] = (),
    patience: int = 1,
):
    """Node and ground; `patience` times the usual budget."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    shown = f"[{host}]" if ":" in host else host
    ground, node = (f"{shown}:{unused_port(family, host)}" for _ in range(2))
    scenario = tmp_path / "udp.toml"
    budget = f"loop_s = {5 * patience}\nexpire_s = {8 * patience}\n"
    scenario.write_text(SCENARIO.replace("loop_s = 5\nexpire_s = 8\n", budget))
    return start(
        "node", "--scenario", str(scenario), "--link", f"udp://{ground}", "--listen", node,
        "--store", str(tmp_path / "node.sqlite"), *node_flags,
        keys=node_keys, clock_s=node_clock_s,
    ), start(
        "ground", str(scenario), "--link", f"udp://{node}", "--listen", ground,
        "--out", str(tmp_path / "run"),
    )  # fmt: skip


def summary_of(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "run" / "summary.json").read_text())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_all_are_answered(start, tmp_path, host) -> None:
    node, ground = start_both(start, tmp_path, host)
    assert ground.wait() == 0, ground.output() + node.output()
    summary = summary_of(tmp_path)
    assert summary["outcomes"]["on_time"] == 12
    assert summary["rejected"] == {}
    node.process.terminate()
    assert node.wait() == 0, node.output()


def test_a_node_with_other_keys_takes_nothing_and_says_so(start, tmp_path) -> None:
    node, ground = start_both(start, tmp_path, "127.0.0.1", node_keys="other.toml")
    assert ground.wait() == 99, ground.output()
    assert summary_of(tmp_path)["outcomes"]["expired"] == 12
    assert "not taken: security: failed security operation" in node.output()
    assert "do both ends have the same key file?" in node.output()


def test_a_plain_question_is_not_taken_by_a_node_that_wants_it_signed(start, tmp_path) -> None:
    scenario = tmp_path / "udp.toml"
    node, ground = start_both(start, tmp_path, "127.0.0.1")
    ground.process.kill()
    ground.process.wait()
    link = ground.process.args[ground.process.args.index("--link") + 1]
    listen = ground.process.args[ground.process.args.index("--listen") + 1]
    plain = start(
        "ground", str(scenario), "--link", link, "--listen", listen,
        "--out", str(tmp_path / "plain"), "--plain",
    )  # fmt: skip
    node.wait_for("missing security operation", 60)
    assert plain.wait() == 99


def test_an_address_that_is_none(start, ci_scenario, tmp_path) -> None:
    for link, listen in (("udp://x:y", ":0"), ("udp://127.0.0.1", "1:2:3")):
        program = start(
            "ground", str(ci_scenario), "--link", link, "--listen", listen,
            "--out", str(tmp_path / "run"),
        )  # fmt: skip
        assert program.wait() == 104
        assert "HOST:PORT" in program.err.read_text()
