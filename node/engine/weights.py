"""The weights of a loaded model as a memory that can be checked, mended, and hurt."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import crc32c

from models.gguf.header import read_header
from node.engine.kept_twice import KeptTwice
from node.engine.llama import Engine


class Weights:
    """All tensors of a model, in the file's order.

    Args:
        engine: has them as `private` memory.
        path: its model's file.
        files: what they are mended from; None where they are not.

    Raises:
        BadModel: this llama.cpp does not show its tensors.
    """

    def __init__(self, engine: Engine, path: Path, files: KeptTwice | None = None) -> None:
        self._engine = engine
        self._files = files
        self._names = [tensor.name for tensor in read_header(path).tensors]
        self._views = [engine.weights(name) for name in self._names]
        self._ends = list(accumulate(len(view) for view in self._views))

    @property
    def bits(self) -> int:
        """Of all tensors."""
        return 8 * self._ends[-1]

    @property
    def sizes(self) -> Sequence[int]:
        """Bytes of each tensor."""
        return [len(view) for view in self._views]

    def name(self, tensor: int) -> str:
        """Of a tensor."""
        return self._names[tensor]

    def checksum(self, tensor: int, start: int, end: int, so_far: int) -> int:
        """CRC-32C of bytes `start` to `end`, going on from that of what is before."""
        value: int = crc32c.crc32c(self._views[tensor][start:end], so_far)
        return value

    def mend(self, tensor: int) -> str:
        """Read a tensor again; the name of the file that had it.

        Raises:
            BadModel: no file has it whole.
        """
        assert self._files is not None
        data, source = self._files.tensor(self._names[tensor])
        self._engine.set_weights(self._names[tensor], data)
        return source

    def flip(self, bit: int) -> str:
        """Invert one of all `bits`; the tensor's name."""
        at, within = divmod(bit, 8)
        tensor = bisect_right(self._ends, at)
        view = self._views[tensor]
        view[at - self._ends[tensor] + len(view)] ^= 1 << within
        return self._names[tensor]
