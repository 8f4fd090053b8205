from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dtn.bpv7.bundle import BundleId
from node.outputs import StoreAnswer, StoreQuestion, StoreSettled
from node.store import DROPPED_EVERY, NodeStore
from roundtrip.anchor import Anchor
from roundtrip.codec import encode
from roundtrip.message import Refusal, question_id

RUN, OTHER = 7, (1 << 32) - 1
BEGAN_NS = 10**8


def taken(ask, index: int, *, run: int = RUN) -> StoreQuestion:
    number = question_id(run, index)
    bundle_id = BundleId("ipn:1.1", run, index)
    return StoreQuestion(number, encode(ask(number)), BEGAN_NS - index, 5000 - index, bundle_id)


def recovered(path: Path, run: int = RUN) -> dict[int, tuple[Refusal | None, bool]]:
    store = NodeStore(path)
    rows, damaged = store.recover(run)
    assert damaged == []
    store.close()
    return {row.question.question_id & 0xFFFFFF: (row.reply, row.settled) for row in rows}


def test_what_was_applied_is_there_after_reopening_in_its_order(tmp_path: Path, ask) -> None:
    path = tmp_path / "node.sqlite"
    store = NodeStore(path)
    for index in (1, 2, (1 << 24) - 1):
        store.apply(taken(ask, index))
    reply, old = (Refusal(question_id(RUN, i), "no_time", "", 0, 0) for i in (2, (1 << 24) - 1))
    store.apply(StoreAnswer(reply.question_id, encode(reply)))
    store.apply(StoreAnswer(old.question_id, encode(old)))
    store.apply(StoreSettled(question_id(RUN, (1 << 24) - 1)))
    store.close()
    found = recovered(path)
    assert found == {1: (None, False), 2: (reply, False), (1 << 24) - 1: (old, True)}
    assert list(found) == [1, 2, (1 << 24) - 1], "as taken"
    with closing(NodeStore(path)) as again:
        (first, *_), _ = again.recover(RUN)
    assert (first.delivered_ns, first.deadline_ns) == (BEGAN_NS - 1, 4999)


def test_only_this_run_is_recovered_but_bundles_of_all_are_known(tmp_path: Path, ask) -> None:
    path = tmp_path / "node.sqlite"
    store = NodeStore(path)
    store.apply(taken(ask, 1, run=RUN - 1))
    store.apply(taken(ask, 3, run=OTHER))
    store.apply(taken(ask, 2))
    store.close()
    assert list(recovered(path)) == [2]
    assert list(recovered(path, OTHER)) == [3]
    with closing(NodeStore(path)) as again:
        assert len(again.recover(None)[0]) == 3
        seen = [(bundle.creation_ms, bundle.sequence) for bundle in again.seen()]
    assert seen == [(RUN - 1, 1), (OTHER, 3), (RUN, 2)], "the oldest first: it is forgotten first"


def test_the_oldest_rows_go_by_number_also_while_it_is_open(
    tmp_path: Path, ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.store.KEPT", 3)
    path = tmp_path / "node.sqlite"
    store = NodeStore(path)
    for index in range(DROPPED_EVERY - 1):
        store.apply(taken(ask, index))
    assert len(store.seen()) == DROPPED_EVERY - 1
    store.apply(taken(ask, DROPPED_EVERY - 1))
    assert [bundle.sequence for bundle in store.seen()] == [997, 998, 999]
    store.apply(taken(ask, DROPPED_EVERY))
    store.close()
    with closing(NodeStore(path)) as again:
        assert [bundle.sequence for bundle in again.seen()] == [998, 999, 1000]


def test_it_survives_being_killed_between_writes(tmp_path: Path, ask) -> None:
    path = tmp_path / "node.sqlite"
    NodeStore(path).close()
    with closing(NodeStore(path)) as store:
        assert store._db.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
        assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        store.apply(taken(ask, 1))
        with closing(sqlite3.connect(path)) as copy:
            assert copy.execute("SELECT count(*) FROM questions").fetchone() == (1,)


def test_the_clock_of_a_link_without_a_modem_is_kept(tmp_path: Path, ask) -> None:
    path = tmp_path / "node.sqlite"
    store = NodeStore(path)
    assert (store.anchor(), store.last_ns()) == (None, 0)
    for anchor in (Anchor("a", 5, 0), Anchor("b", -6, 7)):
        store.keep_anchor(anchor)
    for index in (3, 1, 2):
        store.apply(taken(ask, index))
    store.close()
    with closing(NodeStore(path)) as again:
        assert (again.anchor(), again.last_ns()) == (Anchor("b", -6, 7), BEGAN_NS - 1)
