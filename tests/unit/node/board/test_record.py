"""The record of what was shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.board import record
from node.board.record import ShownReader, ShownRecord, before, beside


def read(path: Path) -> dict[bytes, str]:
    reader = ShownReader(path)
    reader.update()
    return reader.texts


def test_what_was_shown_can_be_read_back(tmp_path: Path) -> None:
    path = beside(tmp_path / "node.sqlite")
    shown = ShownRecord(path)
    shown.keep(b"\1\2\3\4", "SUN\nA 1")
    shown.keep(b"\1\2\3\4", "SUN\nA 1")
    shown.keep(b"\5\6\7\x08", "ü")
    assert read(path) == {b"\1\2\3\4": "SUN\nA 1", b"\5\6\7\x08": "ü"}


def test_lines_that_are_none_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "shown.jsonl"
    ShownRecord(path).keep(b"\1\2\3\4", "A")
    with path.open("a") as file:
        file.write('[]\n{"sha256": 5, "text": ""}\n{"sha256": "zz", "text": ""}\n{"sha2')
    assert list(read(path).values()) == ["A"]


def test_it_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "MAX_BYTES", 500)
    path = tmp_path / "shown.jsonl"
    shown = ShownRecord(path)
    for number in range(100):
        shown.keep(number.to_bytes(4, "big"), f"text {number}")
    assert path.stat().st_size < 600
    assert before(path).stat().st_size < 600
    texts = list(read(path).values())
    assert texts[-1] == "text 99"
    assert 8 < len(texts) < 40


def test_a_disk_that_takes_nothing_is_no_fault(tmp_path: Path) -> None:
    ShownRecord(tmp_path / "none" / "shown.jsonl").keep(b"\1\2\3\4", "A")
    assert read(tmp_path / "none" / "shown.jsonl") == {}


def test_what_comes_later_is_read_too_and_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "MAX_BYTES", 300)
    path = tmp_path / "shown.jsonl"
    shown, reader = ShownRecord(path), ShownReader(path)
    taken: list[int] = []
    take = reader._take
    monkeypatch.setattr(reader, "_take", lambda data: (taken.append(len(data)), take(data)))
    for number in range(5):
        shown.keep(number.to_bytes(4, "big"), f"text {number}")
        reader.update()
    assert list(reader.texts.values()) == [f"text {number}" for number in range(5)]
    assert sum(taken) == path.stat().st_size
    for number in range(5, 30):
        shown.keep(number.to_bytes(4, "big"), f"text {number}")
        reader.update()
    assert len(reader.texts) == 30, "also where the file has begun anew"


def test_a_line_that_is_half_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "shown.jsonl"
    ShownRecord(path).keep(b"\1\2\3\4", "A")
    reader = ShownReader(path)
    with path.open("a") as file:
        file.write('{"sha256": "05060708", ')
    reader.update()
    assert list(reader.texts.values()) == ["A"]
    with path.open("a") as file:
        file.write('"text": "B"}\n')
    reader.update()
    assert list(reader.texts.values()) == ["A", "B"]
