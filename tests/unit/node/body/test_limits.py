from __future__ import annotations

from pathlib import Path

import pytest

from node.body.limits import (
    GroupV2,
    Host,
    Limits,
    LimitsSection,
    Means,
    Write,
    limits_of,
    plan,
    with_profile,
)
from roundtrip.node_config import NodeConfig

BOTH = frozenset({"memory", "cpu"})
LIMITS = Limits(1_024_000_000, 2)
V2 = GroupV2(Path("/cg/me"), BOTH, frozenset(), movable=True)
V1 = {"memory": Path("/m/me"), "cpu": Path("/c/me")}
CPUS = (0, 1, 2, 3)


def test_v2_empties_the_group_enables_the_controllers_and_makes_a_folder_beneath() -> None:
    chosen = plan(LIMITS, Host(CPUS, v2=V2, v1=V1), "g")
    assert (chosen.memory, chosen.cpu) == (Means.V2, Means.V2)
    assert chosen.empty_into == Path("/cg/me/g-node")
    assert chosen.enable == (Write(Path("/cg/me/cgroup.subtree_control"), "+memory +cpu"),)
    assert Write(Path("/cg/me/g/memory.max"), "1024000000") in chosen.writes
    assert Write(Path("/cg/me/g/cpu.max"), "200000 100000") in chosen.writes
    assert Write(Path("/cg/me/g/memory.swap.max"), "0", optional=True) in chosen.writes
    assert chosen.joins == (Path("/cg/me/g/cgroup.procs"),)
    assert chosen.line == "memory 1024 MB: cgroup v2 memory.max; cpu 2 cores: cgroup v2 cpu.max"


def test_v2_leaves_the_group_as_it_is_where_the_controllers_are_enabled() -> None:
    chosen = plan(LIMITS, Host(CPUS, v2=GroupV2(Path("/cg"), BOTH, BOTH, movable=False)), "g")
    assert chosen.empty_into is None
    assert chosen.enable == ()
    assert chosen.folders == (Path("/cg/g"),)


def test_v1_makes_a_folder_in_each_hierarchy() -> None:
    chosen = plan(LIMITS, Host(CPUS, v1=V1), "g")
    assert chosen.folders == (Path("/m/me/g"), Path("/c/me/g"))
    assert Write(Path("/m/me/g/memory.limit_in_bytes"), "1024000000") in chosen.writes
    assert Write(Path("/c/me/g/cpu.cfs_quota_us"), "200000") in chosen.writes
    assert "cgroup v1 memory.limit_in_bytes" in chosen.line


def test_a_pi_without_the_memory_controller_gets_each_limit_by_what_there_is() -> None:
    """As Raspberry Pi OS comes: cgroup_disable=memory."""
    v2 = GroupV2(Path("/cg/me"), frozenset({"cpu"}), frozenset({"cpu"}), movable=True)
    chosen = plan(LIMITS, Host(CPUS, v2=v2), "g")
    assert (chosen.memory, chosen.cpu) == (Means.PROCESS, Means.V2)
    assert chosen.data_bytes == 1_024_000_000
    assert plan(Limits(0, 2), Host(CPUS, v2=v2), "g").data_bytes == 0, "none is asked for"
    assert [write.path.name for write in chosen.writes] == ["cpu.max"]


def test_a_scope_is_asked_for_both() -> None:
    chosen = plan(LIMITS, Host(CPUS, scope=("systemd-run", "--scope"), v1=V1), "g")
    assert chosen.prefix == (
        "systemd-run",
        "--scope",
        "--property=MemoryMax=1024000000",
        "--property=MemorySwapMax=0",
        "--property=CPUQuota=200%",
        "--",
    )
    assert chosen.folders == ()


def test_without_any_group_the_process_is_limited_and_the_reason_said() -> None:
    host = Host(CPUS, why_not=((Means.V2, "not writable"), (Means.V1, "not mounted")))
    chosen = plan(Limits(1_024_000_000, 1.5), host, "g")
    assert chosen.data_bytes == 1_024_000_000
    assert chosen.cpus == (0, 1)
    assert chosen.line == (
        "memory 1024 MB: RLIMIT_DATA, which leaves out the mapped model file; cpu 1.5 cores: "
        "affinity 0-1 (no cgroup v2: not writable; no cgroup v1: not mounted)"
    )


def test_where_nothing_can_be_done_it_says_so() -> None:
    chosen = plan(LIMITS, Host(CPUS, process_limits=False), "g")
    assert chosen.memory is Means.NOTHING
    assert chosen.line.count("nothing enforces it") == 2


def test_no_limit_needs_no_word_and_more_cores_than_there_are_no_means() -> None:
    assert plan(Limits(), Host(CPUS, v1=V1), "g").line == ""
    chosen = plan(Limits(0, 8), Host((0, 1, 3), v1=V1), "g")
    assert chosen.folders == ()
    assert chosen.line == "cpu 8 cores: nothing to enforce, there are 3"


@pytest.mark.parametrize("means", [Means.V2, Means.V1, Means.SCOPE, Means.PROCESS])
def test_a_means_tried_in_vain_is_not_taken_again(means: Means) -> None:
    host = Host(CPUS, ("systemd-run",), V2, V1)
    for tried in (Means.SCOPE, Means.V2, Means.V1, Means.PROCESS):
        if tried is not means:
            host = host.without(tried, "tried")
    assert plan(LIMITS, host, "g").memory is means


def test_a_profile_limits_only_what_the_settings_leave_open() -> None:
    section = LimitsSection(memory_mb=700, cpu_cores=3, threads=3)
    config = with_profile(NodeConfig(memory_mb=500), section)
    assert (config.memory_mb, config.cpu_cores, config.threads) == (500, 3, 3)
    assert limits_of(config) == Limits(500_000_000, 3)
