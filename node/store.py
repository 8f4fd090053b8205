"""What the node keeps on disk: questions and replies, in SQLite (WAL, synchronous=FULL).

All calls come from one thread, the store's own. A row is written when a question is taken, again
when it has its reply, and marked settled when the ground has it. No row is dropped for its age,
which no clock tells for certain: the newest KEPT rows are kept, so that a question that comes again
is recognised. All times are on the plan's clock of their run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from dtn.bpv7.bundle import BundleId
from node.outputs import StoreAnswer, StoredQuestion, StoreQuestion, StoreSettled
from roundtrip.anchor import Anchor
from roundtrip.codec import decode, question_in
from roundtrip.database import Layout, blob, open_database, unsaid, whole
from roundtrip.errors import BadMessage
from roundtrip.message import INDEX_BITS, Answer, Question, Refusal, question_id
from roundtrip.salvage import crc_of
from roundtrip.words import count

SETTLED = 0x53E771ED
"""Far from 0: a flipped bit does not settle a question."""
LAYOUT = Layout(
    "a node's store",
    int.from_bytes(b"GLnd", "big"),
    3,
    """
CREATE TABLE questions (
    question_id BLOB NOT NULL UNIQUE,
    payload BLOB NOT NULL,
    delivered_ns INTEGER NOT NULL,
    deadline_ns INTEGER NOT NULL,
    reply BLOB,
    settled INTEGER NOT NULL DEFAULT 0,
    bundle TEXT NOT NULL,
    asked_crc INTEGER,
    reply_crc INTEGER
);
CREATE TABLE clock (host TEXT NOT NULL, origin_ns INTEGER NOT NULL, epoch_ms INTEGER NOT NULL);
""",
    {
        "questions.question_id": (blob("question_id", size_bytes=8), "8 bytes"),
        "questions.payload": ("typeof(payload) = 'blob'", "bytes"),
        "questions.delivered_ns": (whole("delivered_ns"), "ns on the plan's clock"),
        "questions.deadline_ns": (whole("deadline_ns", -(1 << 62)), "ns on the plan's clock"),
        "questions.reply": ("typeof(reply) IN ('blob', 'null')", "bytes"),
        "questions.bundle": (
            "CASE WHEN json_valid(bundle) THEN json_array_length(bundle) = 3 "
            "AND json_type(bundle, '$[0]') = 'text' AND json_type(bundle, '$[1]') = 'integer' "
            "AND json_type(bundle, '$[2]') = 'integer' END",
            "source, creation time and sequence number",
        ),
        "clock.origin_ns": (whole("origin_ns", -(1 << 62)), "ns of CLOCK_MONOTONIC"),
        "clock.epoch_ms": (whole("epoch_ms"), "ms since 2000"),
    },
    {
        2: f"ALTER TABLE questions ADD asked_crc INTEGER; "
        f"ALTER TABLE questions ADD reply_crc INTEGER; "
        f"UPDATE questions SET settled = {SETTLED} WHERE settled = 1"
    },
)
KEPT = 16_384
"""Rows."""
DROPPED_EVERY = 1000
"""Questions."""


class NodeStore:
    """The database of one node.

    Args:
        path: its file; made if it is not there.
        say: told of damage.

    Raises:
        BadInput: the file is of another kind or version.
        EnvironmentFault: the file cannot be opened or is no database.
    """

    def __init__(self, path: Path, say: Callable[[str], None] = unsaid) -> None:
        self._taken = 0
        self._say = say
        self._db = open_database(path, LAYOUT, say)
        self._drop_oldest()

    def apply(self, output: StoreQuestion | StoreAnswer | StoreSettled) -> None:
        """Carry out one output of the machine; on disk when this returns.

        Raises:
            sqlite3.Error: it is not on disk.
        """
        key = output.question_id.to_bytes(8, "big")
        match output:
            case StoreQuestion(payload=payload, bundle_id=bundle_id):
                bundle = json.dumps([bundle_id.source, bundle_id.creation_ms, bundle_id.sequence])
                row = key, payload, output.delivered_ns, output.deadline_ns, bundle
                self._db.execute(
                    "INSERT OR IGNORE INTO questions (question_id, payload, delivered_ns, "
                    "deadline_ns, bundle, asked_crc) VALUES (?, ?, ?, ?, ?, ?)",
                    (*row, crc_of(*row)),
                )
                self._taken += 1
                if self._taken % DROPPED_EVERY == 0:
                    self._drop_oldest()
            case StoreAnswer(payload=payload):
                self._db.execute(
                    "UPDATE questions SET reply = ?, reply_crc = ? WHERE question_id = ?",
                    (payload, crc_of(key, payload), key),
                )
            case StoreSettled():
                self._db.execute(
                    "UPDATE questions SET settled = ? WHERE question_id = ?", (SETTLED, key)
                )

    def _drop_oldest(self) -> None:
        self._db.execute(
            "DELETE FROM questions WHERE rowid <= (SELECT max(rowid) FROM questions) - ?", (KEPT,)
        )

    def recover(self, run_id: int | None) -> tuple[list[StoredQuestion], list[int]]:
        """What the store holds of a run (None: of all), oldest first.

        Returns:
            The questions, and the ids of those that were damaged: they are dropped here, to be
            asked again. A damaged reply is given again, but for one that the ground has.
        """
        first, last = (key.to_bytes(8, "big") for key in _ids_of(run_id))
        rows = self._db.execute(
            "SELECT question_id, payload, delivered_ns, deadline_ns, bundle, asked_crc, reply, "
            "reply_crc, settled FROM questions WHERE question_id BETWEEN ? AND ? ORDER BY rowid",
            (first, last),
        )
        found: list[StoredQuestion] = []
        damaged: list[bytes] = []
        for key, payload, delivered_ns, deadline_ns, bundle, asked_crc, *answered in rows:
            settled = answered.pop() == SETTLED
            row = key, payload, delivered_ns, deadline_ns, bundle
            reply = _reply_of(key, *answered)
            question = _question_of(payload) if asked_crc in (None, crc_of(*row)) else None
            if question is not None and (reply is not None or not settled):
                found.append(StoredQuestion(question, delivered_ns, deadline_ns, reply, settled))
            elif not settled:
                damaged.append(key)
        self._db.executemany(
            "DELETE FROM questions WHERE question_id = ?", [(key,) for key in damaged]
        )
        if damaged:
            self._say(f"{count(len(damaged), 'question')} in the store damaged; to be asked again")
        return found, [int.from_bytes(key, "big") for key in damaged]

    def seen(self) -> list[BundleId]:
        """The bundles that brought questions, of all runs, oldest first."""
        rows = self._db.execute("SELECT bundle FROM questions ORDER BY rowid")
        return [BundleId(*json.loads(bundle)) for (bundle,) in rows]

    def anchor(self) -> Anchor | None:
        """What is known of the clock of a link that tells none; None before `keep_anchor`."""
        row = self._db.execute("SELECT host, origin_ns, epoch_ms FROM clock").fetchone()
        return None if row is None else Anchor(*row)

    def keep_anchor(self, anchor: Anchor) -> None:
        """Note how to find that clock again.

        Raises:
            sqlite3.Error: it is not on disk.
        """
        self._db.execute("DELETE FROM clock")
        self._db.execute(
            "INSERT INTO clock VALUES (?, ?, ?)", (anchor.host, anchor.origin_ns, anchor.epoch_ms)
        )

    def last_ns(self) -> int:
        """The latest moment that the store knows of; 0 for none."""
        (last_ns,) = self._db.execute("SELECT max(delivered_ns) FROM questions").fetchone()
        return last_ns or 0

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _question_of(payload: bytes) -> Question | None:
    """None where the bytes are no question any more."""
    try:
        return question_in(payload)
    except BadMessage:
        return None


def _reply_of(key: bytes, reply: bytes | None, crc: int | None) -> Answer | Refusal | None:
    """None where there is none, or it was damaged."""
    if reply is None or crc not in (None, crc_of(key, reply)):
        return None
    try:
        told = decode(reply)
    except BadMessage:
        return None
    return told if isinstance(told, Answer | Refusal) else None


def _ids_of(run_id: int | None) -> tuple[int, int]:
    """First and last question id of a run, or of all."""
    if run_id is None:
        return 0, (1 << 64) - 1
    first = question_id(run_id, 0)
    return first, first | ((1 << INDEX_BITS) - 1)
