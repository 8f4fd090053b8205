"""Opens a file in which a role keeps what must survive it: SQLite, WAL, synchronous=FULL.

What is in the file was written by a process that has died, perhaps of another version: it is
checked here, before anything is done with it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from roundtrip.errors import BadInput, EnvironmentFault


def whole(column: str, least: int = 0) -> str:
    """SQL that holds of a whole number no less than `least` that leaves room to count with."""
    return f"typeof({column}) = 'integer' AND {column} BETWEEN {least} AND {1 << 62}"


def blob(column: str, *, size_bytes: int) -> str:
    """SQL that holds of bytes of one length."""
    return f"typeof({column}) = 'blob' AND length({column}) = {size_bytes}"


@dataclass(frozen=True, slots=True)
class Layout:
    """What a file of one kind looks like."""

    kind: str
    """As people call it."""
    application_id: int
    """Tells it from other databases; in its header."""
    version: int
    """Counts up when the tables change; in its header."""
    schema: str
    checks: Mapping[str, tuple[str, str]]
    """"table.column" to what holds of it, in SQL, and what that is in words."""


def open_database(path: Path, layout: Layout) -> sqlite3.Connection:
    """The database in a file, which is made if it is not there.

    Raises:
        BadInput: it is of another kind or version, or a value in it cannot be.
        EnvironmentFault: it cannot be opened or is no database.
    """
    try:
        db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            _prepare(db, path, layout)
        except (sqlite3.Error, BadInput):
            db.close()
            raise
    except sqlite3.Error as error:
        raise EnvironmentFault(
            f"open {path}", str(error), "give a folder that can be written"
        ) from None
    return db


def _prepare(db: sqlite3.Connection, path: Path, layout: Layout) -> None:
    if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(
            f"BEGIN IMMEDIATE; {layout.schema}"
            f"PRAGMA application_id={layout.application_id};"
            f"PRAGMA user_version={layout.version}; COMMIT;"
        )
    db.execute("PRAGMA synchronous=FULL")
    _check(db, path, layout)
    db.execute(f"PRAGMA user_version={layout.version}")  # fails where it cannot be written


def _check(db: sqlite3.Connection, path: Path, layout: Layout) -> None:
    kind = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if (kind, version) != (layout.application_id, layout.version):
        found = (
            f"version {version}"
            if kind == layout.application_id
            else "another database, or an older one"
        )
        expected = f"{layout.kind} of version {layout.version} (or give a new file)"
        raise BadInput(str(path), "", expected, found)
    for where, (holds, expected) in layout.checks.items():
        table, column = where.split(".")
        row = db.execute(
            f"SELECT {column} FROM {table} WHERE NOT coalesce({holds}, 0) LIMIT 1"
        ).fetchone()
        if row is not None:
            raise BadInput(str(path), where, expected, repr(row[0])[:60])
