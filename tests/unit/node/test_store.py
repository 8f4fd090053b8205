from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from dtn.bpv7.bundle import BundleId
from node.outputs import StoreAnswer, StoreQuestion, StoreSettled
from node.store import KEPT_S, PRUNED_EVERY, NodeStore
from roundtrip.errors import EnvironmentFault
from roundtrip.message import encode, question_id

RUN, OTHER = 7, (1 << 40) - 1


class Wall:
    """A wall clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000

    def __call__(self) -> int:
        return self.now_s


def taken(ask, index: int, *, run: int = RUN, left_ms: int = 600_000) -> StoreQuestion:
    number = question_id(run, index)
    bundle_id = BundleId("ipn:1.1", run, index)
    return StoreQuestion(number, encode(ask(number)), 1000 - index, 5000, left_ms, bundle_id)


def recovered(path: Path, wall: Wall, run: int = RUN) -> dict[int, tuple[bytes | None, bool]]:
    store = NodeStore(path, unix_s=wall)
    rows = store.recover(run)
    store.close()
    return {row.question.question_id & 0xFFFFFF: (row.reply, row.settled) for row in rows}


def test_what_was_applied_is_there_after_reopening_in_its_order(tmp_path: Path, ask) -> None:
    path, wall = tmp_path / "node.sqlite", Wall()
    store = NodeStore(path, unix_s=wall)
    for index in (1, 2, (1 << 24) - 1):
        store.apply(taken(ask, index))
    store.apply(StoreAnswer(question_id(RUN, 2), b"reply"))
    store.apply(StoreAnswer(question_id(RUN, (1 << 24) - 1), b"old"))
    store.apply(StoreSettled(question_id(RUN, (1 << 24) - 1)))
    store.close()
    found = recovered(path, wall)
    assert found == {1: (None, False), 2: (b"reply", False), (1 << 24) - 1: (b"old", True)}
    assert list(found) == [1, 2, (1 << 24) - 1], "as taken"


def test_only_this_run_and_what_somebody_waits_for_is_recovered(tmp_path: Path, ask) -> None:
    path, wall = tmp_path / "node.sqlite", Wall()
    store = NodeStore(path, unix_s=wall)
    store.apply(taken(ask, 1, run=RUN - 1))
    store.apply(taken(ask, 2, run=OTHER))
    store.apply(taken(ask, 3, left_ms=10_000))
    wall.now_s += 60
    store.apply(taken(ask, 4, left_ms=10_000))
    store.close()
    assert list(recovered(path, wall)) == [4]
    assert list(recovered(path, wall, OTHER)) == [2]
    again = NodeStore(path, unix_s=wall)
    seen = {(bundle.creation_ms, bundle.sequence) for bundle in again.seen()}
    again.close()
    assert seen == {(RUN - 1, 1), (OTHER, 2), (RUN, 4)}, "of all runs"


def test_rows_are_dropped_a_day_after_they_expired_also_while_it_is_open(tmp_path, ask) -> None:
    path, wall = tmp_path / "node.sqlite", Wall()
    store = NodeStore(path, unix_s=wall)
    store.apply(taken(ask, 0))
    wall.now_s += KEPT_S + 601
    for index in range(1, PRUNED_EVERY):
        store.apply(taken(ask, index))
    rows = store._db.execute("SELECT count(*) FROM questions").fetchone()
    assert rows == (PRUNED_EVERY - 1,)
    store.close()


def test_it_survives_being_killed_between_writes(tmp_path: Path, ask) -> None:
    path = tmp_path / "node.sqlite"
    store = NodeStore(path, unix_s=Wall())
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.apply(taken(ask, 1))
    copy = sqlite3.connect(path)
    assert copy.execute("SELECT count(*) FROM questions").fetchone() == (1,)
    copy.close()
    store.close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    path.write_bytes(b"not a database, by far" * 100)
    with pytest.raises(EnvironmentFault, match="not a database"):
        NodeStore(path, unix_s=Wall())
