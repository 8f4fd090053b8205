"""What is done with a database that is damaged: it is set aside, and what can be read goes on.

SQLite notices pages that do not fit together; values that were changed in place it does not, so
rows carry checksums (`crc_of`) that their readers compare.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path

MAGIC = b"SQLite format 3\0"
ALIKE_BYTES = 12
"""So many of these, and it was one."""
APPLICATION_ID_AT = 68
"""In the header (https://www.sqlite.org/fileformat.html, §1.3)."""
BESIDE = ("", "-wal", "-shm")


def crc_of(*values: object) -> int:
    """A checksum over a row's values (CRC-32)."""
    return zlib.crc32(repr(values).encode())


def was_ours(path: Path, application_id: int) -> bool:
    """Whether a file that is no database any more was one of this kind."""
    with path.open("rb") as file:
        head = file.read(100)
    alike = sum(a == b for a, b in zip(head, MAGIC, strict=False))
    found = int.from_bytes(head[APPLICATION_ID_AT : APPLICATION_ID_AT + 4], "big")
    return alike >= ALIKE_BYTES or (len(head) == 100 and found == application_id)


def set_aside(path: Path) -> Path:
    """Give a damaged database another name, for someone to look at; that name.

    Raises:
        OSError: it cannot be renamed.
    """
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for end in BESIDE:
        old = path.with_name(path.name + end)
        if old.exists():
            old.rename(aside.with_name(aside.name + end))
    return aside


def salvage(aside: Path, db: sqlite3.Connection, tables: Iterable[str]) -> int:
    """Copy into a new database what can still be read of the old one; how many rows.

    It is read from both ends, as a damaged page cuts off what is behind it.

    Raises:
        OSError: it cannot be copied.
        sqlite3.Error: the new one cannot be written.
    """
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        for end in BESIDE[:2]:
            old = aside.with_name(aside.name + end)
            if old.exists():
                shutil.copyfile(old, copy.with_name(copy.name + end))
        with suppress(sqlite3.Error), closing(sqlite3.connect(copy)) as source:
            for table in tables:
                found += _copied(source, db, table)
    return found


def _copied(source: sqlite3.Connection, db: sqlite3.Connection, table: str) -> int:
    known = {name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")}
    there = [name for _, name, *_ in source.execute(f"PRAGMA table_info({table})")]
    columns = [name for name in there if name in known]
    found = 0
    for order in ("", "ORDER BY 1 DESC", "ORDER BY rowid DESC"):
        rows: list[Sequence[object]] = []
        with suppress(sqlite3.Error):
            rows.extend(source.execute(f"SELECT {', '.join(columns)} FROM {table} {order}"))
        places = ", ".join("?" * len(columns))
        into = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({places})"
        for row in reversed(rows) if order else rows:
            with suppress(sqlite3.IntegrityError):
                found += db.execute(into, row).rowcount
    return found
