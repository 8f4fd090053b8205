"""Reading a machine, and carrying out a plan, on a folder that stands in for the kernel's."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from node.body.cgroup import (
    Enforcer,
    Mount,
    folder_of,
    parse_groups,
    parse_mounts,
    read_host,
    remove_stale,
)
from node.body.limits import Host, Limits, Means

MOUNTINFO = """\
21 1 0:20 / / rw - ext4 /dev/sda rw
30 21 0:26 / /sys/fs/cgroup/my\\040cpu rw,nosuid - cgroup cgroup rw,cpu,cpuacct
31 21 0:27 /docker/1 /sys/fs/cgroup/memory ro shared:9 - cgroup cgroup rw,memory
32 21 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
short line
"""
LIMITS = Limits(1_000_000, 0.5)


def test_mounts_are_found_with_their_roots_and_blanks() -> None:
    assert parse_mounts(MOUNTINFO) == {
        "cpu": Mount("/", Path("/sys/fs/cgroup/my cpu")),
        "memory": Mount("/docker/1", Path("/sys/fs/cgroup/memory")),
        "": Mount("/", Path("/sys/fs/cgroup/unified")),
    }


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("26 21 0:28 / /cg rw - cgroup2 cgroup2 rw", True),
        ("26 21 0:28 / /cg - cgroup2 x y", True),
        ("26 21 0:28 / - cgroup2 cgroup2 rw", False),
        ("26 21 0:28 / /cg rw - cgroup2 cgroup2", False),
        ("26 21 0:28 / /cg rw cgroup2 cgroup2 rw", False),
    ],
)
def test_a_line_of_mounts_has_five_fields_and_three_more(line: str, found: bool) -> None:
    """What stands between is optional (proc_pid_mountinfo(5))."""
    assert parse_mounts(line) == ({"": Mount("/", Path("/cg"))} if found else {})


def test_groups_are_found_by_controller() -> None:
    text = "4:cpu,cpuacct:/a:b\n3:memory:/docker/1\n0::/user.slice\n"
    assert parse_groups(text) == {
        "cpu": "/a:b",
        "cpuacct": "/a:b",
        "memory": "/docker/1",
        "": "/user.slice",
    }


@pytest.mark.parametrize(
    ("root", "group", "folder"),
    [
        ("/", "/a/b", "/cg/a/b"),
        ("/", "/", "/cg"),
        ("/docker/1", "/docker/1", "/cg"),
        ("/docker/1", "/docker/1/x", "/cg/x"),
        ("/docker/1", "/other", "/cg"),
    ],
)
def test_a_group_is_found_where_the_mount_begins(root: str, group: str, folder: str) -> None:
    assert folder_of(Mount(root, Path("/cg")), group) == Path(folder)


class FakeKernel:
    """Folders as cgroup v2 or v1 has them; new groups do not get files of their own."""

    def __init__(self, root: Path, kinds: str) -> None:
        self.proc = root / "proc"
        (self.proc / "self").mkdir(parents=True)
        self.group = root / "cg" / "me"
        self.group.mkdir(parents=True)
        lines = [f"1 1 0:1 / {root / 'cg'} rw - {kinds}"]
        (self.proc / "self" / "mountinfo").write_text("\n".join(lines))
        (self.proc / "self" / "cgroup").write_text(
            "0::/me\n" if "cgroup2" in kinds else "1:cpu,memory:/me\n"
        )
        self.file("cgroup.procs", f"{os.getpid()}\n")

    def file(self, name: str, text: str) -> None:
        (self.group / name).write_text(text)

    def host(self) -> Host:
        return read_host(self.proc, systemd=self.proc / "no", environ={})


@pytest.fixture
def v2(tmp_path: Path) -> FakeKernel:
    kernel = FakeKernel(tmp_path, "cgroup2 cgroup2 rw")
    kernel.file("cgroup.controllers", "cpuset cpu io memory pids\n")
    kernel.file("cgroup.subtree_control", "\n")
    kernel.file("cgroup.type", "domain\n")
    return kernel


def test_a_group_of_ones_own_in_v2_is_used(v2: FakeKernel) -> None:
    found = v2.host().v2
    assert found is not None
    assert found.folder == v2.group
    assert found.movable
    assert found.controllers == {"cpu", "memory"}


def test_a_group_with_other_processes_is_not(v2: FakeKernel) -> None:
    v2.file("cgroup.procs", f"1\n{os.getpid()}\n")
    host = v2.host()
    assert host.v2 is None
    assert (Means.V2, "other processes are in the same group") in host.why_not


def test_unless_its_controllers_are_enabled_already(v2: FakeKernel) -> None:
    v2.file("cgroup.procs", f"1\n{os.getpid()}\n")
    v2.file("cgroup.subtree_control", "cpu memory\n")
    found = v2.host().v2
    assert found is not None
    assert not found.movable


def test_a_group_that_systemd_has_not_delegated_is_left_alone(
    v2: FakeKernel, tmp_path: Path
) -> None:
    host = read_host(v2.proc, systemd=tmp_path, environ={"PATH": ""})
    assert host.v2 is None
    assert "not delegated" in dict(host.why_not)[Means.V2]
    assert Means.SCOPE in dict(host.why_not)


def test_v1_folders_are_used_where_they_can_be_written(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path, "cgroup cgroup rw,cpu,memory")
    assert kernel.host().v1 == {"memory": kernel.group, "cpu": kernel.group}


def test_a_machine_without_cgroups_says_why(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    host = read_host(tmp_path, systemd=tmp_path / "no", environ={})
    assert dict(host.why_not)[Means.V1] == "not mounted"
    assert host.process_limits


def test_a_plan_that_the_kernel_refuses_gives_way_to_the_next_best(v2: FakeKernel) -> None:
    """Here the files of the new group are missing, so that nothing can be written."""
    lines: list[str] = []
    enforcer = Enforcer(LIMITS, v2.host(), lines.append)
    assert enforcer.plan.memory is Means.PROCESS
    assert "RLIMIT_DATA" in lines[0]
    assert "no cgroup v2: No such file or directory" in lines[0]
    assert sorted(path.name for path in v2.group.iterdir() if path.is_dir()) == []
    enforcer.close()


def test_nothing_is_made_or_said_where_no_limit_is_asked_for(v2: FakeKernel) -> None:
    lines: list[str] = []
    Enforcer(Limits(), v2.host(), lines.append).close()
    assert lines == []
    assert not any(stat.S_ISDIR(path.stat().st_mode) for path in v2.group.iterdir())


def test_a_node_removes_those_of_a_dead_one_at_its_end_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dead one's engine may have been dying still when the node began."""
    kernel = FakeKernel(tmp_path, "cgroup cgroup rw,memory,cpu")
    monkeypatch.setattr("node.body.cgroup._write", lambda path, text: None)
    enforcer = Enforcer(LIMITS, kernel.host(), lambda line: None)
    dead = kernel.group / "groundloop-engine-999999999"
    dead.mkdir()
    enforcer.close()
    assert not dead.exists()


def test_folders_of_nodes_that_are_gone_are_removed(tmp_path: Path) -> None:
    proc, parent = tmp_path / "proc", tmp_path / "cg"
    (proc / "7").mkdir(parents=True)
    for name in ("groundloop-engine-7", "groundloop-engine-8", "groundloop-engine-8-node", "mine"):
        (parent / name).mkdir(parents=True)
    remove_stale(parent, proc)
    assert sorted(path.name for path in parent.iterdir()) == ["groundloop-engine-7", "mine"]
