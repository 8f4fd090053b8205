"""A file of what was shown on board, so that answers can be graded against what was seen: JSON
lines with the first bytes of a text's SHA-256, and the text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 8 << 20
"""Of the file; then it begins anew, and the one before it is kept."""
RECENT = 64
"""Texts that are known to be in it, and not written again."""


class ShownRecord:
    """Writes it.

    Args:
        path: the file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._recent: dict[bytes, None] = {}

    def keep(self, digest: bytes, text: str) -> None:
        """Note that a text was shown; a disk that is full loses it."""
        if digest in self._recent:
            return
        if len(self._recent) >= RECENT:
            del self._recent[next(iter(self._recent))]
        self._recent[digest] = None
        line = json.dumps({"sha256": digest.hex(), "text": text}, ensure_ascii=False)
        with suppress(OSError):
            if self._path.exists() and self._path.stat().st_size > MAX_BYTES:
                self._path.replace(before(self._path))
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")


def beside(store: Path) -> Path:
    """Where a node with a store writes it."""
    return store.with_name("shown.jsonl")


def before(path: Path) -> Path:
    """The file before it."""
    return path.with_suffix(".1.jsonl")


def read_shown(path: Path) -> Iterator[tuple[bytes, str]]:
    """What was shown; lines that are none are left out, for one may be half written."""
    for one in (before(path), path):
        with suppress(OSError), one.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                with suppress(ValueError, KeyError, TypeError):
                    found = json.loads(line)
                    yield bytes.fromhex(found["sha256"]), str(found["text"])
