"""What each tool does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from node.board.folder import NotThere, file_in
from node.board.tools import run_tool

FRAME = {"at_ns": 0, "light": "SUN", "values": {"A": "1", "B": "2"}, "units": {"A": "V", "B": ""}}
TELEMETRY: dict[str, Any] = {"frames": [FRAME], "channels": ()}


def read(arguments: dict[str, Any], **view: Any) -> str:
    return run_tool("telemetry.read", arguments, TELEMETRY | view)


def test_telemetry_is_read_whole_or_in_part() -> None:
    assert read({}) == "SUN\nA 1 V\nB 2"
    assert read({"channels": ["B"]}) == "SUN\nB 2"
    assert read({"channels": ["B", "A"]}) == "SUN\nB 2\nA 1 V"
    assert read({"channels": ["C"]}) == "SUN", "a model says that it is not there"


def test_channels_that_are_not_shown_cannot_be_read() -> None:
    assert read({}, channels=("A",)) == "SUN\nA 1 V"
    assert read({"channels": ["B"]}, channels=("A",)) == "error: no such channel"


@pytest.mark.parametrize("channels", ["A", 5, [1], {"A": 1}, None])
def test_arguments_that_are_none_are_an_error(channels: object) -> None:
    assert read({"channels": channels}) == "error: channels are a list of names"


def test_a_history_has_a_line_a_channel() -> None:
    before = FRAME | {"at_ns": -60 * 10**9, "values": {"A": "0", "B": "2"}}
    view = {"frames": [FRAME, before], "channels": ()}
    said = run_tool("telemetry.history", {"channels": ["A"]}, view)
    assert said == "min -1 0\nlight SUN SUN\nA 0 1 V"


def test_passes_and_the_time_are_as_the_node_says() -> None:
    assert run_tool("passes.next", {}, {"pass": "Berlin, …"}) == "Berlin, …"
    assert run_tool("time.now", {}, {"time": "2026"}) == "2026"
    assert run_tool("rm", {}, {}) == "error: no such tool"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "docs"
    (inside / "sub").mkdir(parents=True)
    (inside / "a.txt").write_text("hello")
    (inside / "sub" / "b.txt").write_text("deep")
    (tmp_path / "secret.txt").write_text("secret")
    (inside / "out.txt").symlink_to(tmp_path / "secret.txt")
    os.mkfifo(inside / "pipe")
    return inside


def file(folder: Path, name: object) -> str:
    view = {"folder": str(folder), "max_bytes": 10}
    return run_tool("files.read", {"name": name}, view)


def test_files_of_one_folder_are_read(folder: Path) -> None:
    assert file(folder, "a.txt") == "hello"
    assert file(folder, "sub/b.txt") == "deep"
    assert file(folder, None) == "a.txt"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "b.txt",
        "../secret.txt",
        "/etc/passwd",
        "sub",
        "out.txt",
        "pipe",
        "a\0b",
        "sub/../../secret.txt",
        "x" * 5000,
    ],
)
def test_nothing_else_is(folder: Path, name: str) -> None:
    assert file(folder, name) == "error: no such file"


def test_a_name_is_a_text_and_a_file_not_too_long(folder: Path) -> None:
    assert file(folder, 5) == "error: a name is a text"
    (folder / "long.txt").write_text("x" * 11)
    assert file(folder, "long.txt") == "error: more than 10 bytes"
    with pytest.raises(NotThere):
        file_in(folder, "long.txt", 10)
    assert file_in(folder, "long.txt", 11) == b"x" * 11
