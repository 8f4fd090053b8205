"""The ground's ledger on disk: questions and outcomes, in SQLite (WAL, synchronous=FULL).

It is what a run that was killed goes on from. All calls come from one thread, the store's own, but
for those before the first `apply`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ground.outputs import NodeHealth, Settled, StoredQuestion, StorePart, StoreQuestion
from ground.results.record import LoopRecord, from_json, to_json
from roundtrip.anchor import Anchor
from roundtrip.codec import decode, encode, question_in
from roundtrip.database import Layout, blob, open_database, unsaid, whole
from roundtrip.errors import BadInput, BadMessage
from roundtrip.message import RUN_BITS, Health, Part, index_of
from roundtrip.salvage import crc_of
from roundtrip.words import count

LAYOUT = Layout(
    "a ground's ledger",
    int.from_bytes(b"GLgr", "big"),
    3,
    """
CREATE TABLE run (
    run_id INTEGER NOT NULL,
    dtn_epoch_ms INTEGER NOT NULL,
    host TEXT NOT NULL,
    origin_ns INTEGER NOT NULL,
    health BLOB,
    crc INTEGER
);
CREATE TABLE questions (
    question_id BLOB PRIMARY KEY,
    payload BLOB NOT NULL,
    asked_ns INTEGER NOT NULL,
    loop_ns INTEGER,
    expire_ns INTEGER,
    record TEXT,
    asked_crc INTEGER,
    record_crc INTEGER
) WITHOUT ROWID;
CREATE TABLE parts (
    question_id BLOB NOT NULL,
    start INTEGER NOT NULL,
    text TEXT NOT NULL,
    crc INTEGER,
    PRIMARY KEY (question_id, start)
) WITHOUT ROWID;
""",
    {
        "run.run_id": (f"run_id BETWEEN 0 AND {(1 << RUN_BITS) - 1}", f"{RUN_BITS} bits"),
        "run.dtn_epoch_ms": (whole("dtn_epoch_ms"), "ms since 2000"),
        "run.origin_ns": (whole("origin_ns", -(1 << 62)), "ns of CLOCK_MONOTONIC"),
        "questions.question_id": (blob("question_id", size_bytes=8), "8 bytes"),
        "questions.payload": ("typeof(payload) = 'blob'", "bytes"),
        "questions.asked_ns": (whole("asked_ns"), "ns on the plan's clock"),
        "questions.loop_ns": (f"loop_ns IS NULL OR {whole('loop_ns')}", "ns, or nothing"),
        "questions.expire_ns": (f"expire_ns IS NULL OR {whole('expire_ns')}", "ns, or nothing"),
        "questions.record": ("record IS NULL OR json_valid(record)", "JSON"),
        "parts.question_id": (blob("question_id", size_bytes=8), "8 bytes"),
        "parts.start": (whole("start"), "an offset in bytes"),
        "parts.text": ("typeof(text) = 'text'", "text"),
    },
    {
        2: "ALTER TABLE run ADD crc INTEGER; ALTER TABLE parts ADD crc INTEGER; "
        "ALTER TABLE questions ADD asked_crc INTEGER; "
        "ALTER TABLE questions ADD record_crc INTEGER; INSERT INTO run SELECT * FROM run"
    },
)
RUN_ROWS = 2
"""What a ledger is of is kept twice: without it nothing else in it can be used."""


DROPPED = "null"
"""The record of a question of which only that it was asked is known."""


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run that has begun."""

    run_id: int
    anchor: Anchor
    """Its clock, and the date that both ends go by."""


class GroundStore:
    """The database of one run.

    Args:
        path: its file; made if it is not there.
        say: told of damage.

    Raises:
        BadInput: the file is of another kind or version.
        EnvironmentFault: the file cannot be opened or is no database.
    """

    def __init__(self, path: Path, say: Callable[[str], None] = unsaid) -> None:
        self._path = path
        self._say = say
        self._db = open_database(path, LAYOUT, say)

    def started(self) -> StartedRun | None:
        """The run that this ledger is of; None before `start`.

        Raises:
            BadInput: nobody can tell any more, as every copy is damaged.
        """
        rows = self._db.execute("SELECT run_id, host, origin_ns, dtn_epoch_ms, crc FROM run")
        found = [(tuple(row), crc in (None, crc_of(*row))) for *row, crc in rows]
        sound = next((row for row, is_sound in found if is_sound), None)
        if found and sound is None:
            raise BadInput(str(self._path), "run", "a run's id and clock", "damaged bytes")
        return None if sound is None else StartedRun(sound[0], Anchor(*sound[1:]))

    def start(self, run: StartedRun) -> None:
        """Note which run this is, or where the clock of the same run is now.

        Raises:
            sqlite3.Error: it is not on disk.
        """
        known, health = self.started(), self._health()
        if known is not None:
            run = StartedRun(known.run_id, replace(run.anchor, epoch_ms=known.anchor.epoch_ms))
        anchor = run.anchor
        row = run.run_id, anchor.host, anchor.origin_ns, anchor.epoch_ms
        self._db.execute("BEGIN")
        self._db.execute("DELETE FROM run")
        self._db.executemany(
            "INSERT INTO run (run_id, host, origin_ns, dtn_epoch_ms, crc, health) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            [(*row, crc_of(*row), health)] * RUN_ROWS,
        )
        self._db.execute("COMMIT")

    def recover(self) -> tuple[list[StoredQuestion], list[LoopRecord]]:
        """All questions, and the records of those that have their outcome. Of a question whose
        record is damaged the outcome comes again; one that is damaged itself is dropped: what is
        asked by a workload is asked again.

        Raises:
            BadInput: a record is none of ours.
        """
        questions: list[StoredQuestion] = []
        records: list[LoopRecord] = []
        parts: defaultdict[int, list[Part]] = defaultdict(list)
        for *part, crc in self._db.execute("SELECT question_id, start, text, crc FROM parts"):
            if crc in (None, crc_of(*part)):
                question_id = int.from_bytes(part[0], "big")
                parts[question_id].append(Part(question_id, *part[1:]))
        rows = self._db.execute(
            "SELECT question_id, payload, asked_ns, loop_ns, expire_ns, asked_crc, record, "
            "record_crc FROM questions"
        )
        damaged: list[bytes] = []
        for key, payload, asked_ns, loop_ns, expire_ns, asked_crc, record, record_crc in rows:
            question_id = int.from_bytes(key, "big")
            if record_crc not in (None, crc_of(key, record)):
                record = None
            is_sound = asked_crc in (None, crc_of(key, payload, asked_ns, loop_ns, expire_ns))
            if record is None and not (is_sound and _is_question(payload)):
                damaged.append(key)
                continue
            settled, known = record is not None, tuple(parts[question_id])
            budget_ns = None if loop_ns is None or expire_ns is None else (loop_ns, expire_ns)
            questions.append(
                StoredQuestion(question_id, payload, asked_ns, settled, budget_ns, known)
            )
            if record is not None and record != DROPPED:
                records.append(from_json(json.loads(record), str(self._path)))
        self._db.executemany(
            "DELETE FROM questions WHERE question_id = ?", [(key,) for key in damaged]
        )
        if damaged:
            ids = ", ".join(key.hex()[2:] for key in damaged[:4])
            self._say(f"{count(len(damaged), 'question')} in the ledger damaged: {ids}")
        return questions, records

    def settled(self) -> list[LoopRecord]:
        """The records that are still here, by index.

        Raises:
            BadInput: a record is none of ours.
        """
        rows = self._db.execute(
            "SELECT question_id, record, record_crc FROM questions "
            "WHERE record IS NOT NULL AND record != ? ORDER BY question_id",
            (DROPPED,),
        )
        return [
            from_json(json.loads(record), str(self._path))
            for key, record, crc in rows
            if crc in (None, crc_of(key, record))
        ]

    def drop(self, question_ids: Iterable[int], *, workload: int) -> None:
        """Let go of questions that have their outcome. Of the workload's, the first so many, and of
        the last question it stays known that they were asked.

        Raises:
            sqlite3.Error: it is not on disk.
        """
        keys = [(_key(question_id),) for question_id in question_ids]
        last = self._db.execute("SELECT max(question_id) FROM questions").fetchone()
        known = {key for key in keys if index_of(int.from_bytes(key[0], "big")) < workload}
        known |= {last} & set(keys)
        self._db.execute("BEGIN")
        self._db.executemany(
            f"UPDATE questions SET payload = x'', record = '{DROPPED}', record_crc = NULL "
            "WHERE question_id = ?",
            sorted(known),
        )
        self._db.executemany(
            "DELETE FROM questions WHERE question_id = ?", sorted(set(keys) - known)
        )
        self._db.execute("COMMIT")

    def health(self) -> Health | None:
        """What the node last said of itself; None where that is not known, or damaged."""
        data = self._health()
        try:
            found = None if data is None else decode(data)
        except BadMessage:
            return None
        return found if isinstance(found, Health) else None

    def _health(self) -> bytes | None:
        row = self._db.execute("SELECT health FROM run WHERE health IS NOT NULL").fetchone()
        return None if row is None else bytes(row[0])

    def apply(self, output: StoreQuestion | StorePart | Settled | NodeHealth) -> None:
        """Carry out one output of the machine; on disk when this returns.

        Raises:
            sqlite3.Error: it is not on disk.
        """
        match output:
            case StoreQuestion(question_id=question_id, payload=payload, asked_ns=asked_ns):
                row = _key(question_id), payload, asked_ns, *(output.budget_ns or (None, None))
                self._db.execute(
                    "INSERT INTO questions (question_id, payload, asked_ns, loop_ns, expire_ns, "
                    "asked_crc) VALUES (?, ?, ?, ?, ?, ?)",
                    (*row, crc_of(*row)),
                )
            case StorePart(part=part):
                piece = _key(part.question_id), part.start, part.text
                self._db.execute(
                    "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?)", (*piece, crc_of(*piece))
                )
            case NodeHealth(health=health):
                kept = encode(health.after(self.health()))
                self._db.execute("UPDATE run SET health = ?", (kept,))
            case Settled(record=record):
                key = _key(record.question_id)
                text = json.dumps(to_json(record, ""))
                self._db.execute(  # also of one that was never asked
                    "INSERT INTO questions (question_id, payload, asked_ns, record, record_crc) "
                    "VALUES (?, x'', ?, ?, ?) ON CONFLICT DO UPDATE SET record = excluded.record, "
                    "record_crc = excluded.record_crc",
                    (key, record.settled_ns, text, crc_of(key, text)),
                )
                self._db.execute("DELETE FROM parts WHERE question_id = ?", (key,))

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _is_question(payload: bytes) -> bool:
    try:
        question_in(payload)
    except BadMessage:
        return False
    return True


def _key(question_id: int) -> bytes:
    return question_id.to_bytes(8, "big")
