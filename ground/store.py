"""The ground's ledger on disk: questions and outcomes, in SQLite (WAL, synchronous=FULL).

It is what a run that was killed goes on from. All calls come from one thread, the store's own, but
for those before the first `apply`.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from ground.outputs import NodeHealth, Settled, StoredQuestion, StorePart, StoreQuestion
from ground.results.record import LoopRecord, from_json, to_json
from roundtrip.errors import EnvironmentFault
from roundtrip.message import Health, Part, decode, encode

_SCHEMA = """
CREATE TABLE IF NOT EXISTS run (
    run_id INTEGER NOT NULL, dtn_epoch_ms INTEGER NOT NULL, health BLOB
);
CREATE TABLE IF NOT EXISTS questions (
    question_id BLOB PRIMARY KEY,
    payload BLOB NOT NULL,
    asked_ns INTEGER NOT NULL,
    record TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (
    question_id BLOB NOT NULL,
    start INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (question_id, start)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run that has begun."""

    run_id: int
    dtn_epoch_ms: int
    """DTN time at the plan's zero."""


class GroundStore:
    """The database of one run.

    Args:
        path: its file; made if it is not there.

    Raises:
        EnvironmentFault: the file cannot be opened or is no database of ours.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.executescript(_SCHEMA)
            except sqlite3.Error:
                self._db.close()
                raise
        except sqlite3.Error as error:
            raise EnvironmentFault(
                f"open {path}", str(error), "give a folder that can be written"
            ) from None

    def started(self) -> StartedRun | None:
        """The run that this ledger is of; None before `start`."""
        row = self._db.execute("SELECT run_id, dtn_epoch_ms FROM run").fetchone()
        return None if row is None else StartedRun(*row)

    def start(self, run: StartedRun) -> None:
        """Note which run this is.

        Raises:
            sqlite3.Error: it is not on disk.
        """
        self._db.execute("INSERT INTO run VALUES (?, ?, NULL)", (run.run_id, run.dtn_epoch_ms))

    def recover(self) -> tuple[list[StoredQuestion], list[LoopRecord]]:
        """All questions, and the records of those that have their outcome.

        Raises:
            BadInput: a record is none of ours.
        """
        questions: list[StoredQuestion] = []
        records: list[LoopRecord] = []
        parts: defaultdict[int, list[Part]] = defaultdict(list)
        for key, start, text in self._db.execute("SELECT question_id, start, text FROM parts"):
            question_id = int.from_bytes(key, "big")
            parts[question_id].append(Part(question_id, start, text))
        rows = self._db.execute("SELECT question_id, payload, asked_ns, record FROM questions")
        for key, payload, asked_ns, record in rows:
            question_id = int.from_bytes(key, "big")
            settled, known = record is not None, tuple(parts[question_id])
            questions.append(StoredQuestion(question_id, payload, asked_ns, settled, known))
            if record is not None:
                records.append(from_json(json.loads(record), str(self._path)))
        return questions, records

    def health(self) -> Health | None:
        """What the node last said of itself."""
        row = self._db.execute("SELECT health FROM run WHERE health IS NOT NULL").fetchone()
        found = None if row is None else decode(row[0])
        return found if isinstance(found, Health) else None

    def apply(self, output: StoreQuestion | StorePart | Settled | NodeHealth) -> None:
        """Carry out one output of the machine; on disk when this returns.

        Raises:
            sqlite3.Error: it is not on disk.
        """
        match output:
            case StoreQuestion(question_id=question_id, payload=payload, asked_ns=asked_ns):
                self._db.execute(
                    "INSERT INTO questions VALUES (?, ?, ?, NULL)",
                    (_key(question_id), payload, asked_ns),
                )
            case StorePart(part=part):
                self._db.execute(
                    "INSERT OR REPLACE INTO parts VALUES (?, ?, ?)",
                    (_key(part.question_id), part.start, part.text),
                )
            case NodeHealth(health=health):
                self._db.execute("UPDATE run SET health = ?", (encode(health),))
            case Settled(record=record):
                key = _key(record.question_id)
                self._db.execute(
                    "UPDATE questions SET record = ? WHERE question_id = ?",
                    (json.dumps(to_json(record, "")), key),
                )
                self._db.execute("DELETE FROM parts WHERE question_id = ?", (key,))

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _key(question_id: int) -> bytes:
    return question_id.to_bytes(8, "big")
