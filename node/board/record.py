"""A file of what was shown on board, so that answers can be graded against what was seen: JSON
lines with the first bytes of a text's SHA-256, and the text."""

from __future__ import annotations

import json
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


class ShownReader:
    """Reads it, while it grows.

    Args:
        path: the file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0
        self._first = b""
        """Line of the file that is being read: another one means that it began anew."""
        self.texts: dict[bytes, str] = {}
        """What was shown so far, by the first bytes of its SHA-256."""

    def update(self) -> None:
        """Take in what has come since."""
        with suppress(OSError), self._path.open("rb") as file:
            first = file.readline()
            if first != self._first:
                self._read_bytes, self._first = 0, first
                self._take(before(self._path).read_bytes() if before(self._path).exists() else b"")
            file.seek(self._read_bytes)
            data = file.read()
            whole = data[: data.rfind(b"\n") + 1]  # the last line may be half written
            self._read_bytes += len(whole)
            self._take(whole)

    def _take(self, data: bytes) -> None:
        for line in data.splitlines():
            with suppress(ValueError, KeyError, TypeError):
                found = json.loads(line)
                self.texts[bytes.fromhex(found["sha256"])] = str(found["text"])
