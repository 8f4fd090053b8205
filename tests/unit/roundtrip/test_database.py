"""Files of another kind or version, and values that cannot be: one line that names them."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dtn.bpv7.bundle import BundleId
from ground.outputs import StorePart, StoreQuestion
from ground.store import GroundStore, StartedRun
from node.outputs import StoreAnswer
from node.outputs import StoreQuestion as TakenQuestion
from node.store import NodeStore
from roundtrip.anchor import Anchor
from roundtrip.codec import encode
from roundtrip.database import Layout, open_database, unsaid
from roundtrip.errors import BadInput, EnvironmentFault
from roundtrip.message import GREEDY, Answer, Part, Question, Refusal


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
@pytest.mark.parametrize("version", [0, 1, 4, 99])
def test_another_version_is_refused(kind: str, version: int, node_file: Path, ledger: Path) -> None:
    path, opened = (node_file, NodeStore) if kind == "node" else (ledger, GroundStore)
    opened(path).close()
    change(path, f"PRAGMA user_version={version}")
    with pytest.raises(BadInput, match=rf"{path.name}: expected a .* of version 3.*{version}$"):
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
def test_a_value_that_cannot_be_is_named_and_the_file_set_aside(
    kind: str, column: str, value: object, node_file: Path, ledger: Path
) -> None:
    path = node_file if kind == "node" else ledger
    opened: Callable[..., Any] = NodeStore if kind == "node" else GroundStore
    opened(path).close()
    table, name = column.split(".")
    change(
        path,
        f"UPDATE {table} SET {name} = {value} WHERE rowid = 1"
        if table == "run"
        else f"UPDATE {table} SET {name} = {value}",
    )
    before, told = path.read_bytes(), []
    opened(path, told.append).close()
    (said,) = told
    assert f"{path.name}, a " in said
    assert f"was damaged ({column}: expected" in said
    aside = path.with_name(f"{path.name}.damaged-1")
    assert f"set aside as {aside.name}" in said
    assert "\n" not in said
    assert aside.read_bytes() == before
    opened(path, told.append).close()
    assert len(told) == 1, "the new one is sound"


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


TOY = Layout("a toy", 5, 1, "CREATE TABLE toys (name TEXT, size INTEGER);", {})


def test_an_earlier_version_is_brought_up_to_date_step_by_step(tmp_path: Path) -> None:
    path = tmp_path / "toys.sqlite"
    db = open_database(path, TOY, unsaid)
    db.execute("INSERT INTO toys VALUES ('ball', 3)")
    db.close()
    steps = {1: "ALTER TABLE toys ADD colour TEXT", 2: "UPDATE toys SET colour = 'red'"}
    db = open_database(path, replace(TOY, version=3, steps=steps), unsaid)
    assert db.execute("SELECT * FROM toys").fetchall() == [("ball", 3, "red")]
    db.close()
    with pytest.raises(BadInput, match="a toy of version 2"):
        open_database(path, replace(TOY, version=2, steps=steps), unsaid)


def test_a_step_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "toys.sqlite"
    open_database(path, TOY, unsaid).close()
    broken = {1: "ALTER TABLE toys ADD colour TEXT; UPDATE no_such SET x = 1"}
    with pytest.raises(EnvironmentFault, match="no such table"):
        open_database(path, replace(TOY, version=2, steps=broken), unsaid)
    db = open_database(path, TOY, unsaid)
    assert [name for _, name, *_ in db.execute("PRAGMA table_info(toys)")] == ["name", "size"]
    db.close()


def test_files_of_the_version_before_go_on(
    node_file: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As version 2 left them: no checksums, and 1 for settled."""
    ask = Question(1, "Well?", "", 8, GREEDY, "off", 1000)
    payload = encode(ask, texts=()).hex()
    for path, columns in ((node_file, ("asked_crc", "reply_crc")), (ledger, ())):
        for column in columns:
            change(path, f"ALTER TABLE questions DROP {column}")
    reply = encode(Refusal(1, "no_time", "", 0, 0)).hex()
    values = f"payload = x'{payload}', settled = 1, reply = x'{reply}'"
    change(node_file, f"UPDATE questions SET {values}")
    change(node_file, "PRAGMA user_version=2")
    change(ledger, "DELETE FROM run WHERE rowid = 2")
    change(ledger, "ALTER TABLE run DROP crc")
    change(ledger, "ALTER TABLE parts DROP crc")
    for column in ("asked_crc", "record_crc"):
        change(ledger, f"ALTER TABLE questions DROP {column}")
    change(ledger, f"UPDATE questions SET payload = x'{payload}'")
    change(ledger, "PRAGMA user_version=2")
    with closing(NodeStore(node_file)) as node:
        (one,), damaged = node.recover(None)
        assert (one.question, one.settled, damaged) == (ask, True, [])
    with closing(GroundStore(ledger)) as ground:
        assert ground.started() == StartedRun(1, Anchor("boot", 5, 6))
        (asked,), _ = ground.recover()
        assert asked.parts == (Part(1, 0, "Ye"),)
    assert sqlite3.connect(ledger).execute("SELECT count(*) FROM run").fetchone() == (2,)


def filled(path: Path, count: int) -> None:
    with closing(NodeStore(path)) as store:
        for number in range(count):
            ask = Question(number, f"Question {number}? " * 40, "", 8, GREEDY, "off", 1000)
            bundle = BundleId("ipn:1.1", 7, number)
            store.apply(TakenQuestion(number, encode(ask, texts=()), 5, 6, bundle))
            told = encode(Answer(number, f"Answer {number}. " * 40, "stop", 1, 1, 0, 0, 0, 0, 0))
            store.apply(StoreAnswer(number, told))


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bits_are_noticed_and_the_rest_goes_on(tmp_path: Path, seed: int) -> None:
    """Anywhere in the file: nothing that is taken from it is another than was written."""
    rng, told = random.Random(seed), []
    path = tmp_path / "node.sqlite"
    filled(path, 60)
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 3, 20))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    with closing(NodeStore(path, told.append)) as store:
        found, damaged = store.recover(None)
    assert len(found) >= 60 - 20 * 2
    for one in found:
        number = one.question.question_id
        assert one.question.text == f"Question {number}? " * 40
        assert one.reply is None or one.reply.text == f"Answer {number}. " * 40
    if len(found) < 60 or damaged:
        assert told
    with closing(NodeStore(path, told.append)) as store:
        assert store.recover(None) == (found, []), "and stays so"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_of_a_file_cut_short_what_is_left_goes_on(tmp_path: Path, share: float) -> None:
    path, told = tmp_path / "node.sqlite", []
    filled(path, 60)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with closing(NodeStore(path, told.append)) as store:
        found, _ = store.recover(None)
    assert told
    assert len(found) < 60
    assert all(one.question.text.startswith("Question") for one in found)


def test_damaged_files_are_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    for number in (1, 2):
        filled(path, 3)
        data = b"SQLite format 3\0" + bytes([number]) * 5000
        path.write_bytes(data)
        NodeStore(path).close()
        assert path.with_name(f"node.sqlite.damaged-{number}").read_bytes() == data


def test_what_a_ledger_is_of_is_kept_twice(ledger: Path) -> None:
    change(ledger, "UPDATE run SET run_id = 5 WHERE rowid = 1")
    with closing(GroundStore(ledger)) as ground:
        assert ground.started() == StartedRun(1, Anchor("boot", 5, 6))
    change(ledger, "UPDATE run SET run_id = 5")
    with closing(GroundStore(ledger)) as ground, pytest.raises(BadInput, match="run: expected"):
        ground.started()
