"""The contenders: what each runs on the ground and on the node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.versus.links import START_S, LinkCase
from bench.versus.served import CONFIG, SSH_PORT
from link_sim.namespaces import ip_program
from models.resolve import resolve
from roundtrip.errors import EnvironmentFault

PY = sys.executable
NODE = [PY, "-m", "bench.versus.served", "node"]
MOSQUITTO = "listener 1883 10.42.0.1\nallow_anonymous true\nmax_queued_messages 1000\n"
SSHD = """ListenAddress 10.42.0.2:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile none
LogLevel VERBOSE
MaxStartups 200
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one contender runs on one link."""

    case: LinkCase
    folder: Path
    questions: Path
    number: int
    """Of the cell: for ports and names."""
    count: int
    """Questions."""

    @property
    def scenario(self) -> str:
        return str(self.folder / "scenario.toml")


Commands = list[list[str]]


def _relay(place: Place) -> Commands:
    base = 20_000 + 4 * place.number
    ends = [f"tcp://127.0.0.1:{base + at}" for at in range(2)]
    return [
        [PY, "-m", "link_sim", place.scenario, "--ground", ends[0], "--node", ends[1],
         "--frames", str(place.folder / "frames.jsonl")],
        _guarded(place, [*NODE, "--scenario", place.scenario, "--link", ends[1],
                         "--store", str(place.folder / "node.sqlite")]),
        [PY, "-m", "ground", place.scenario, "--link", ends[0], "--wait", "60",
         "--out", str(place.folder / "run")],
    ]  # fmt: skip


def _guarded(place: Place, command: list[str]) -> list[str]:
    reset_s = place.case.reset_s
    return [PY, "-m", "bench.versus.served", "guard", str(reset_s), "--", *command]


def _over_tun(place: Place, ground: list[str], node: list[str]) -> Commands:
    return [
        [PY, "-m", "link_sim", place.scenario, "--tun", "--name", f"vs{os.getpid()}-{place.number}",
         "--frames", str(place.folder / "frames.jsonl"),
         "--", "ground:", *ground, "--", "node:", *_guarded(place, node)],
    ]  # fmt: skip


def _udp(place: Place) -> Commands:
    node = [
        *NODE, "--scenario", place.scenario, "--link", "udp://10.42.0.1:1113",
        "--listen", "10.42.0.2:1113", "--store", str(place.folder / "node.sqlite"),
    ]  # fmt: skip
    ground = [
        PY, "-m", "ground", place.scenario, "--link", "udp://10.42.0.2:1113", "--listen",
        "10.42.0.1:1113", "--wait", "60", "--out", str(place.folder / "run"),
    ]  # fmt: skip
    return _over_tun(place, ground, node)


def _client(kind: str, place: Place) -> list[str]:
    return [
        PY, "-m", "bench.versus.client", kind, str(place.questions), str(place.case.per_min),
        str(START_S), str(time.monotonic()), str(place.folder / "loops.jsonl"),
    ]  # fmt: skip


def configure(folder: Path, host: str) -> Path:
    """The node's model, threads and context; it does not think first, as the others' do not."""
    model = {
        "model": str(resolve("builtin")), "n_ctx": 1024, "n_threads": 1, "n_threads_batch": 1,
        "chat_template_kwargs": {"enable_thinking": False}, "verbose": False,
    }  # fmt: skip
    config = folder / CONFIG
    config.write_text(json.dumps({"host": host, "port": 8000, "models": [model]}))
    return config


def _server(place: Place, host: str) -> list[str]:
    return [PY, "-m", "llama_cpp.server", "--config_file", str(configure(place.folder, host))]


def _http(kind: str) -> Callable[[Place], Commands]:
    return lambda place: _over_tun(place, _client(kind, place), _server(place, "10.42.0.2"))


def _h3(place: Place) -> Commands:
    configure(place.folder, "10.42.0.2")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", str(place.folder / "key"), "-out", str(place.folder / "cert"),
         "-days", "9", "-subj", "/CN=node"],
        check=True, capture_output=True,
    )  # fmt: skip
    serve = [PY, "-m", "bench.versus.served", "h3", str(place.folder)]
    return _over_tun(place, _client("h3", place), serve)


def _ssh(place: Place) -> Commands:
    """Behind the others: a load of the model for each question is more work than all of theirs."""
    configure(place.folder, "")
    for name in ("key", "host"):
        key = str(place.folder / name)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    config = place.folder / "sshd_config"
    config.write_text(SSHD.format(folder=place.folder, port=SSH_PORT))
    sshd = [str(shutil.which("sshd")), "-D", "-e", "-f", str(config)]  # which wants its whole path
    ends = _over_tun(place, _client("ssh", place), sshd)
    return [["nice", *command] for command in ends]


def _by_worker(kind: str, before: str = "") -> Callable[[Place], Commands]:
    def commands(place: Place) -> Commands:
        (place.folder / "mosquitto.conf").write_text(MOSQUITTO)
        server = " ".join(_server(place, "127.0.0.1"))
        node = ["sh", "-c", f"{server} & exec {PY} -m bench.versus.served {kind}"]
        ground = _client(kind, place)
        if before:
            begin = before.format(folder=place.folder)
            ground = ["sh", "-c", f"{begin} & sleep 1; exec {' '.join(ground)}"]
        return _over_tun(place, ground, node)

    return commands


CONTENDERS: dict[str, Callable[[Place], Commands]] = {
    "groundloop": _relay,
    "groundloop, UDP": _udp,
    "openai": _http("openai"),
    "openai, streaming": _http("openai-stream"),
    "HTTP, retried": _http("http-retry"),
    "groundloop, again": _relay,
    "HTTP/3, retried": _h3,
    "SSH": _ssh,
    "MQTT QoS 2": _by_worker("mqtt", "mosquitto -c {folder}/mosquitto.conf"),
    "ZeroMQ, lazy pirate": _by_worker("zmq"),
}
"""In the order in which they run: where half of them run at a time, groundloop is in both."""
NEEDS = {
    "HTTP/3, retried": {"openssl": "openssl"},
    "SSH": {"sshd": "openssh-server", "ssh": "openssh-client", "ssh-keygen": "openssh-client"},
    "MQTT QoS 2": {"mosquitto": "mosquitto"},
}
"""Programs, and the packages of Debian that have them."""


def check(names: list[str]) -> None:
    """See that these can run here.

    Raises:
        EnvironmentFault: this machine has no TUN links, or lacks a program.
    """
    ip_program()
    needed = {program: of for name in names for program, of in NEEDS.get(name, {}).items()}
    missing = [program for program in needed if shutil.which(program) is None]
    if missing:
        packages = " ".join(sorted({needed[program] for program in missing}))
        raise EnvironmentFault(
            "versus", f"no program {', '.join(missing)}", f"install {packages}, or see --contenders"
        )
