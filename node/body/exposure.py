"""Upsets in what a node has beside its engine: the store's files, and the bundles that wait."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable
from pathlib import Path

from roundtrip.radiation import QUEUE_BITS
from roundtrip.upsets import Upsets

FILE_BITS = 8 << 25
"""Of each of a store's files at most; where a smaller one ends there is nothing to be hit."""
FILES = ("", "-wal")
"""What the names of SQLite's files end with: what was written last is in its journal."""
STORE_BITS = FILE_BITS * len(FILES)


class Exposure:
    """Makes upsets as often as is told.

    Args:
        rate: upsets per bit and day.
        rng: of when and where.
        store: the store's file; its journal is beside it.
        queue: inverts a bit of the bundles that wait.
        now_ns: where it begins.
    """

    def __init__(
        self,
        rate: float,
        rng: random.Random,
        store: Path,
        queue: Callable[[int], None],
        *,
        now_ns: int,
    ) -> None:
        self._files = [store.with_name(store.name + end) for end in FILES]
        self._queue = queue
        self._upsets = Upsets(rate, STORE_BITS + QUEUE_BITS, rng, now_ns)

    def happen(self, now_ns: int) -> None:
        """Let all happen that are due."""
        for bit in self._upsets.due(now_ns):
            if bit < STORE_BITS:
                self._flip(self._files[bit // FILE_BITS], bit % FILE_BITS)
            else:
                self._queue(bit - STORE_BITS)

    def _flip(self, path: Path, bit: int) -> None:
        with contextlib.suppress(OSError), path.open("r+b", buffering=0) as file:
            file.seek(bit // 8)
            if byte := file.read(1):
                os.pwrite(file.fileno(), bytes((byte[0] ^ 1 << bit % 8,)), bit // 8)
