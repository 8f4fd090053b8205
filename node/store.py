"""What the node keeps on disk: questions and replies, in SQLite (WAL, synchronous=FULL).

All calls come from one thread, the store's own. A row is written when a question is taken, again
when it has its reply, and marked settled when the ground has it; rows are dropped some time after
nobody waits for their answer any more.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

from dtn.bpv7.bundle import BundleId
from node.outputs import StoreAnswer, StoredQuestion, StoreQuestion, StoreSettled
from roundtrip.errors import BadMessage, EnvironmentFault
from roundtrip.message import INDEX_BITS, Question, decode, question_id

_SCHEMA = """
CREATE TABLE IF NOT EXISTS questions (
    question_id BLOB NOT NULL UNIQUE,
    payload BLOB NOT NULL,
    delivered_ns INTEGER NOT NULL,
    deadline_ns INTEGER NOT NULL,
    reply BLOB,
    settled INTEGER NOT NULL DEFAULT 0,
    bundle TEXT NOT NULL,
    expires_unix_s INTEGER NOT NULL
);
"""
KEPT_S = 86_400
"""How long after its expiry a row is kept, so that a question that comes again is recognised."""
PRUNED_EVERY = 1000
"""Questions."""


class NodeStore:
    """The database of one node.

    Args:
        path: its file; made if it is not there.
        unix_s: tells the time.

    Raises:
        EnvironmentFault: the file cannot be opened or is no database of ours.
    """

    def __init__(self, path: Path, *, unix_s: Callable[[], int]) -> None:
        self._unix_s = unix_s
        self._taken = 0
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.executescript(_SCHEMA)
                self._prune()
            except sqlite3.Error:
                self._db.close()
                raise
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
            case StoreQuestion(payload=payload, bundle_id=bundle_id):
                expires_unix_s = min(self._unix_s() + output.left_ms // 1000, (1 << 63) - 1)
                bundle = json.dumps([bundle_id.source, bundle_id.creation_ms, bundle_id.sequence])
                self._db.execute(
                    "INSERT OR IGNORE INTO questions VALUES (?, ?, ?, ?, NULL, 0, ?, ?)",
                    (
                        key,
                        payload,
                        output.delivered_ns,
                        output.deadline_ns,
                        bundle,
                        expires_unix_s,
                    ),
                )
                self._taken += 1
                if self._taken % PRUNED_EVERY == 0:
                    self._prune()
            case StoreAnswer(payload=payload):
                self._db.execute(
                    "UPDATE questions SET reply = ? WHERE question_id = ?", (payload, key)
                )
            case StoreSettled():
                self._db.execute("UPDATE questions SET settled = 1 WHERE question_id = ?", (key,))

    def _prune(self) -> None:
        oldest = self._unix_s() - KEPT_S
        self._db.execute("DELETE FROM questions WHERE expires_unix_s < ?", (oldest,))

    def recover(self, run_id: int | None) -> list[StoredQuestion]:
        """The rows of a run (None: of all) that are not out of date, oldest first; rows that no
        longer decode are left out."""
        first, last = (key.to_bytes(8, "big") for key in _ids_of(run_id))
        rows = self._db.execute(
            "SELECT payload, delivered_ns, deadline_ns, reply, settled FROM questions "
            "WHERE question_id "
            "BETWEEN ? AND ? AND (reply IS NOT NULL OR expires_unix_s > ?) ORDER BY rowid",
            (first, last, self._unix_s()),
        )
        found: list[StoredQuestion] = []
        for payload, delivered_ns, deadline_ns, reply, settled in rows:
            try:
                question = decode(payload)
            except BadMessage:
                continue
            if isinstance(question, Question):
                found.append(
                    StoredQuestion(question, delivered_ns, deadline_ns, reply, bool(settled))
                )
        return found

    def seen(self) -> list[BundleId]:
        """The bundles that brought questions, of all runs, that are not out of date."""
        rows = self._db.execute(
            "SELECT bundle FROM questions WHERE expires_unix_s > ?", (self._unix_s(),)
        )
        return [BundleId(*json.loads(bundle)) for (bundle,) in rows]

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _ids_of(run_id: int | None) -> tuple[int, int]:
    """First and last question id of a run, or of all."""
    if run_id is None:
        return 0, (1 << 64) - 1
    first = question_id(run_id, 0)
    return first, first | ((1 << INDEX_BITS) - 1)
