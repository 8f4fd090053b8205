"""Memory and processor limits of the engine: which means enforces what. Pure: it reads and writes
nothing (`cgroup.py` does both).

The means, best first: a transient systemd scope, a folder of our own in cgroup v2, one in each
cgroup v1 hierarchy, and last RLIMIT_DATA and a set of processors. A folder is always made beneath
the group that the node is in already, so that the limits it has still hold.

RLIMIT_DATA and not RLIMIT_AS: the latter counts every mapping, also the model file that llama.cpp
maps and whose pages the kernel may drop, and the address space that threads only reserve.
RLIMIT_DATA counts private writable memory as it is reserved, not as it is touched (getrlimit(2)).
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from roundtrip.config import Cores, Megabytes
from roundtrip.node_config import NodeConfig

CPU_PERIOD_US = 100_000
"""The kernel's default for cpu.max and cpu.cfs_period_us."""
CONTROLLERS = ("memory", "cpu")


class LimitsSection(BaseModel):
    """`[limits]` of a profile; 0 is no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    memory_mb: Megabytes = 0
    """What the engine may have, in MB of 10^6 bytes."""
    cpu_cores: Cores = 0
    threads: int = Field(default=0, ge=0, le=1024)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the engine may use; 0 is no limit."""

    memory_bytes: int = 0
    cpu_cores: float = 0.0


class Means(enum.Enum):
    """Who enforces a limit."""

    SCOPE = "systemd scope"
    V2 = "cgroup v2"
    V1 = "cgroup v1"
    PROCESS = "process"
    """RLIMIT_DATA, or a set of processors."""
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class GroupV2:
    """The cgroup v2 that this process is in."""

    folder: Path
    controllers: frozenset[str]
    """Those that it could give to groups beneath it."""
    enabled: frozenset[str]
    """Those that it gives already."""
    movable: bool
    """No process but this one is in it, so that it can be emptied (the kernel gives controllers
    only to groups beneath one without processes)."""


@dataclass(frozen=True, slots=True)
class Host:
    """What this machine offers."""

    cpus: tuple[int, ...]
    """Processors that this process may use."""
    scope: tuple[str, ...] = ()
    """The command that starts another in a scope; empty where that cannot be."""
    v2: GroupV2 | None = None
    v1: dict[str, Path] = field(default_factory=dict)
    """Controller to the writable folder of the group that this process is in."""
    process_limits: bool = True
    """Whether limits of another process can be set (Linux)."""
    why_not: tuple[tuple[Means, str], ...] = ()
    """Why a means cannot be used."""

    def without(self, means: Means, reason: str) -> Host:
        """This machine, after a means was tried in vain."""
        why_not = (*self.why_not, (means, reason))
        match means:
            case Means.SCOPE:
                return replace(self, scope=(), why_not=why_not)
            case Means.V2:
                return replace(self, v2=None, why_not=why_not)
            case Means.V1:
                return replace(self, v1={}, why_not=why_not)
            case Means.PROCESS | Means.NOTHING:
                return replace(self, process_limits=False, why_not=why_not)


@dataclass(frozen=True, slots=True)
class Write:
    """Text into a file of the cgroup file system."""

    path: Path
    text: str
    optional: bool = False
    """Not every kernel has the file."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in the order of the fields."""

    memory: Means
    cpu: Means
    empty_into: Path | None
    """A folder to make and to move this process into, before controllers are enabled."""
    enable: tuple[Write, ...]
    folders: tuple[Path, ...]
    writes: tuple[Write, ...]
    prefix: tuple[str, ...]
    """Goes before the engine's command."""
    joins: tuple[Path, ...]
    """Files that the engine's process id is written to."""
    data_bytes: int
    """RLIMIT_DATA of the engine; 0: as it is."""
    cpus: tuple[int, ...]
    """Processors of the engine; empty: as they are."""
    line: str
    """What is enforced by what, in words; empty where nothing is asked for."""


def with_profile(config: NodeConfig, limits: LimitsSection) -> NodeConfig:
    """The node's settings, with a profile's limits where it has none of its own."""
    return config.model_copy(
        update={
            "memory_mb": config.memory_mb or limits.memory_mb,
            "cpu_cores": config.cpu_cores or limits.cpu_cores,
            "threads": config.threads or limits.threads,
        }
    )


def limits_of(config: NodeConfig) -> Limits:
    """The engine's limits, as a node's settings have them."""
    return Limits(config.memory_mb * 1_000_000, config.cpu_cores)


def plan(limits: Limits, host: Host, name: str) -> Plan:
    """By what to enforce limits on a machine.

    Args:
        limits: what is asked for.
        host: what there is.
        name: of the folders to be made.
    """
    wants_memory = limits.memory_bytes > 0
    wants_cpu = 0 < limits.cpu_cores < len(host.cpus)
    wanted = [
        controller
        for controller, is_wanted in zip(CONTROLLERS, (wants_memory, wants_cpu), strict=True)
        if is_wanted
    ]
    memory = _best(host, "memory") if wants_memory else Means.NOTHING
    cpu = _best(host, "cpu") if wants_cpu else Means.NOTHING
    in_v2 = [c for c, m in zip(CONTROLLERS, (memory, cpu), strict=True) if m is Means.V2]
    in_v1 = [c for c, m in zip(CONTROLLERS, (memory, cpu), strict=True) if m is Means.V1]
    folders: list[Path] = []
    writes: list[Write] = []
    empty_into: Path | None = None
    enable: tuple[Write, ...] = ()
    if in_v2:
        assert host.v2 is not None
        missing = [c for c in in_v2 if c not in host.v2.enabled]
        if missing:
            empty_into = host.v2.folder / f"{name}-node" if host.v2.movable else None
            text = " ".join(f"+{controller}" for controller in missing)
            enable = (Write(host.v2.folder / "cgroup.subtree_control", text),)
        folder = host.v2.folder / name
        folders.append(folder)
        writes += _v2_writes(folder, limits, in_v2)
    for controller in in_v1:
        folder = host.v1[controller] / name
        if folder not in folders:
            folders.append(folder)
        writes += _v1_writes(folder, limits, controller)
    by_scope = Means.SCOPE in (memory, cpu)
    cpus = host.cpus[: math.ceil(limits.cpu_cores)] if cpu is Means.PROCESS else ()
    return Plan(
        memory,
        cpu,
        empty_into,
        enable,
        tuple(folders),
        tuple(writes),
        (*host.scope, *_scope_options(limits, wanted), "--") if by_scope else (),
        tuple(folder / "cgroup.procs" for folder in folders),
        limits.memory_bytes if memory is Means.PROCESS else 0,
        cpus,
        _line(limits, host, memory, cpu, cpus),
    )


def _best(host: Host, controller: str) -> Means:
    if host.scope:
        return Means.SCOPE
    if host.v2 is not None and controller in host.v2.controllers:
        return Means.V2
    if controller in host.v1:
        return Means.V1
    return Means.PROCESS if host.process_limits else Means.NOTHING


def _scope_options(limits: Limits, wanted: list[str]) -> list[str]:
    options: list[str] = []
    if "memory" in wanted:
        options += [f"--property=MemoryMax={limits.memory_bytes}", "--property=MemorySwapMax=0"]
    if "cpu" in wanted:
        options.append(f"--property=CPUQuota={limits.cpu_cores * 100:.0f}%")
    return options


def _v2_writes(folder: Path, limits: Limits, controllers: list[str]) -> list[Write]:
    """Kernel documentation, admin-guide/cgroup-v2.rst."""
    writes: list[Write] = []
    if "memory" in controllers:
        writes.append(Write(folder / "memory.max", str(limits.memory_bytes)))
        writes.append(Write(folder / "memory.swap.max", "0", optional=True))
        writes.append(Write(folder / "memory.oom.group", "1", optional=True))
    if "cpu" in controllers:
        quota_us = round(limits.cpu_cores * CPU_PERIOD_US)
        writes.append(Write(folder / "cpu.max", f"{quota_us} {CPU_PERIOD_US}"))
    return writes


def _v1_writes(folder: Path, limits: Limits, controller: str) -> list[Write]:
    """Kernel documentation, admin-guide/cgroup-v1/memory.rst and scheduler/sched-bwc.rst."""
    if controller == "memory":
        size = str(limits.memory_bytes)
        return [
            Write(folder / "memory.limit_in_bytes", size),
            Write(folder / "memory.memsw.limit_in_bytes", size, optional=True),
        ]
    return [
        Write(folder / "cpu.cfs_period_us", str(CPU_PERIOD_US)),
        Write(folder / "cpu.cfs_quota_us", str(round(limits.cpu_cores * CPU_PERIOD_US))),
    ]


_FILES = {
    ("memory", Means.SCOPE): "a systemd scope (MemoryMax)",
    ("memory", Means.V2): "cgroup v2 memory.max",
    ("memory", Means.V1): "cgroup v1 memory.limit_in_bytes",
    ("memory", Means.PROCESS): "RLIMIT_DATA, which leaves out the mapped model file",
    ("cpu", Means.SCOPE): "a systemd scope (CPUQuota)",
    ("cpu", Means.V2): "cgroup v2 cpu.max",
    ("cpu", Means.V1): "cgroup v1 cpu.cfs_quota_us",
}


def _line(limits: Limits, host: Host, memory: Means, cpu: Means, cpus: tuple[int, ...]) -> str:
    parts: list[str] = []
    if limits.memory_bytes:
        how = _FILES.get(("memory", memory), "nothing enforces it")
        parts.append(f"memory {limits.memory_bytes / 1e6:.0f} MB: {how}")
    if limits.cpu_cores:
        how = _FILES.get(("cpu", cpu), "nothing enforces it")
        if cpu is Means.PROCESS:
            how = f"affinity {_ranges(cpus)}"
        elif limits.cpu_cores >= len(host.cpus):
            how = f"nothing to enforce, there are {len(host.cpus)}"
        parts.append(f"cpu {limits.cpu_cores:g} cores: {how}")
    if {memory, cpu} & {Means.PROCESS, Means.NOTHING} and host.why_not:
        short = memory in (Means.PROCESS, Means.NOTHING) and limits.memory_bytes
        if short or (cpu is Means.PROCESS and limits.cpu_cores):
            reasons = [f"no {means.value}: {reason}" for means, reason in host.why_not]
            parts.append(f"({'; '.join(reasons)})")
    return "; ".join(parts).replace("; (", " (")


def _ranges(cpus: tuple[int, ...]) -> str:
    """Processor numbers as taskset has them: "0-2,5"."""
    spans: list[tuple[int, int]] = []
    for cpu in cpus:
        if spans and cpu == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], cpu)
        else:
            spans.append((cpu, cpu))
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
