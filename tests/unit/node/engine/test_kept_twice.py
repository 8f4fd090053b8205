"""What is damaged on a disk is found, said, and written anew from the other file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from models.gguf.header import read_header
from models.resolve import resolve
from node.engine.kept_twice import KeptTwice
from roundtrip.errors import BadModel

WHEN_NS = 1_700_000_000_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    shutil.copyfile(resolve("tiny"), path)
    os.utime(path, ns=(WHEN_NS, WHEN_NS))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "states"


@pytest.fixture
def said() -> list[str]:
    return []


def second_of(folder: Path) -> Path:
    (only,) = folder.glob("*.gguf")
    return only


def record_of(folder: Path) -> Path:
    (only,) = folder.glob("*.crc32c")
    return only


def flip(path: Path, at: int) -> None:
    """As radiation does: without a new date."""
    state = path.stat()
    data = bytearray(path.read_bytes())
    data[at] ^= 2
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def place_in(path: Path, tensor: int) -> tuple[str, int]:
    """A tensor's name, and a byte in the middle of it."""
    header = read_header(path)
    info = header.tensors[tensor]
    return info.name, header.data_at_byte + info.offset_bytes + info.size_bytes // 2


def test_a_second_file_is_made_once(path: Path, folder: Path, said: list[str]) -> None:
    KeptTwice(path, folder, said.append)
    second = second_of(folder)
    assert second.read_bytes() == path.read_bytes()
    before = second.stat().st_mtime_ns
    KeptTwice(path, folder, said.append)
    assert (second.stat().st_mtime_ns, said) == (before, [])
    assert sorted(one.suffix for one in folder.iterdir()) == [".crc32c", ".gguf"]


def test_tensors_are_those_of_the_file(path: Path, folder: Path, said: list[str]) -> None:
    files = KeptTwice(path, folder, said.append)
    header = read_header(path)
    data = path.read_bytes()
    for tensor in header.tensors:
        start = header.data_at_byte + tensor.offset_bytes
        expected = data[start : start + tensor.size_bytes]
        assert files.tensor(tensor.name) == (expected, "model.gguf")


def test_a_tensor_that_the_file_has_damaged_comes_from_the_second_one(
    path: Path, folder: Path, said: list[str]
) -> None:
    files = KeptTwice(path, folder, said.append)
    name, at = place_in(path, 3)
    right, _ = files.tensor(name)
    flip(path, at)
    assert files.tensor(name) == (right, second_of(folder).name)
    assert files.path.read_bytes() != second_of(folder).read_bytes(), "mended at the next start"


@pytest.mark.parametrize("tensor", [None, 0, -1])
@pytest.mark.parametrize("which", ["first", "second"])
def test_a_damaged_file_is_mended_at_the_start_and_keeps_its_date(
    path: Path, folder: Path, said: list[str], which: str, tensor: int | None
) -> None:
    KeptTwice(path, folder, said.append)
    second = second_of(folder)
    right = path.read_bytes()
    name, at = ("the header", 30) if tensor is None else place_in(path, tensor)
    damaged, other = (path, second) if which == "first" else (second, path)
    flip(damaged, at)
    KeptTwice(path, folder, said.append)
    assert said == [
        f"{damaged.name}: {name} is damaged on the disk; written anew from {other.name}"
    ]
    assert path.read_bytes() == second.read_bytes() == right
    assert path.stat().st_mtime_ns == WHEN_NS
    KeptTwice(path, folder, said.append)
    assert len(said) == 1


@pytest.mark.parametrize("which", ["first", "second"])
def test_where_it_cannot_be_written_the_other_file_is_loaded(
    path: Path, folder: Path, said: list[str], which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert KeptTwice(path, folder, said.append).whole == path
    second = second_of(folder)
    damaged = path if which == "first" else second
    name, at = place_in(path, 1)
    flip(damaged, at)

    def refuse(_: int) -> None:
        raise PermissionError(1, "Read-only file system")

    monkeypatch.setattr("node.engine.kept_twice.os.fsync", refuse)
    files = KeptTwice(path, folder, said.append)
    assert files.whole == (second if which == "first" else path)
    (line,) = said
    assert line.startswith(f"{damaged.name}: {name} is damaged on the disk, and cannot be written")
    assert line.endswith("Read-only file system")


def test_a_tensor_damaged_in_both_files_is_an_error(
    path: Path, folder: Path, said: list[str]
) -> None:
    files = KeptTwice(path, folder, said.append)
    name, at = place_in(path, 2)
    flip(path, at)
    flip(second_of(folder), at)
    with pytest.raises(BadModel, match=name):
        files.tensor(name)
    with pytest.raises(BadModel, match="both damaged"):
        KeptTwice(path, folder, said.append)


def test_a_file_that_somebody_changed_is_a_new_one(
    path: Path, folder: Path, said: list[str]
) -> None:
    KeptTwice(path, folder, said.append)
    _name, at = place_in(path, 3)
    flip(path, at)
    os.utime(path, ns=(WHEN_NS, WHEN_NS + 1))
    changed = path.read_bytes()
    KeptTwice(path, folder, said.append)
    assert (said, path.read_bytes()) == ([], changed)
    assert second_of(folder).read_bytes() == changed


@pytest.mark.parametrize("text", ["", "00000000 {}", "nothing", None])
def test_a_record_that_does_not_hold_is_made_anew(
    path: Path, folder: Path, said: list[str], text: str | None
) -> None:
    KeptTwice(path, folder, said.append)
    right = record_of(folder).read_text()
    damaged = right.replace("token_embd", "token_ambd", 1) if text is None else text
    assert damaged != right
    record_of(folder).write_text(damaged)
    KeptTwice(path, folder, said.append)
    assert (record_of(folder).read_text(), said) == (right, [])


def test_a_second_file_that_is_gone_is_made_anew(path: Path, folder: Path, said: list[str]) -> None:
    KeptTwice(path, folder, said.append)
    second_of(folder).unlink()
    KeptTwice(path, folder, said.append)
    assert second_of(folder).read_bytes() == path.read_bytes()


def test_a_second_file_that_was_cut_is_made_whole(
    path: Path, folder: Path, said: list[str]
) -> None:
    KeptTwice(path, folder, said.append)
    second = second_of(folder)
    os.truncate(second, path.stat().st_size // 2)
    KeptTwice(path, folder, said.append)
    assert second.read_bytes() == path.read_bytes()
    assert said


def test_two_models_have_a_second_file_each(
    path: Path, folder: Path, said: list[str], tmp_path: Path
) -> None:
    other = tmp_path / "other.gguf"
    shutil.copyfile(path, other)
    KeptTwice(path, folder, said.append)
    KeptTwice(other, folder, said.append)
    assert len(list(folder.glob("*.gguf"))) == 2


def test_no_room_for_a_second_file_is_said(path: Path, tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "states").write_text("no folder")
    with pytest.raises(BadModel, match=r"room in .* for a second file of the model"):
        KeptTwice(path, tmp_path / "states", said.append)
