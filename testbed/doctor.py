"""Whether this machine can do what groundloop needs, check by check, each with what to do.

Nothing here needs root, and nothing is left behind. What a check finds is judged by functions that
take figures, so that each verdict can be seen without the machine that deserves it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import psutil

from models.gguf.fit import fit as fit_of
from models.gguf.inspect import inspect
from models.resolve import resolve
from node.body.cgroup import read_host, usable_cpus
from node.body.health import temperature_c
from roundtrip.drive.clock import monotonic_ns, unix_s, utc
from roundtrip.errors import GroundloopError
from roundtrip.words import duration

FSYNCS = 20
HONEST_FSYNC_MS = 0.02
"""A choice: what is faster has reached no disk."""
SLOW_FSYNC_MS = 100.0
"""A choice: each question waits for two of them on its way."""
LEAST_FREE_BYTES = 1 << 30
BORN_UNIX_S = 1_767_225_600
"""2026-01-01: a clock before it is wrong."""
ADJTIMEX_ERROR = 5
"""What adjtimex(2) returns of a clock that nobody keeps (TIME_ERROR)."""
PORTS = (8080, 5560, 5561)
"""Of station and link, by default."""
CONTEXT = 1024
"""Tokens, of the shipped scenarios."""
SELF_TEST_LIMIT_S = 120
WANTED_FLAGS = {"x86_64": ("avx2", "fma", "f16c"), "aarch64": ("asimd", "asimddp")}
"""What makes llama.cpp fast."""
SELF_TEST = """
import sys
from node.engine.llama import Engine, EngineSettings
Engine(sys.argv[1], EngineSettings(512, 1)).self_test()
"""


class Level(Enum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    level: Level
    found: str
    remedy: str = ""
    """What to do; empty where nothing is to be done."""


def ok(name: str, found: str) -> Finding:
    """Nothing is to be done."""
    return Finding(name, Level.OK, found)


def warn(name: str, found: str, remedy: str) -> Finding:
    """It works, and not as well as it could."""
    return Finding(name, Level.WARN, found, remedy)


def fail(name: str, found: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(name, Level.FAIL, found, remedy)


# -- verdicts --------------------------------------------------------------------------------------


def compiler(path: str | None) -> Finding:
    """A compiler is needed once, for llama.cpp."""
    if path is None:
        remedy = "apt install g++ (only needed to install llama.cpp anew)"
        return warn("compiler", "none", remedy)
    return ok("compiler", path)


def processor(machine: str, flags: Iterable[str], cpus: int) -> Finding:
    """Whether it has what makes llama.cpp fast."""
    wanted = WANTED_FLAGS.get(machine, ())
    missing = [flag for flag in wanted if flag not in set(flags)]
    shown = f"{machine}, {cpus} usable"
    if missing:
        remedy = "expect slow inference; choose a smaller model (groundloop models fit)"
        return warn("processor", f"{shown}, without {', '.join(missing)}", remedy)
    return ok("processor", f"{shown}{', ' if wanted else ''}{', '.join(wanted)}")


def engine(code: int | None, said: str) -> Finding:
    """llama.cpp's self-test in a process of its own; `code` is None where it took too long."""
    if code == 0:
        return ok("llama.cpp", "answers as it should")
    if code is None:
        return fail(
            "llama.cpp", f"no answer in {SELF_TEST_LIMIT_S} s", "install it anew: make install"
        )
    if code < 0:
        remedy = "install it without AMX code: README.md, With pip"
        return fail("llama.cpp", f"killed by signal {-code}", remedy)
    return fail("llama.cpp", said or f"exit code {code}", "install it anew: make install")


def clock(unix: int, state: int | None) -> Finding:
    """Whether the date can be right, and whether somebody keeps it (`adjtimex`; None: unknown)."""
    shown = utc(unix)
    if unix < BORN_UNIX_S:
        remedy = "set the clock, or start ground and node with --untrusted-clock"
        return fail("clock", f"{shown}, which is over", remedy)
    if state is None:
        return warn("clock", f"{shown}; whether it is kept cannot be told here", "use NTP")
    if state == ADJTIMEX_ERROR:
        remedy = "timedatectl set-ntp true, or --untrusted-clock where there is no time to be had"
        return warn("clock", f"{shown}, not synchronised", remedy)
    return ok("clock", f"{shown}, synchronised")


def disk(fsync_ms: float, free_bytes: int, kind: str) -> Finding:
    """Whether what is written stays written, how fast, and whether there is room."""
    shown = f"fsync {duration(fsync_ms)}, {free_bytes / 1e9:.1f} GB free, {kind or 'unknown'}"
    if kind in ("tmpfs", "ramfs"):
        return warn("disk", shown, "keep runs on a disk: a restart of the machine loses them here")
    if free_bytes < LEAST_FREE_BYTES:
        return warn("disk", shown, "make room: a full disk ends a run")
    if fsync_ms < HONEST_FSYNC_MS:
        remedy = "nothing reaches the disk that fast: questions may be lost when power is"
        return warn("disk", shown, remedy)
    if fsync_ms > SLOW_FSYNC_MS:
        return warn("disk", shown, "use a faster card or disk: every question waits for it")
    return ok("disk", shown)


def limits(means: str, why_not: Iterable[str]) -> Finding:
    """With what a node's memory and time can be limited."""
    if means in ("nothing", "process"):
        remedy = "run as root or in a delegated cgroup for limits that hold (docs/node.md)"
        return warn("limits", f"{means} ({'; '.join(why_not)})", remedy)
    return ok("limits", means)


def memory(needs_bytes: int, free_bytes: int, name: str) -> Finding:
    """The model against what is free."""
    shown = f"{name} needs {needs_bytes / 1e6:.0f} MB, {free_bytes / 1e6:.0f} MB are free"
    if needs_bytes > free_bytes:
        return fail("memory", shown, "choose a smaller model: groundloop models fit")
    return ok("memory", shown)


def sensors(celsius: float | None) -> Finding:
    """Whether the processor tells its temperature."""
    if celsius is None:
        remedy = "none to be had in a virtual machine; heat is not watched"
        return warn("temperature", "not told", remedy)
    return ok("temperature", f"{celsius:.1f} °C")


def ports(taken: Iterable[int]) -> Finding:
    """Whether the usual ports are free."""
    busy = list(taken)
    if busy:
        numbers = ", ".join(map(str, busy))
        return warn("ports", f"{numbers} taken", "stop what has them, or give others (--port)")
    return ok("ports", f"{', '.join(map(str, PORTS))} free")


def exposure(open_to_all: Iterable[str]) -> Finding:
    """What of ours listens to other machines."""
    found = list(open_to_all)
    if found:
        remedy = "meant? a station there needs --token-file, a link is signed and encrypted"
        return warn("network", f"open to others: {', '.join(found)}", remedy)
    return ok("network", "nothing of groundloop listens to other machines")


# -- looking ---------------------------------------------------------------------------------------


def examine(folder: Path, model: str) -> list[Finding]:
    """All checks, of this machine.

    Args:
        folder: where runs will be.
        model: name or file.
    """
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("compiler", lambda: compiler(shutil.which("c++") or shutil.which("g++"))),
        ("processor", lambda: processor(platform.machine(), _flags(), len(usable_cpus()))),
        ("llama.cpp", lambda: engine(*_self_test(model))),
        ("memory", lambda: _memory(model)),
        ("clock", lambda: clock(unix_s(), _adjtimex())),
        ("disk", lambda: _disk(folder)),
        ("limits", _limits),
        ("temperature", lambda: sensors(temperature_c())),
        ("ports", lambda: ports(port for port in PORTS if _taken(port))),
        ("network", lambda: exposure(_open_to_all())),
    ]
    return [_checked(name, check) for name, check in checks]


def _checked(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except (OSError, GroundloopError, psutil.Error) as error:
        return warn(name, f"could not be checked: {error}", "")


def _flags() -> set[str]:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return set(WANTED_FLAGS.get(platform.machine(), ()))
    found: set[str] = set()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            found |= set(value.split())
    return found


def _self_test(model: str) -> tuple[int | None, str]:
    command = [sys.executable, "-c", SELF_TEST, str(resolve(model))]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SELF_TEST_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return None, ""
    lines = done.stderr.strip().splitlines()
    return done.returncode, lines[-1] if lines else ""


def _memory(model: str) -> Finding:
    info = inspect(resolve(model))
    needs = fit_of(info, CONTEXT).total_bytes
    return memory(needs, psutil.virtual_memory().available, info.name or model)


def _adjtimex() -> int | None:
    """The state of the kernel's clock."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        state: int = library.adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return None
    return state if state >= 0 else None


def _disk(folder: Path) -> Finding:
    place = next(one for one in (folder, *folder.resolve().parents) if one.is_dir())
    spent: list[int] = []
    with tempfile.TemporaryFile(dir=place) as file:
        for _ in range(FSYNCS):
            file.write(b"x" * 4096)
            file.flush()
            begin = monotonic_ns()
            os.fsync(file.fileno())
            spent.append(monotonic_ns() - begin)
    fsync_ms = sorted(spent)[FSYNCS // 2] / 1e6
    return disk(fsync_ms, shutil.disk_usage(place).free, _file_system(place.resolve()))


def _file_system(place: Path) -> str:
    mounts = [
        part for part in psutil.disk_partitions(all=True) if place.is_relative_to(part.mountpoint)
    ]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else ""


def _limits() -> Finding:
    host = read_host()
    if host.v2 is not None:
        means = "cgroup v2"
    elif host.scope:
        means = "a scope of systemd"
    elif host.v1:
        means = f"cgroup v1 ({', '.join(host.v1)})"
    else:
        means = "process" if host.process_limits else "nothing"
    return limits(means, [f"{each.value}: {reason}" for each, reason in host.why_not])


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _open_to_all() -> list[str]:
    found: list[str] = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        ours = [
            w
            for w in words
            if Path(w).name in ("groundloop", "testbed", "node", "link_sim", "ground")
        ]
        if not ours:
            continue
        try:
            sockets = process.net_connections(kind="inet")
        except psutil.Error:
            continue
        for one in sockets:
            listens = one.status == psutil.CONN_LISTEN or one.type == socket.SOCK_DGRAM
            if listens and one.laddr and not one.laddr.ip.startswith(("127.", "::1")):
                found.append(f"{one.laddr.ip}:{one.laddr.port} ({Path(ours[0]).name})")
    return sorted(set(found))
