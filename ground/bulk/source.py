"""What goes up, read from the ground's disk: cut, hashed, and held against its hashes again when a
piece is read."""

from __future__ import annotations

import hashlib
import os
import random
import stat
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from models.gguf.starts import tensor_starts
from roundtrip.bulk.manifest import BLOCK_BYTES, MAX_BYTES, Leaf, cuts_of, digest_of, lists_of
from roundtrip.bulk.wire import packed
from roundtrip.errors import BadInput


class Changed(Exception):
    """The file is not what it was when it was hashed."""


class Source(Protocol):
    """Pieces of an upload."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def sha256(self) -> bytes:
        """Of all of it."""

    @property
    def leaves(self) -> list[Leaf]:
        """Its blocks."""

    @property
    def lists(self) -> list[bytes]:
        """The lists of leaves, as they travel."""

    def piece(self, number: int) -> tuple[bytes, bool]:
        """A list of leaves or a block as it goes up, and whether it is packed.

        Raises:
            Changed: it is not what it was.
        """


@dataclass(slots=True)
class FileSource:
    """A file on disk."""

    path: Path
    size: int
    sha256: bytes
    leaves: list[Leaf]
    lists: list[bytes]
    _starts: list[int]

    def piece(self, number: int) -> tuple[bytes, bool]:
        """A piece, see `Source`."""
        if number < len(self.lists):
            return packed(self.lists[number])
        at = number - len(self.lists)
        try:
            with self.path.open("rb") as file:
                file.seek(self._starts[at])
                block = file.read(self.leaves[at].size)
        except OSError as error:
            raise Changed(error.strerror or str(error)) from None
        if digest_of(block) != self.leaves[at].digest:
            raise Changed(f"byte {self._starts[at]} and after are not what they were")
        return packed(block)


def file_source(path: Path) -> FileSource:
    """Read a file once, for its hashes.

    Raises:
        BadInput: it is no file that can go up, or changes while it is read.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise BadInput(str(path), "", "a regular file", "something else")
        if not 0 < found.st_size <= MAX_BYTES:
            expected = f"a file of 1 to {MAX_BYTES} bytes"
            raise BadInput(str(path), "", expected, f"{found.st_size} bytes")
        whole, leaves = hashlib.sha256(), []
        cuts = cuts_of(found.st_size, tensor_starts(path))
        with path.open("rb") as file:
            for start, end in cuts:
                block = file.read(end - start)
                if len(block) != end - start:
                    break
                whole.update(block)
                leaves.append(Leaf(digest_of(block), len(block)))
            now = os.fstat(file.fileno())
    except OSError as error:
        raise BadInput(str(path), "", "a file", error.strerror or str(error)) from None
    if len(leaves) < len(cuts) or (now.st_size, now.st_mtime_ns) != (
        found.st_size,
        found.st_mtime_ns,
    ):
        raise BadInput(str(path), "", "a file that stays as it is", "one that is being written")
    starts = [0, *accumulate(leaf.size for leaf in leaves)]
    return FileSource(path, found.st_size, whole.digest(), leaves, lists_of(leaves), starts)


class MadeUp:
    """A content that is only made up, block by block, when it is asked for, and not packed.

    Args:
        size: bytes.
        rng: of each block.
    """

    def __init__(self, size: int, rng: Callable[[int], random.Random]) -> None:
        self.size = size
        self._rng = rng
        blocks = -(-size // BLOCK_BYTES)
        self.leaves = [Leaf(digest_of(self._block(at)), self._bytes(at)) for at in range(blocks)]
        self.sha256 = hashlib.sha256(b"".join(leaf.digest for leaf in self.leaves)).digest()
        self.lists = lists_of(self.leaves)

    def _bytes(self, at: int) -> int:
        return min(BLOCK_BYTES, self.size - at * BLOCK_BYTES)

    def _block(self, at: int) -> bytes:
        return self._rng(at).randbytes(16) * (self._bytes(at) // 16) + bytes(self._bytes(at) % 16)

    def piece(self, number: int) -> tuple[bytes, bool]:
        """A piece, see `Source`."""
        if number < len(self.lists):
            return self.lists[number], False
        return self._block(number - len(self.lists)), False
