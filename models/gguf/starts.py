"""Where the tensors of a model begin."""

from __future__ import annotations

from pathlib import Path

from models.gguf.header import read_header
from roundtrip.errors import BadModel


def tensor_starts(path: Path) -> list[int]:
    """Where the tensors of a model begin, bytes; nothing for another file."""
    try:
        header = read_header(path)
    except BadModel:
        return []
    return [header.data_at_byte + tensor.offset_bytes for tensor in header.tensors]
