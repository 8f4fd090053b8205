"""Files of another kind or version, and values that cannot be: one line that names them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dtn.bpv7.bundle import BundleId
from ground.outputs import StorePart, StoreQuestion
from ground.store import GroundStore, StartedRun
from node.outputs import StoreQuestion as TakenQuestion
from node.store import NodeStore
from roundtrip.anchor import Anchor
from roundtrip.errors import BadInput, EnvironmentFault
from roundtrip.message import Part


@pytest.fixture
def node_file(tmp_path: Path) -> Path:
    path = tmp_path / "node.sqlite"
    store = NodeStore(path)
    store.apply(TakenQuestion(1, b"payload", 5, -6, BundleId("ipn:1.1", 7, 8)))
    store.keep_anchor(Anchor("boot", -5, 0))
    store.close()
    return path


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    store = GroundStore(path)
    store.start(StartedRun(1, Anchor("boot", 5, 6)))
    store.apply(StoreQuestion(1, b"payload", 5))
    store.apply(StorePart(Part(1, 0, "Ye"), BundleId("ipn:2.1", 0, 0)))
    store.close()
    return path


def change(path: Path, statement: str) -> None:
    db = sqlite3.connect(path)
    db.execute(statement)
    db.commit()
    db.close()


@pytest.mark.parametrize("kind", ["node", "ground"])
@pytest.mark.parametrize("version", [0, 1, 99])
def test_another_version_is_refused(kind: str, version: int, node_file: Path, ledger: Path) -> None:
    path, opened = (node_file, NodeStore) if kind == "node" else (ledger, GroundStore)
    opened(path).close()
    change(path, f"PRAGMA user_version={version}")
    with pytest.raises(BadInput, match=rf"{path.name}: expected a .* of version 2.*{version}$"):
        opened(path)


def test_a_file_of_another_kind_is_refused_and_left_as_it_is(
    node_file: Path, ledger: Path, tmp_path: Path
) -> None:
    for path, opened in ((node_file, GroundStore), (ledger, NodeStore)):
        with pytest.raises(BadInput, match="found another database"):
            opened(path)
    mine = tmp_path / "mine.sqlite"
    change(mine, "CREATE TABLE questions (mine TEXT)")
    before = mine.read_bytes()
    with pytest.raises(BadInput, match="found another database"):
        NodeStore(mine)
    assert mine.read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "column", "value"),
    [
        ("node", "questions.question_id", "x'00'"),
        ("node", "questions.question_id", "'12345678'"),
        ("node", "questions.payload", "'text'"),
        ("node", "questions.delivered_ns", -1),
        ("node", "questions.delivered_ns", 1.5),
        ("node", "questions.delivered_ns", "'x'"),
        ("node", "questions.deadline_ns", (1 << 62) + 1),
        ("node", "questions.deadline_ns", -(1 << 63)),
        ("node", "questions.reply", "'text'"),
        ("node", "questions.bundle", "'['"),
        ("node", "questions.bundle", "'[1]'"),
        ("node", "questions.bundle", "'[1, 2, 3]'"),
        ("node", "questions.bundle", "'[\"a\", null, 3]'"),
        ("node", "questions.bundle", '\'["a", 2, "b"]\''),
        ("node", "clock.origin_ns", 1 << 63),
        ("node", "clock.epoch_ms", -1),
        ("ground", "run.run_id", -1),
        ("ground", "run.run_id", 1 << 32),
        ("ground", "run.dtn_epoch_ms", -1),
        ("ground", "run.origin_ns", "'x'"),
        ("ground", "questions.question_id", "x''"),
        ("ground", "questions.payload", 5),
        ("ground", "questions.asked_ns", -1),
        ("ground", "questions.record", "'{'"),
        ("ground", "parts.question_id", "x''"),
        ("ground", "parts.start", -1),
        ("ground", "parts.text", "x'ff'"),
    ],
)
def test_a_value_that_cannot_be_is_named(
    kind: str, column: str, value: object, node_file: Path, ledger: Path
) -> None:
    path = node_file if kind == "node" else ledger
    opened: Callable[[Path], Any] = NodeStore if kind == "node" else GroundStore
    opened(path).close()
    table, name = column.split(".")
    change(path, f"UPDATE {table} SET {name} = {value}")
    with pytest.raises(BadInput, match=rf"{path.name}: {column}: expected") as caught:
        opened(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("opened", [NodeStore, GroundStore])
def test_what_is_no_database_or_cannot_be_written_is_refused(
    opened: Callable[[Path], Any], tmp_path: Path
) -> None:
    path = tmp_path / "junk.sqlite"
    path.write_bytes(b"not a database, by far" * 100)
    with pytest.raises(EnvironmentFault, match="not a database"):
        opened(path)
    with pytest.raises(EnvironmentFault, match="unable to open"):
        opened(tmp_path / "no folder" / "x.sqlite")


def test_a_file_that_can_only_be_read_is_refused(
    node_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect

    def read_only(path: Path, **options: Any) -> sqlite3.Connection:
        return connect(f"file:{path}?mode=ro", uri=True, **options)

    monkeypatch.setattr("roundtrip.database.sqlite3.connect", read_only)
    with pytest.raises(EnvironmentFault, match="readonly"):
        NodeStore(node_file)
