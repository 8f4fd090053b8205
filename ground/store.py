"""The ground's ledger on disk: questions and outcomes, in SQLite (WAL, synchronous=FULL).

It is what a run that was killed goes on from. All calls come from one thread, the store's own, but
for those before the first `apply`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ground.outputs import NodeHealth, Settled, StoredQuestion, StorePart, StoreQuestion
from ground.results.record import LoopRecord, from_json, to_json
from roundtrip.anchor import Anchor
from roundtrip.codec import decode, encode
from roundtrip.database import Layout, blob, open_database, whole
from roundtrip.message import RUN_BITS, Health, Part, index_of

LAYOUT = Layout(
    "a ground's ledger",
    int.from_bytes(b"GLgr", "big"),
    2,
    """
CREATE TABLE run (
    run_id INTEGER NOT NULL,
    dtn_epoch_ms INTEGER NOT NULL,
    host TEXT NOT NULL,
    origin_ns INTEGER NOT NULL,
    health BLOB
);
CREATE TABLE questions (
    question_id BLOB PRIMARY KEY,
    payload BLOB NOT NULL,
    asked_ns INTEGER NOT NULL,
    loop_ns INTEGER,
    expire_ns INTEGER,
    record TEXT
) WITHOUT ROWID;
CREATE TABLE parts (
    question_id BLOB NOT NULL,
    start INTEGER NOT NULL,
    text TEXT NOT NULL,
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
)


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

    Raises:
        BadInput: the file is of another kind or version, or holds what cannot be.
        EnvironmentFault: the file cannot be opened or is no database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = open_database(path, LAYOUT)

    def started(self) -> StartedRun | None:
        """The run that this ledger is of; None before `start`."""
        row = self._db.execute("SELECT run_id, host, origin_ns, dtn_epoch_ms FROM run").fetchone()
        return None if row is None else StartedRun(row[0], Anchor(*row[1:]))

    def start(self, run: StartedRun) -> None:
        """Note which run this is, or where the clock of the same run is now.

        Raises:
            sqlite3.Error: it is not on disk.
        """
        anchor = run.anchor
        values = anchor.host, anchor.origin_ns, anchor.epoch_ms, run.run_id
        if self.started() is None:
            self._db.execute(
                "INSERT INTO run (host, origin_ns, dtn_epoch_ms, run_id) VALUES (?, ?, ?, ?)",
                values,
            )
        else:
            self._db.execute("UPDATE run SET host = ?, origin_ns = ?", values[:2])

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
        rows = self._db.execute(
            "SELECT question_id, payload, asked_ns, loop_ns, expire_ns, record FROM questions"
        )
        for key, payload, asked_ns, loop_ns, expire_ns, record in rows:
            question_id = int.from_bytes(key, "big")
            settled, known = record is not None, tuple(parts[question_id])
            budget_ns = None if loop_ns is None or expire_ns is None else (loop_ns, expire_ns)
            questions.append(
                StoredQuestion(question_id, payload, asked_ns, settled, budget_ns, known)
            )
            if record is not None and record != DROPPED:
                records.append(from_json(json.loads(record), str(self._path)))
        return questions, records

    def settled(self) -> list[LoopRecord]:
        """The records that are still here, by index.

        Raises:
            BadInput: a record is none of ours.
        """
        rows = self._db.execute(
            "SELECT record FROM questions WHERE record IS NOT NULL AND record != ? "
            "ORDER BY question_id",
            (DROPPED,),
        )
        return [from_json(json.loads(record), str(self._path)) for (record,) in rows]

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
            f"UPDATE questions SET payload = x'', record = '{DROPPED}' WHERE question_id = ?",
            sorted(known),
        )
        self._db.executemany(
            "DELETE FROM questions WHERE question_id = ?", sorted(set(keys) - known)
        )
        self._db.execute("COMMIT")

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
                loop_ns, expire_ns = output.budget_ns or (None, None)
                self._db.execute(
                    "INSERT INTO questions VALUES (?, ?, ?, ?, ?, NULL)",
                    (_key(question_id), payload, asked_ns, loop_ns, expire_ns),
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
                self._db.execute(  # also of one that was never asked
                    "INSERT INTO questions VALUES (?, x'', ?, NULL, NULL, ?) "
                    "ON CONFLICT DO UPDATE SET record = excluded.record",
                    (key, record.settled_ns, json.dumps(to_json(record, ""))),
                )
                self._db.execute("DELETE FROM parts WHERE question_id = ?", (key,))

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _key(question_id: int) -> bytes:
    return question_id.to_bytes(8, "big")
