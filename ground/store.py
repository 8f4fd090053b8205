"""The ground's ledger on disk: questions and outcomes, in SQLite (WAL, synchronous=FULL).

All calls come from one thread, the store's own.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ground.outputs import StoreOutcome, StoreQuestion
from roundtrip.errors import EnvironmentFault

_SCHEMA = """
CREATE TABLE IF NOT EXISTS questions (
    question_id BLOB PRIMARY KEY,
    payload BLOB NOT NULL,
    intended_ns INTEGER NOT NULL,
    outcome TEXT,
    reply BLOB
) WITHOUT ROWID;
"""


class GroundStore:
    """The database of one run.

    Args:
        path: its file; made if it is not there.

    Raises:
        EnvironmentFault: the file cannot be opened or is no database of ours.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise EnvironmentFault(
                f"open {path}", str(error), "give a folder that can be written"
            ) from None

    def apply(self, output: StoreQuestion | StoreOutcome) -> None:
        """Carry out one output of the machine; on disk when this returns.

        Raises:
            sqlite3.Error: it is not on disk.
        """
        key = output.question_id.to_bytes(8, "big")
        match output:
            case StoreQuestion(payload=payload, intended_ns=intended_ns):
                self._db.execute(
                    "INSERT INTO questions VALUES (?, ?, ?, NULL, NULL)",
                    (key, payload, intended_ns),
                )
            case StoreOutcome(outcome=outcome, payload=payload):
                self._db.execute(
                    "UPDATE questions SET outcome = ?, reply = ? WHERE question_id = ?",
                    (outcome.value, payload, key),
                )

    def close(self) -> None:
        """Close the file."""
        self._db.close()
