"""Is a GGUF file what it should be, and healthy? Reads the whole file, block by block; changes
nothing.

A damaged weight can hide: quantized kernels re-quantize activations, so logits without NaN say
little. Looked at are the numbers whose damage hurts most: norms, and the scales of quantized
blocks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.gguf.header import Header, TensorInfo
from models.gguf.inspect import inspect, sha256
from models.resolve import BUILTIN
from roundtrip.errors import BadModel

BLOCK_BYTES = {
    "Q8_0": 34,
    "Q4_0": 18,
    "Q5_0": 22,
    "Q4_K": 144,
    "Q5_K": 176,
    "Q6_K": 210,
    "Q2_K": 84,
    "Q3_K": 110,
}
SCALES_AT = {
    "Q8_0": (0,),
    "Q4_0": (0,),
    "Q5_0": (0,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
}
"""Where a block has its F16 scales (ggml-common.h)."""
READ_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found."""

    path: Path
    sha256: str
    expected_sha256: str | None
    """By the option or the builtin's record; None where nothing says what it should be."""
    tensors: int


def verify(path: Path, expected_sha256: str | None = None) -> Verified:
    """Check the checksum, where one is known, the structure, and that no scale or norm is NaN or
    infinite.

    Raises:
        BadModel: the first thing that is wrong.
    """
    header = inspect(path).header
    found = sha256(path)
    expected = expected_sha256 or _recorded(path)
    if expected is not None and expected.lower() != found:
        raise BadModel(str(path), "sha256", expected.lower(), found)
    for tensor in header.tensors:
        for numbers in _numbers(header, tensor):
            if not np.isfinite(numbers).all():
                raise BadModel(
                    str(path), tensor.name, "finite scales and weights", "NaN or infinity"
                )
    return Verified(path, found, expected, len(header.tensors))


def tensor_checksums(path: Path) -> Iterator[tuple[str, str]]:
    """Name and sha256 of each tensor's bytes."""
    header = inspect(path).header
    for tensor in header.tensors:
        digest = hashlib.sha256()
        for piece in _pieces(header, tensor, 1):
            digest.update(piece.tobytes())
        yield tensor.name, digest.hexdigest()


def _recorded(path: Path) -> str | None:
    if path.resolve().parent != BUILTIN.resolve():
        return None
    record = json.loads((BUILTIN / "record.json").read_text())
    return str(record["sha256"]) if record["file"] == path.name else None


def _numbers(header: Header, tensor: TensorInfo) -> Iterator[NDArray[np.floating]]:
    """The floating-point numbers of a tensor that are worth looking at, in pieces."""
    kind = tensor.type.name
    if kind in ("F32", "F16"):
        plain: type[np.floating] = np.float32 if kind == "F32" else np.float16
        for piece in _pieces(header, tensor, np.dtype(plain).itemsize):
            yield piece.view(plain)
    elif kind in BLOCK_BYTES:
        for piece in _pieces(header, tensor, BLOCK_BYTES[kind]):
            blocks = piece.reshape(-1, BLOCK_BYTES[kind])
            for at in SCALES_AT[kind]:
                yield np.ascontiguousarray(blocks[:, at : at + 2]).view(np.float16)


def _pieces(header: Header, tensor: TensorInfo, unit: int) -> Iterator[NDArray[np.uint8]]:
    """The tensor's bytes in pieces of whole units."""
    step = max(unit, READ_BYTES // unit * unit)
    begin = header.data_at_byte + tensor.offset_bytes
    for at in range(0, tensor.size_bytes, step):
        count = min(step, tensor.size_bytes - at)
        yield np.fromfile(header.path, dtype=np.uint8, count=count, offset=begin + at)
