"""What the node keeps on disk: questions and replies, in SQLite (WAL, synchronous=FULL).

All calls come from one thread, the store's own. A row is written when a question is taken, again
when it has its reply, and marked settled when the ground has it; settled rows are dropped after
their lifetime.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from node.machine import StoreAnswer, StoredQuestion, StoreQuestion, StoreSettled
from roundtrip.errors import BadMessage, EnvironmentFault
from roundtrip.message import Question, decode

_SCHEMA = """
CREATE TABLE IF NOT EXISTS questions (
    question_id BLOB PRIMARY KEY,
    payload BLOB NOT NULL,
    delivered_ns INTEGER NOT NULL,
    reply BLOB,
    settled INTEGER NOT NULL DEFAULT 0,
    taken_unix_s INTEGER NOT NULL
) WITHOUT ROWID;
"""


class NodeStore:
    """The database of one node.

    Args:
        path: its file; made if it is not there.
        keep_s: settled rows are kept this long, so that a repeated question is recognised.
        unix_s: the time now.

    Raises:
        EnvironmentFault: the file cannot be opened or is no database of ours.
    """

    def __init__(self, path: Path, *, keep_s: int, unix_s: int) -> None:
        self._unix_s = unix_s
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            self._db.execute(
                "DELETE FROM questions WHERE settled = 1 AND taken_unix_s < ?", (unix_s - keep_s,)
            )
        except sqlite3.Error as error:
            raise EnvironmentFault(
                f"open {path}", str(error), "give a folder that can be written"
            ) from None

    def apply(self, output: StoreQuestion | StoreAnswer | StoreSettled) -> None:
        """Carry out one output of the machine; on disk when this returns.

        Raises:
            sqlite3.Error: it is not on disk.
        """
        key = output.question_id.to_bytes(8, "big")
        match output:
            case StoreQuestion(payload=payload, delivered_ns=delivered_ns):
                self._db.execute(
                    "INSERT OR IGNORE INTO questions VALUES (?, ?, ?, NULL, 0, ?)",
                    (key, payload, delivered_ns, self._unix_s),
                )
            case StoreAnswer(payload=payload):
                self._db.execute(
                    "UPDATE questions SET reply = ? WHERE question_id = ?", (payload, key)
                )
            case StoreSettled():
                self._db.execute("UPDATE questions SET settled = 1 WHERE question_id = ?", (key,))

    def recover(self) -> list[StoredQuestion]:
        """All rows, oldest first; rows that no longer decode are left out."""
        rows = self._db.execute(
            "SELECT payload, delivered_ns, reply, settled FROM questions ORDER BY delivered_ns"
        )
        found: list[StoredQuestion] = []
        for payload, delivered_ns, reply, settled in rows:
            try:
                question = decode(payload)
            except BadMessage:
                continue
            if isinstance(question, Question):
                found.append(StoredQuestion(question, delivered_ns, reply, bool(settled)))
        return found

    def close(self) -> None:
        """Close the file."""
        self._db.close()
