"""Prompt heads that are kept: read once, put into a sequence in milliseconds, saved to disk and
there again after a restart.

A state on disk is named by what it depends on (`engine.state_key`) and begins with its tokens and a
CRC-32C over everything; one in memory has a CRC-32C too. Whatever else stands in the folder, and a
folder that cannot be used, costs time at the next start, never an answer: a file that does not fit
is deleted where that is possible.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import cbor2
import crc32c

from roundtrip.cbor import read_cbor
from roundtrip.errors import BadMessage

MIN_TOKENS = 16
"""A shorter head is not worth keeping."""
MAX_HEADS = 8
MAX_BYTES = 256_000_000
"""Of all states together, in memory and on disk each."""
SUFFIX = ".state"
_CRC_BYTES = 4

Head = tuple[int, ...]


class Prefixes:
    """The kept heads of one engine, and their states.

    Args:
        folder: where states are saved; None for nowhere.
        key: what they depend on, see `engine.state_key`.
    """

    def __init__(self, folder: Path | None, key: str) -> None:
        self._folder = folder
        self._key = key
        self._kept: OrderedDict[Head, tuple[bytes, int]] = OrderedDict()
        self._bytes = 0
        if folder is not None:
            self._load_all(folder)

    def __len__(self) -> int:
        return len(self._kept)

    def _load_all(self, folder: Path) -> None:
        try:
            files = sorted(folder.glob(f"*{SUFFIX}"), key=_changed_ns)
        except OSError:
            return
        for path in files:
            found = _read(path) if path.name.startswith(f"{self._key}-") else None
            if found is None or self._path(found[0], folder) != path:
                _remove(path)
            else:
                self._put(*found)

    def longest(self, prompt: Sequence[int]) -> tuple[Head, bytes] | None:
        """The longest head that the prompt begins with and goes on after, and its state; one that
        is not what was kept any more is dropped."""
        found: Head = ()
        for head in self._kept:
            if len(found) < len(head) < len(prompt) and tuple(prompt[: len(head)]) == head:
                found = head
        if not found:
            return None
        state, crc = self._kept[found]
        if crc32c.crc32c(state) != crc:
            self.drop(found)
            return self.longest(prompt)
        self._kept.move_to_end(found)
        return found, state

    def wants(self, tokens: Sequence[int]) -> bool:
        """Whether `keep` would keep this head."""
        return len(tokens) >= MIN_TOKENS and tuple(tokens) not in self._kept

    def keep(self, tokens: Sequence[int], state: bytes) -> None:
        """Keep a head, and save it."""
        head = tuple(tokens)
        if len(state) > MAX_BYTES:
            return
        self._put(head, state)
        if self._folder is not None:
            path = self._path(head, self._folder)
            scratch = path.with_suffix(".part")
            body = cbor2.dumps([list(head), state])
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                _remove(scratch)
                scratch.write_bytes(body + crc32c.crc32c(body).to_bytes(_CRC_BYTES, "big"))
                scratch.rename(path)
            except OSError:
                _remove(scratch)

    def drop(self, head: Head) -> None:
        """Forget a head: llama.cpp did not take its state, or others need the room."""
        self._bytes -= len(self._kept.pop(head)[0])
        if self._folder is not None:
            _remove(self._path(head, self._folder))

    def clear(self) -> None:
        """Forget all heads: they may be none of the model's."""
        for head in list(self._kept):
            self.drop(head)

    def _put(self, head: Head, state: bytes) -> None:
        self._kept[head] = state, crc32c.crc32c(state)
        self._bytes += len(state)
        while len(self._kept) > MAX_HEADS or self._bytes > MAX_BYTES:
            self.drop(next(iter(self._kept)))

    def _path(self, head: Head, folder: Path) -> Path:
        named = crc32c.crc32c(cbor2.dumps(list(head)))
        return folder / f"{self._key}-{len(head)}-{named:08x}{SUFFIX}"


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # not there, a folder, or not ours
        path.unlink()


def _read(path: Path) -> tuple[Head, bytes] | None:
    """The head and state in a file; None where it holds none."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return None
        data = path.read_bytes()
        body, crc = data[:-_CRC_BYTES], data[-_CRC_BYTES:]
        if crc32c.crc32c(body).to_bytes(_CRC_BYTES, "big") != crc:
            return None
        tokens, state = read_cbor(body, str(path))
        if type(state) is not bytes or not all(type(token) is int for token in tokens):
            return None
        return tuple(tokens), state
    except (OSError, BadMessage, TypeError, ValueError):  # of another version, or none of ours
        return None
