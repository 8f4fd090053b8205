"""The node as systemd runs it: the unit file, and what the node tells systemd."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from node.body.cgroup import usable_cpus

pytestmark = pytest.mark.live

UNIT = Path(__file__).parents[2] / "deploy" / "groundloop-node.service"
PROGRAM = "/opt/groundloop/.venv/bin/groundloop"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_the_unit_file_is_what_systemd_wants(tmp_path: Path) -> None:
    text = UNIT.read_text()
    assert PROGRAM in text
    program = tmp_path / "groundloop"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace(PROGRAM, str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, timeout=60
    )
    said = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, said) == (0, [])


def received(systemd: socket.socket, until: bytes, limit_s: float = 60) -> list[bytes]:
    """What systemd was told, up to a word."""
    told: list[bytes] = []
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        systemd.settimeout(max(0.01, end - time.monotonic()))
        told += systemd.recv(1000).split(b"\n")
        if until in told:
            return told
    raise AssertionError(f"no {until!r} in {told}")


def test_a_node_says_when_it_is_ready_alive_and_stopping(
    start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any link: the watchdog must not depend on one."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "4000000")
        store = ["--store", str(tmp_path / "node.sqlite")]
        node = start(
            "node", "--model", "tiny", "--profile", "cubesat-1gb",
            "--link", "tcp://127.0.0.1:9", *store,
        )  # fmt: skip
        told = received(systemd, b"READY=1")
        assert b"WATCHDOG=1" not in told
        received(systemd, b"WATCHDOG=1")
        received(systemd, b"WATCHDOG=1")
        node.process.send_signal(signal.SIGTERM)
        assert b"STOPPING=1" in received(systemd, b"STOPPING=1")
        assert node.wait(20) == 0
    if sys.platform == "linux":
        assert "limits: memory 800 MB: " in node.output()
        threads = int(re.search(r"engine ready, (\d+) thread", node.output())[1])
        cores = len(usable_cpus())
        assert threads == 4 if cores >= 4 else 1 <= threads <= cores, "as measured, where fewer"


def test_an_unknown_profile_is_bad_input(start, tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "node.sqlite")]
    node = start("node", "--profile", "rpi9", "--link", "tcp://127.0.0.1:9", *store)
    assert node.wait(60) == 104
    assert "rpi5-8gb" in node.output()
