"""Wrong input and a wrong environment: one line, the right exit code, nothing left behind."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from models.resolve import resolve

pytestmark = pytest.mark.live


def assert_one_line(program, code: int, *words: str) -> None:
    family = program.family() if program.process.poll() is None else []
    assert program.wait() == code, program.output()
    text = program.err.read_text()
    assert "Traceback" not in text
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, text
    for word in words:
        assert word in errors[0]
    assert not any(process.is_running() for process in family)


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
    assert_one_line(start("testbed", "run", "no-such"), 104, "no-such", "leo-pass")


def test_a_busy_port(start, ci_scenario) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        program = start("link_sim", str(ci_scenario), "--ground", endpoint)
        assert_one_line(program, 1, endpoint, "in use")


@pytest.mark.parametrize("role", ["ground", "node"])
def test_a_relay_that_is_not_there(start, ci_scenario, tmp_path: Path, role: str) -> None:
    endpoint = "tcp://127.0.0.1:47199"
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
