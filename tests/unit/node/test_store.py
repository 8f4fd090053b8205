from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from node.machine import StoreAnswer, StoreQuestion, StoreSettled
from node.store import NodeStore
from roundtrip.errors import EnvironmentFault
from roundtrip.message import encode


def test_what_was_applied_is_there_after_reopening(tmp_path: Path, ask) -> None:
    path = tmp_path / "node.sqlite"
    store = NodeStore(path, keep_s=100, unix_s=1000)
    for question_id in (1, 2, (1 << 64) - 1):
        store.apply(StoreQuestion(question_id, encode(ask(question_id)), question_id % 1000))
    store.apply(StoreAnswer(2, b"reply"))
    store.apply(StoreAnswer((1 << 64) - 1, b"old"))
    store.apply(StoreSettled((1 << 64) - 1))
    store.close()
    rows = NodeStore(path, keep_s=100, unix_s=1050).recover()
    found = {row.question.question_id: (row.reply, row.settled) for row in rows}
    assert found == {1: (None, False), 2: (b"reply", False), (1 << 64) - 1: (b"old", True)}


def test_settled_questions_are_forgotten_after_their_time(tmp_path: Path, ask) -> None:
    path = tmp_path / "node.sqlite"
    store = NodeStore(path, keep_s=100, unix_s=1000)
    store.apply(StoreQuestion(1, encode(ask(1)), 0))
    store.apply(StoreQuestion(2, encode(ask(2)), 0))
    store.apply(StoreSettled(1))
    store.close()
    rows = NodeStore(path, keep_s=100, unix_s=2000).recover()
    assert [row.question.question_id for row in rows] == [2]


def test_it_survives_being_killed_between_writes(tmp_path: Path, ask) -> None:
    path = tmp_path / "node.sqlite"
    store = NodeStore(path, keep_s=100, unix_s=1000)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.apply(StoreQuestion(1, encode(ask(1)), 0))
    copy = sqlite3.connect(path)
    assert copy.execute("SELECT count(*) FROM questions").fetchone() == (1,)
    copy.close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    path.write_bytes(b"not a database, by far" * 100)
    with pytest.raises(EnvironmentFault, match="not a database"):
        NodeStore(path, keep_s=100, unix_s=0)
