"""All questions that stations were asked, over all runs, to be searched: SQLite with FTS5.

It is a copy for people: what a run goes on from is its ledger. Words are found by how they begin,
in question or answer; scripts that do not part words by spaces are found by comparing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from roundtrip.database import Layout, open_database, unsaid, whole
from roundtrip.errors import BadInput

MAX_QUERY_CHARS = 400
MAX_WORDS = 16
LAYOUT = Layout(
    "a history of questions",
    int.from_bytes(b"GLhi", "big"),
    1,
    """
CREATE TABLE loops (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    unix_s INTEGER NOT NULL,
    run TEXT NOT NULL,
    text TEXT NOT NULL,
    answer TEXT NOT NULL,
    told TEXT NOT NULL
);
CREATE VIRTUAL TABLE words USING fts5(text, answer, content='loops', content_rowid='number',
    prefix='2 3');
CREATE TRIGGER added AFTER INSERT ON loops BEGIN
    INSERT INTO words(rowid, text, answer) VALUES (new.number, new.text, new.answer);
END;
""",
    {
        "loops.unix_s": (whole("unix_s"), "s since 1970"),
        "loops.told": ("json_valid(told)", "JSON"),
    },
)
_BY_WORDS = re.compile(r"[\w]+")
_NO_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, Chinese, Japanese."""


class History:
    """The history in a file.

    Args:
        path: its file; made if it is not there.
        say: told of damage.

    Raises:
        BadInput: the file is of another kind or version.
        EnvironmentFault: the file cannot be opened or is no database.
    """

    def __init__(self, path: Path, say: Callable[[str], None] = unsaid) -> None:
        self._db = open_database(path, LAYOUT, say)
        self._db.execute("PRAGMA synchronous=NORMAL")  # the ledger has it all

    def add(self, told: dict[str, Any], run: str, unix_s: int) -> None:
        """Note a question with its outcome, as people see it; once, however often it comes.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        values = told["id"], unix_s, run, told["text"], told["answer"] or "", json.dumps(told)
        self._db.execute(
            "INSERT OR IGNORE INTO loops (id, unix_s, run, text, answer, told) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            values,
        )

    def latest(self, count: int, before: str | None = None) -> list[dict[str, Any]]:
        """The latest outcomes, the newest first; those before a question's, where one is given."""
        top = self._number(before) if before is not None else None
        return self._told("number < ?", [1 << 62 if top is None else top], count)

    def find(self, query: str, count: int) -> list[dict[str, Any]]:
        """The latest questions that have every word of a query, or whose answers have it, the
        newest first.

        Raises:
            BadInput: the query is too long.
        """
        if len(query) > MAX_QUERY_CHARS or len(query.split()) > MAX_WORDS:
            found = f"{len(query)} characters"
            expected = f"at most {MAX_WORDS} words and {MAX_QUERY_CHARS} characters"
            raise BadInput("history", "query", expected, found)
        terms: list[str] = []
        holds: list[str] = []
        given: list[object] = []
        for word in query.split():
            if _NO_SPACES.search(word) or not _BY_WORDS.search(word):
                holds.append("(instr(loops.text, ?) OR instr(loops.answer, ?))")
                given += [word, word]
            else:
                terms += [f'"{part}"*' for part in _BY_WORDS.findall(word)]
        if terms:
            holds.insert(0, "words MATCH ?")
            given.insert(0, " AND ".join(terms))
        source = "words JOIN loops ON number = words.rowid" if terms else "loops"
        holds_all = " AND ".join(holds) or "1"
        return self._told(holds_all, given, count, source, "words.rowid" if terms else "number")

    def one(self, key: str) -> dict[str, Any] | None:
        """A question by its id."""
        return next(iter(self._told("id = ?", [key], 1)), None)

    def __len__(self) -> int:
        row: tuple[int] = self._db.execute("SELECT count(*) FROM loops").fetchone()
        return row[0]

    def _number(self, key: str) -> int | None:
        row = self._db.execute("SELECT number FROM loops WHERE id = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def _told(
        self, holds: str, given: list[object], count: int, source: str = "loops", by: str = "number"
    ) -> list[dict[str, Any]]:
        rows: Iterator[tuple[str, int, str]] = self._db.execute(
            f"SELECT told, unix_s, run FROM {source} WHERE {holds} ORDER BY {by} DESC LIMIT ?",
            (*given, count),
        )
        return [{**json.loads(told), "unix_s": at_s, "run": run} for told, at_s, run in rows]

    def close(self) -> None:
        """Close the file."""
        self._db.close()
