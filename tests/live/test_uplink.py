"""A model goes up to a node that answers meanwhile, flies on trial, and stays or goes back."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cbor2
import psutil
import pytest

from models.resolve import resolve
from roundtrip.bulk.manifest import MAC_BYTES
from tests.adapters import write_adapter

pytestmark = pytest.mark.live

SYSTEM = "You watch the telemetry of a satellite. Answer from the frame, exactly and briefly."
FRAME = "SUN\nEPS.VBAT 28.3 V\n\nWhat is EPS.VBAT?"
RIGHT = "EPS.VBAT is 28.3 V."
SCENARIO = """
[link.uplink]
rate_bps = 4_000_000
one_way_delay_ms = 5
loss = 0.02
[link.downlink]
rate_bps = 4_000_000
one_way_delay_ms = 5
loss = 0.02
[workload]
questions = ["?"]
count = 1
max_tokens = 20
temperature = 0
[node]
model = "tiny"
threads = 1
context = 1024
beacon_s = 1
"""


class Roles:
    """Link, node and station as commands of their own."""

    def __init__(
        self, start: Callable[..., Any], port_of: Callable[..., str], folder: Path
    ) -> None:
        self._start, self._port_of, self.folder = start, port_of, folder
        self.scenario = folder / "scenario.toml"
        self.scenario.write_text(SCENARIO)
        self._link = start(
            "link_sim", str(self.scenario), "--ground", "tcp://127.0.0.1:*", "--node",
            "tcp://127.0.0.1:*",
        )  # fmt: skip
        self._link.wait_for("ground")
        self._ends = json.loads(self._link.out.read_text())
        self.start_node()
        self.start_station()

    def start_node(self) -> None:
        self.node = self._start(
            "node", "--scenario", str(self.scenario), "--link", self._ends["node"], "--store",
            str(self.folder / "node.sqlite"),
        )  # fmt: skip

    def start_station(self) -> None:
        self.station = self._start(
            "testbed", "station", str(self.scenario), "--link", self._ends["ground"], "--port", "0",
            "--out", str(self.folder / "station"), "--ui", "plain",
        )  # fmt: skip
        self.port = self._port_of(self.station)

    def kill(self, name: str) -> None:
        program = getattr(self, name)
        program.process.send_signal(signal.SIGKILL)
        program.process.wait()
        getattr(self, f"start_{name}")()

    def say(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "testbed", *words, "--port", self.port],
            input=stdin, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip

    def status(self) -> dict[str, Any]:
        return json.loads(self.say("uplink", "status", "--json").stdout)

    def wait_for(self, *states: str, limit_s: float = 90) -> dict[str, Any]:
        end = time.monotonic() + limit_s
        while (status := self.status())["state"] not in states:
            assert time.monotonic() < end, (status, self.node.output(), self.station.output())
            time.sleep(0.1)
        return status

    @property
    def slot(self) -> Path:
        return self.folder / "slots" / "a"


@pytest.fixture
def roles(start, port_of, tmp_path: Path) -> Iterator[Roles]:
    return Roles(start, port_of, tmp_path)


@pytest.fixture
def canaries(tmp_path: Path) -> Callable[[str], str]:
    """A file with one, of which this is the right answer."""

    def write(expected: str) -> str:
        path = tmp_path / "canaries.toml"
        canary = f'[[canary]]\ntext = """{FRAME}"""\nexpected = "{expected}"\n'
        path.write_text(f'system = "{SYSTEM}"\n{canary}')
        return str(path)

    return write


def _hash_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def ask(roles: Roles) -> str:
    return roles.say("ask", "--system", SYSTEM, stdin=FRAME).stdout.strip()


def test_a_model_goes_up_flies_and_flies_again_after_a_restart(roles, canaries) -> None:
    assert ask(roles) not in ("", RIGHT), "tiny answers"
    begun = roles.say(
        "uplink", str(resolve("builtin")), "--name", "triage", "--canaries", canaries(RIGHT)
    )
    assert begun.returncode == 0, begun.stderr
    twice = roles.say("uplink", str(resolve("builtin")))
    assert twice.returncode == 104
    assert "one at a time" in twice.stderr
    roles.wait_for("active")
    assert "upload    triage active, 100.0% on board" in roles.say("status").stdout
    assert ask(roles) == RIGHT
    assert (roles.slot / "file").read_bytes() == resolve("builtin").read_bytes()
    assert "triage" in roles.say("status").stdout
    manifest = cbor2.loads((roles.slot / "manifest").read_bytes()[MAC_BYTES:])
    assert manifest["memory_bytes"] > 50_000_000, "by the context that the node has said"
    roles.kill("node")
    assert ask(roles) == RIGHT
    again = roles.say("uplink", str(resolve("builtin")), "--name", "again", "--no-activate")
    assert again.returncode == 0, again.stderr
    assert roles.wait_for("whole")["bytes_sent"] < 10_000, "its blocks are on board"


def test_a_model_that_answers_something_else_is_rolled_back(roles, canaries) -> None:
    before = ask(roles)
    roles.say("uplink", str(resolve("builtin")), "--canaries", canaries("EPS.VBAT is 99 V."))
    status = roles.wait_for("rolled_back")
    assert status["detail"] == f"canary 1: {RIGHT!r}; expected 'EPS.VBAT is 99 V.'"
    assert ask(roles) == before
    roles.kill("node")
    assert ask(roles) == before


def test_a_small_model_flies_until_the_large_one_is_there(roles, canaries, tmp_path) -> None:
    """With an adapter for it after that, which changes its name and nothing else."""
    small = tmp_path / "small.gguf"
    small.write_bytes(resolve("tiny").read_bytes())
    flew = ask(roles)
    begun = roles.say(
        "uplink", str(resolve("builtin")), "--first", str(small), "--canaries", canaries(RIGHT)
    )
    assert begun.returncode == 0, begun.stderr
    assert begun.stdout.startswith("small "), begun.stdout
    assert "next: triage-Q8_0" in begun.stdout
    while roles.status()["name"] == "small":
        assert ask(roles) == flew
    roles.wait_for("active")
    assert ask(roles) == RIGHT
    adapter = tmp_path / "adapter.gguf"
    write_adapter(adapter, scale=0.0)
    begun = roles.say("uplink", str(adapter), "--canaries", canaries(RIGHT))
    assert begun.returncode == 0, begun.stderr
    assert roles.wait_for("active")["kind"] == "adapter"
    assert ask(roles) == RIGHT
    assert "triage + made up" in roles.say("status").stdout
    roles.kill("node")
    assert ask(roles) == RIGHT
    both = resolve("builtin").read_bytes() + adapter.read_bytes()
    roles.station.process.send_signal(signal.SIGINT)
    assert roles.station.wait() == 0, roles.station.output()
    (loops,) = (roles.folder / "station").glob("20??-??-??/loops.jsonl")
    flew = {}
    for line in map(json.loads, loops.read_text().splitlines()):
        flew[line["gen_ai.response.model"]] = line["model_sha256"]
    assert flew["groundloop telemetry triage + made up Q8_0"] == _hash_of(both)
    assert flew["groundloop telemetry triage Q8_0"] == _hash_of(resolve("builtin").read_bytes())
    assert len(flew) == 3


def test_a_prompt_goes_up_flies_and_is_retired(roles, tmp_path: Path) -> None:
    def said(*words: str) -> str:
        return roles.say("ask", *words, stdin=FRAME).stdout.strip()

    plain, prompted = said(), said("--system", SYSTEM)
    assert plain != prompted
    prompt = tmp_path / "prompt.txt"
    prompt.write_text(SYSTEM)
    assert "expected a GGUF, or prompt" in roles.say("uplink", str(prompt)).stderr
    roles.say("uplink", str(prompt), "--as", "prompt")
    roles.wait_for("active")
    assert said() == said("--system", SYSTEM) == prompted
    roles.say("uplink", "retire")
    assert roles.wait_for("whole")["detail"] == "does not fly any more"
    assert said() == plain


def test_a_model_that_is_too_slow_is_rolled_back(roles) -> None:
    before = ask(roles)
    roles.say("uplink", str(resolve("builtin")), "--least-tok-s", "1e8")
    assert "at least 1e+08 tokens/s" in roles.wait_for("rolled_back")["detail"]
    assert ask(roles) == before


def test_what_is_no_model_does_not_go_up(roles, tmp_path: Path) -> None:
    neither = "kind: expected a GGUF, or prompt or document"
    for content, why in ((b"", neither), (b"junk" * 50, neither), (b"GGUF", "truncated")):
        (tmp_path / "junk.gguf").write_bytes(content)
        refused = roles.say("uplink", str(tmp_path / "junk.gguf"))
        assert refused.returncode == 104
        assert why in refused.stderr, refused.stderr
    assert roles.say("uplink", "status").stdout == "no upload\n"
    assert roles.say("uplink", "pause").returncode == 104
    missing = roles.say("uplink", str(tmp_path / "none.gguf"))
    assert "expected a file, or one of status" in missing.stderr


def test_the_beacon_tells_what_there_is_room_for(roles) -> None:
    ask(roles)
    end = time.monotonic() + 30
    while (node := json.loads(roles.say("status", "--json").stdout)["node"])["room_mb"] is None:
        assert time.monotonic() < end, node
        time.sleep(0.2)
    assert node["engine_mb"] == psutil.virtual_memory().total // 1_000_000
    free_mb = shutil.disk_usage(roles.folder).free / 1e6
    assert node["room_mb"] == pytest.approx(free_mb, rel=0.5)


def test_it_pauses_goes_on_and_is_cancelled(roles) -> None:
    roles.say("uplink", str(resolve("builtin")), "--no-activate")
    assert "paused" in roles.say("uplink", "pause").stdout
    time.sleep(0.5)
    there = roles.status()["bytes_sent"]
    time.sleep(0.5)
    assert roles.status()["bytes_sent"] == there
    roles.kill("station")
    assert roles.wait_for("paused")
    roles.say("uplink", "resume")
    roles.wait_for("taking")
    roles.say("uplink", "cancel")
    roles.wait_for("cancelled")
    assert not (roles.folder / "slots" / "coming").exists()


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_killed_it_comes_whole(roles, seed: int) -> None:
    rng = random.Random(seed)
    roles.say("uplink", str(resolve("builtin")), "--no-activate")
    for _ in range(4):
        time.sleep(rng.uniform(0.2, 1.5))
        roles.kill(rng.choice(("node", "station")))
    roles.wait_for("whole")
    assert (roles.slot / "file").read_bytes() == resolve("builtin").read_bytes()
