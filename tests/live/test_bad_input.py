"""Wrong input and a wrong environment: one line, the right exit code, nothing left behind."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import psutil
import pytest

from models.resolve import resolve

pytestmark = pytest.mark.live


def assert_one_line(program, code: int, *words: str) -> None:
    family: dict[int, psutil.Process] = {}
    while program.process.poll() is None:
        family |= {process.pid: process for process in program.family()}
        time.sleep(0.01)
    assert program.process.returncode == code, program.output()
    text = program.err.read_text()
    assert "Traceback" not in text
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, text
    for word in words:
        assert word in errors[0]
    assert psutil.wait_procs(list(family.values()), timeout=5)[1] == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        ("missing", ["expected", "found"]),
        ("empty", ["found"]),
        ("truncated", ["found"]),
        ("no_gguf", ["GGUF"]),
    ],
)
def test_a_bad_model_file(start, ci_scenario, tmp_path: Path, make: str, words: list[str]) -> None:
    path = tmp_path / "bad.gguf"
    good = resolve("tiny").read_bytes()
    content = {"empty": b"", "truncated": good[: len(good) // 2], "no_gguf": b"hello" * 100}
    if make != "missing":
        path.write_bytes(content[make])
    program = start(
        "testbed", "run", str(ci_scenario), "--model", str(path), "--out", str(tmp_path / "run")
    )
    assert_one_line(program, 104, str(path), *words)


def test_a_model_of_another_architecture(start, ci_scenario, tmp_path: Path) -> None:
    path = tmp_path / "llama.gguf"
    path.write_bytes(resolve("tiny").read_bytes().replace(b"qwen3", b"llama"))
    program = start(
        "testbed", "run", str(ci_scenario), "--model", str(path), "--out", str(tmp_path / "run")
    )
    assert_one_line(program, 104, str(path), "qwen3", "llama")


def test_a_model_that_does_not_fit_the_nodes_memory(start, ci_scenario, tmp_path: Path) -> None:
    scenario = tmp_path / "small.toml"
    scenario.write_text(ci_scenario.read_text().replace("context = 512", "memory_mb = 20"))
    program = start("testbed", "run", str(scenario), "--out", str(tmp_path / "run"))
    assert_one_line(program, 104, "node.memory_mb", "weights", "KV cache")


def test_an_unknown_key_in_a_scenario(start, ci_scenario, tmp_path: Path) -> None:
    scenario = tmp_path / "typo.toml"
    scenario.write_text(ci_scenario.read_text().replace("count = 8", "cuont = 8"))
    for mode in ([], ["--virtual"]):
        program = start("testbed", "run", str(scenario), *mode)
        assert_one_line(program, 104, str(scenario), "workload.count")


def test_an_unknown_scenario_names_the_known_ones(start) -> None:
    for command in (["run", "no-such"], ["link", "no-such"], ["ground", "no-such", "--link", "x"]):
        assert_one_line(start("testbed", *command), 104, "no-such", "leo-pass")


def test_a_failed_start_leaves_the_folder_free(start, ci_scenario, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ["testbed", "run", str(ci_scenario), "--out", str(out)]
    assert_one_line(start(*command, "--model", str(tmp_path / "none.gguf")), 104, "none.gguf")
    assert not out.exists()


def test_a_model_for_a_virtual_run(start, ci_scenario) -> None:
    program = start("testbed", "run", str(ci_scenario), "--virtual", "--model", "tiny")
    assert program.wait() == 2
    assert "--virtual runs no model" in program.output()


def test_a_seed_out_of_range(start, ci_scenario) -> None:
    program = start("testbed", "run", str(ci_scenario), "--virtual", "--seed", str(2**63))
    assert program.wait() == 2
    assert "Traceback" not in program.output()


def test_a_busy_port(start, ci_scenario) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        program = start("link_sim", str(ci_scenario), "--ground", endpoint)
        assert_one_line(program, 1, endpoint, "in use")


def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.mark.parametrize("role", ["ground", "node"])
def test_a_relay_that_is_not_there(start, ci_scenario, tmp_path: Path, role: str) -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    arguments = {
        "ground": [str(ci_scenario), "--link", endpoint, "--out", str(tmp_path / "run")],
        "node": ["--model", "tiny", "--link", endpoint, "--store", str(tmp_path / "n.sqlite")],
    }
    program = start(role, *arguments[role], "--wait", "0.5")
    assert_one_line(program, 1, endpoint, "no modem answered")


def test_an_endpoint_that_is_none(start, ci_scenario, tmp_path: Path) -> None:
    program = start("ground", str(ci_scenario), "--link", "nowhere", "--out", str(tmp_path / "r"))
    assert_one_line(program, 1, "nowhere")


def test_a_folder_that_cannot_be_written(start, ci_scenario, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    program = start("testbed", "run", str(ci_scenario), "--out", str(tmp_path / "file" / "run"))
    assert_one_line(program, 1, "file")


def test_a_report_of_no_run(start, tmp_path: Path) -> None:
    assert_one_line(start("testbed", "report", str(tmp_path)), 104, "summary.json")
