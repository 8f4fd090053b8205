"""Opens a file in which a role keeps what must survive it: SQLite, WAL, synchronous=FULL.

What is in the file was written by a process that has died, perhaps of another version: it is
checked here, before anything is done with it. One of an earlier version is brought up to date; one
that is damaged is set aside, never overwritten, and what can be read of it goes on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from roundtrip.errors import BadInput, EnvironmentFault
from roundtrip.salvage import salvage, set_aside, was_ours
from roundtrip.words import count


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
    steps: Mapping[int, str] = field(default_factory=dict)
    """A version to the SQL that makes the next one of it."""


def unsaid(_: str) -> None:
    """For who has nobody to tell."""


def open_database(path: Path, layout: Layout, say: Callable[[str], None]) -> sqlite3.Connection:
    """The database in a file, which is made if it is not there.

    Args:
        path: the file.
        layout: what it looks like.
        say: told, in a line, if it was damaged.

    Raises:
        BadInput: it is of another kind or version.
        EnvironmentFault: it cannot be opened or is no database.
    """
    try:
        try:
            return _opened(path, layout)
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError or not was_ours(
                path, layout.application_id
            ):
                raise
            return _renewed(path, layout, say, str(error))
    except (sqlite3.Error, OSError) as error:
        raise EnvironmentFault(
            f"open {path}", str(error), "give a folder that can be written"
        ) from None


def _opened(path: Path, layout: Layout) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    try:
        (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(" ".join(found.split())[:120])
        _prepare(db, path, layout)
    except (sqlite3.Error, BadInput):
        db.close()
        raise
    return db


def _renewed(
    path: Path, layout: Layout, say: Callable[[str], None], reason: str
) -> sqlite3.Connection:
    """A new database with what can be read of a damaged one."""
    aside = set_aside(path)
    db = _opened(path, layout)
    tables = dict.fromkeys(where.partition(".")[0] for where in layout.checks)
    rows = salvage(aside, db, tables)
    for where, (holds, _) in layout.checks.items():
        table = where.partition(".")[0]
        rows -= db.execute(f"DELETE FROM {table} WHERE NOT coalesce({holds}, 0)").rowcount
    say(
        f"{path.name}, {layout.kind}, was damaged ({reason}): it is set aside as {aside.name}, "
        f"and {count(rows, 'row')} of it could be read"
    )
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
    _bring_up(db, layout)
    _check(db, path, layout)
    db.execute(f"PRAGMA user_version={layout.version}")  # fails where it cannot be written


def _bring_up(db: sqlite3.Connection, layout: Layout) -> None:
    """From an earlier version to the next, each step whole or not at all."""
    while db.execute("PRAGMA application_id").fetchone()[0] == layout.application_id:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in layout.steps:
            return
        db.executescript(
            f"BEGIN IMMEDIATE; {layout.steps[version]};PRAGMA user_version={version + 1}; COMMIT;"
        )


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
            raise sqlite3.DatabaseError(f"{where}: expected {expected}, found {row[0]!r:.60}")
