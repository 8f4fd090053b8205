"""Upsets in what a node has beside its engine: the store's file, and the bundles that wait."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable
from pathlib import Path

from roundtrip.radiation import QUEUE_BITS
from roundtrip.upsets import Upsets

STORE_BITS = 8 << 26
"""Of a store's file at most; where a smaller one ends there is nothing to be hit."""


class Exposure:
    """Makes upsets as often as is told.

    Args:
        rate: upsets per bit and day.
        rng: of when and where.
        store: the file.
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
        self._store = store
        self._queue = queue
        self._upsets = Upsets(rate, STORE_BITS + QUEUE_BITS, rng, now_ns)

    def happen(self, now_ns: int) -> None:
        """Let all happen that are due."""
        for bit in self._upsets.due(now_ns):
            if bit < STORE_BITS:
                self._flip(bit)
            else:
                self._queue(bit - STORE_BITS)

    def _flip(self, bit: int) -> None:
        with contextlib.suppress(OSError), self._store.open("r+b", buffering=0) as file:
            file.seek(bit // 8)
            if byte := file.read(1):
                os.pwrite(file.fileno(), bytes((byte[0] ^ 1 << bit % 8,)), bit // 8)
