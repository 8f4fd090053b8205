"""Enforces the engine's limits: reads what this machine offers, and carries out a plan of
`limits.py`.

Groups are made beneath the one that this process is in, and removed at the end; those of a node
that was killed are removed by the next one, at its start or its end.
"""

from __future__ import annotations

import atexit
import errno
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from node.body.limits import CONTROLLERS, GroupV2, Host, Limits, Means, Plan, Write, plan
from roundtrip.errors import EnvironmentFault

PREFIX = "groundloop-engine-"
PROBE_LIMIT_S = 5.0
PROC = Path("/proc")
SYSTEMD = Path("/run/systemd/system")
"""Exists where systemd is the init process (sd_booted(3))."""
DELEGATED = ("user.delegate", "trusted.delegate")
"""Attributes that systemd sets on a group it has handed over."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted cgroup hierarchy."""

    root: str
    """The group that is seen at `point`."""
    point: Path


def parse_mounts(mountinfo: str) -> dict[str, Mount]:
    """The cgroup hierarchies in /proc/self/mountinfo (proc_pid_mountinfo(5)).

    Returns:
        Controller to mount; "" for cgroup v2.
    """
    found: dict[str, Mount] = {}
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if not separator or len(fields) < 5 or len(kind) < 3:
            continue
        mount = Mount(_unescaped(fields[3]), Path(_unescaped(fields[4])))
        if kind[0] == "cgroup2":
            found.setdefault("", mount)
        elif kind[0] == "cgroup":
            for controller in set(kind[2].split(",")) & set(CONTROLLERS):
                found.setdefault(controller, mount)
    return found


def parse_groups(text: str) -> dict[str, str]:
    """The groups in /proc/self/cgroup (cgroups(7)).

    Returns:
        Controller to the group's path; "" for cgroup v2.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            for controller in parts[1].split(","):
                found[controller] = parts[2]
    return found


def folder_of(mount: Mount, group: str) -> Path:
    """Where a group's folder is; in a container the mount may begin at the group itself."""
    root = mount.root.rstrip("/")
    if root and (group == root or group.startswith(root + "/")):
        group = group[len(root) :]
    elif root:
        group = "/"
    return mount.point / group.lstrip("/")


def read_host(
    proc: Path = PROC, *, systemd: Path = SYSTEMD, environ: Mapping[str, str] = os.environ
) -> Host:
    """What this machine offers to enforce limits with."""
    cpus = usable_cpus()
    if sys.platform != "linux":
        return Host(cpus, process_limits=False)
    mounts = parse_mounts(_text(proc / "self/mountinfo"))
    groups = parse_groups(_text(proc / "self/cgroup"))
    why_not: list[tuple[Means, str]] = []
    v2: GroupV2 | None = None
    if "" in mounts and "" in groups:
        v2, reason = _read_v2(folder_of(mounts[""], groups[""]), owned=systemd.is_dir())
        if reason:
            why_not.append((Means.V2, reason))
    else:
        why_not.append((Means.V2, "not mounted"))
    scope: tuple[str, ...] = ()
    if v2 is None:
        scope, reason = _probe_scope(systemd, environ)
        if reason:
            why_not.insert(0, (Means.SCOPE, reason))
    v1: dict[str, Path] = {}
    for controller in CONTROLLERS:
        if controller in mounts and controller in groups:
            folder = folder_of(mounts[controller], groups[controller])
            if os.access(folder / "cgroup.procs", os.W_OK):
                v1[controller] = folder
    if not v1:
        mounted = any(controller in mounts for controller in CONTROLLERS)
        why_not.append((Means.V1, "not writable" if mounted else "not mounted"))
    return Host(cpus, scope, v2, v1, why_not=tuple(why_not))


def usable_cpus() -> tuple[int, ...]:
    """Processors that this process may use."""
    if sys.platform != "linux":
        return tuple(range(os.cpu_count() or 1))
    return tuple(sorted(os.sched_getaffinity(0)))


def _read_v2(folder: Path, *, owned: bool) -> tuple[GroupV2 | None, str]:
    """The group, or why it cannot be used; `owned` by systemd unless it says otherwise."""
    controllers = frozenset(_text(folder / "cgroup.controllers").split()) & set(CONTROLLERS)
    if not controllers:
        return None, "neither memory nor cpu there"
    if not os.access(folder / "cgroup.procs", os.W_OK):
        return None, "not writable"
    if owned and not _delegated(folder):
        return None, "the group is systemd's and not delegated"
    enabled = frozenset(_text(folder / "cgroup.subtree_control").split())
    others = set(_text(folder / "cgroup.procs").split()) - {str(os.getpid())}
    is_root = not (folder / "cgroup.type").exists()
    if others and not is_root and not controllers <= enabled:
        return None, "other processes are in the same group"
    return GroupV2(folder, controllers, enabled, movable=not others and not is_root), ""


def _delegated(folder: Path) -> bool:
    """Whether systemd has handed a group over: it says so, or has given it to our user."""
    if 0 != folder.stat().st_uid == os.getuid():
        return True
    for name in DELEGATED:
        with suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return False


def _probe_scope(systemd: Path, environ: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """The command that starts another in a scope, tried once; or why there is none."""
    if not systemd.is_dir():
        return (), "systemd does not run here"
    program = shutil.which("systemd-run")
    if program is None:
        return (), "no systemd-run"
    command = [program, "--scope", "--quiet", "--collect"]
    if os.getuid() != 0:
        if "XDG_RUNTIME_DIR" not in environ:
            return (), "no user session"
        command.append("--user")
    try:
        subprocess.run(
            [*command, "--", "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_LIMIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return (), f"systemd-run fails ({type(error).__name__})"
    return tuple(command), ""


class Enforcer:
    """Keeps the engine's process within its limits.

    Args:
        limits: what to enforce.
        host: what there is.
        report: told, once, what enforces what.
    """

    def __init__(self, limits: Limits, host: Host, report: Callable[[str], None]) -> None:
        self._limits = limits
        self._host = host
        self._report = report
        self._made: list[Path] = []
        self._leaf: Path | None = None
        """The folder this process was moved into."""
        self._enabled: list[Write] = []
        self.plan = self._prepare()
        if self.plan.line:
            report(f"limits: {self.plan.line}")
        atexit.register(self.close)

    def _prepare(self) -> Plan:
        """Make the folders of the best plan that can be carried out."""
        while True:
            chosen = plan(self._limits, self._host, f"{PREFIX}{os.getpid()}")
            try:
                self._make(chosen)
            except OSError as error:
                self._unmake()
                at = Path(str(error.filename))
                v2 = self._host.v2
                means = Means.V2 if v2 is not None and v2.folder in at.parents else Means.V1
                reason = f"{error.strerror or error} ({at.name})"
                self._host = self._host.without(means, reason)
                continue
            return chosen

    def _make(self, chosen: Plan) -> None:
        for folder in chosen.folders:
            remove_stale(folder.parent)
        if chosen.empty_into is not None:
            chosen.empty_into.mkdir(exist_ok=True)
            self._leaf = chosen.empty_into
            _write(chosen.empty_into / "cgroup.procs", str(os.getpid()))
        for write in chosen.enable:
            _write(write.path, write.text)
            self._enabled.append(write)
        for folder in chosen.folders:
            self._mkdir(folder)
        for write in chosen.writes:
            with suppress(*((OSError,) if write.optional else ())):
                _write(write.path, write.text)

    def _mkdir(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._made.append(folder)

    @property
    def prefix(self) -> tuple[str, ...]:
        """What goes before the engine's command."""
        return self.plan.prefix

    def apply(self, pid: int) -> None:
        """Put a process within the limits; it must not have loaded anything yet.

        Raises:
            EnvironmentFault: the kernel does not allow it.
        """
        try:
            for file in self.plan.joins:
                _write(file, str(pid))
            if self.plan.data_bytes:
                size = self.plan.data_bytes
                resource.prlimit(pid, resource.RLIMIT_DATA, (size, size))
            if self.plan.cpus:
                os.sched_setaffinity(pid, self.plan.cpus)
        except OSError as error:
            if error.errno == errno.ESRCH:
                return
            raise EnvironmentFault(
                "engine limits", str(error), "set node.memory_mb and node.cpu_cores to 0"
            ) from None

    def check(self, pid: int) -> None:
        """Say so where systemd did not enforce what it was asked for.

        A user's manager may not have the controllers that a limit needs, and leaves it out without
        a word.
        """
        if not self.plan.prefix:
            return
        folder = own_v2(pid)
        for file, means in (("memory.max", self.plan.memory), ("cpu.max", self.plan.cpu)):
            found = _text(folder / file).split()[:1] if folder is not None else []
            if means is Means.SCOPE and found in ([], ["max"]):
                self._report(f"limits: systemd does not enforce {file}: not delegated to this user")

    def close(self) -> None:
        """Remove what was made; the engine must be gone."""
        atexit.unregister(self.close)
        self._unmake()

    def _unmake(self) -> None:
        """Undo `_make`, last first; what cannot be undone is left to the next node."""
        for folder in reversed(self._made):
            with suppress(OSError):
                folder.rmdir()
        for write in self._enabled:
            with suppress(OSError):
                _write(write.path, write.text.replace("+", "-"))
        if self._leaf is not None:
            with suppress(OSError):
                _write(self._leaf.parent / "cgroup.procs", str(os.getpid()))
                self._leaf.rmdir()
        for folder in self._made:  # the engine of a node that was killed may have been dying still
            remove_stale(folder.parent)
        self._made, self._enabled, self._leaf = [], [], None


def own_v2(pid: int, proc: Path = PROC) -> Path | None:
    """The folder of a process's cgroup v2."""
    mount = parse_mounts(_text(proc / "self/mountinfo")).get("")
    group = parse_groups(_text(proc / str(pid) / "cgroup")).get("")
    return folder_of(mount, group) if mount is not None and group is not None else None


def remove_stale(parent: Path, proc: Path = PROC) -> None:
    """Remove folders of nodes that are gone; one that still has processes stays."""
    for folder in parent.glob(f"{PREFIX}*"):
        match = re.fullmatch(rf"{PREFIX}(\d+)(-node)?", folder.name)
        if match and not (proc / match[1]).exists():
            with suppress(OSError):
                folder.rmdir()


def _write(path: Path, text: str) -> None:
    """As the cgroup file system wants it: one write, and an error where it is refused."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(descriptor)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _unescaped(field: str) -> str:
    """mountinfo writes blanks in paths as octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
