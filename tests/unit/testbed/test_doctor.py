"""The verdicts of the doctor, and one look at this machine."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from roundtrip.errors import BadModel
from testbed import doctor
from testbed.commands.examining import doctor_command
from testbed.doctor import Finding, Level

GB = 1 << 30


@pytest.mark.parametrize(
    ("finding", "level", "said"),
    [
        (doctor.compiler("/usr/bin/c++"), Level.OK, "c++"),
        (doctor.compiler(None), Level.WARN, "none"),
        (doctor.processor("x86_64", ["avx2", "fma", "f16c"], 2), Level.OK, "2 usable, avx2"),
        (doctor.processor("x86_64", ["fma", "f16c"], 2), Level.WARN, "without avx2"),
        (doctor.processor("aarch64", ["asimd"], 4), Level.WARN, "without asimddp"),
        (doctor.processor("riscv64", [], 4), Level.OK, "riscv64, 4 usable"),
        (doctor.engine(0, ""), Level.OK, "as it should"),
        (doctor.engine(None, ""), Level.FAIL, "no answer"),
        (doctor.engine(-4, ""), Level.FAIL, "killed by signal 4"),
        (doctor.engine(1, "No module named 'llama_cpp'"), Level.FAIL, "llama_cpp"),
        (doctor.clock(1_780_272_000, 0), Level.OK, "synchronised"),
        (doctor.clock(1_780_272_000, 5), Level.WARN, "not synchronised"),
        (doctor.clock(1_780_272_000, None), Level.WARN, "cannot be told"),
        (doctor.clock(0, 0), Level.FAIL, "1970"),
        (doctor.disk(2.0, 9 * GB, "ext4"), Level.OK, "fsync 2.0 ms"),
        (doctor.disk(0.001, 9 * GB, "ext4"), Level.WARN, "fsync 1 µs"),
        (doctor.disk(0.02, 9 * GB, "ext4"), Level.OK, "ext4"),
        (doctor.disk(100.1, 9 * GB, "ext4"), Level.WARN, "fsync 100.1"),
        (doctor.disk(2.0, GB - 1, "ext4"), Level.WARN, "1.1 GB free"),
        (doctor.disk(2.0, 9 * GB, "tmpfs"), Level.WARN, "tmpfs"),
        (doctor.limits("cgroup v2", []), Level.OK, "cgroup v2"),
        (doctor.limits("process", ["v1: not writable"]), Level.WARN, "v1: not writable"),
        (doctor.memory(GB, GB, "tiny"), Level.OK, "tiny needs 1074 MB"),
        (doctor.memory(GB + 1, GB, "tiny"), Level.FAIL, "are free"),
        (doctor.sensors(45.25), Level.OK, "45.2 °C"),
        (doctor.sensors(None), Level.WARN, "not told"),
        (doctor.ports([]), Level.OK, "8080, 5560, 5561 free"),
        (doctor.ports([8080]), Level.WARN, "8080 taken"),
        (doctor.exposure([]), Level.OK, "nothing"),
        (doctor.exposure(["0.0.0.0:8080 (testbed)"]), Level.WARN, "0.0.0.0:8080"),
    ],
)
def test_what_is_found_is_judged_and_something_can_be_done(
    finding: Finding, level: Level, said: str
) -> None:
    assert finding.level is level
    assert said in finding.found
    assert bool(finding.remedy) is (level is not Level.OK)


def test_a_check_that_cannot_be_made_says_so() -> None:
    def check() -> Finding:
        raise BadModel("x.gguf", "", "a model", "none")

    found = doctor._checked("memory", check)
    assert (found.level, found.name) == (Level.WARN, "memory")
    assert "could not be checked: x.gguf" in found.found


def test_a_taken_port_is_seen() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert doctor._taken(taken.getsockname()[1])
    assert not doctor._taken(9)


def test_this_machine_is_looked_at(tmp_path: Path) -> None:
    done = CliRunner().invoke(doctor_command, ["--runs", str(tmp_path / "a" / "b"), "--json"])
    findings = {one["name"]: one for one in json.loads(done.output)}
    assert len(findings) == 10
    assert findings["llama.cpp"]["level"] == "ok"
    assert findings["memory"]["level"] == "ok"
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
    shown = CliRunner().invoke(doctor_command, ["--model", str(tmp_path / "none.gguf")])
    assert "could not be checked" in shown.output
