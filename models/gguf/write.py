"""Writes GGUF files, version 3, little endian: header first, then the tensors in order, streamed.

It must never hold more than one block of a tensor; the caller sees to atomic renaming.
Source: ggml `docs/gguf.md`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from models.gguf.types import (
    DEFAULT_ALIGNMENT,
    MAGIC,
    SCALAR_FORMATS,
    TENSOR_TYPES,
    ValueType,
    padded,
)

_VERSION = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """A typed metadata value; an array is a sequence whose items have the `item` type."""

    type: ValueType
    value: int | float | bool | str | Sequence[str] | Sequence[int]
    item: ValueType | None = None


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """A tensor to come."""

    name: str
    dimensions: tuple[int, ...]
    """Fastest first."""
    type: int
    """A key of `TENSOR_TYPES`."""

    @property
    def size_bytes(self) -> int:
        """Of its data, without padding."""
        kind = TENSOR_TYPES[self.type]
        elements = 1
        for dimension in self.dimensions:
            elements *= dimension
        return elements // kind.block_elements * kind.block_bytes


def uint32(value: int) -> Entry:
    """A metadata entry of type uint32."""
    return Entry(ValueType.UINT32, value)


def float32(value: float) -> Entry:
    """A metadata entry of type float32."""
    return Entry(ValueType.FLOAT32, value)


def boolean(value: bool) -> Entry:
    """A metadata entry of type bool."""
    return Entry(ValueType.BOOL, value)


def text(value: str) -> Entry:
    """A metadata entry of type string."""
    return Entry(ValueType.STRING, value)


def texts(values: Sequence[str]) -> Entry:
    """A metadata entry that is an array of strings."""
    return Entry(ValueType.ARRAY, values, ValueType.STRING)


def integers(values: Sequence[int]) -> Entry:
    """A metadata entry that is an array of int32."""
    return Entry(ValueType.ARRAY, values, ValueType.INT32)


def write_gguf(
    file: BinaryIO,
    metadata: Mapping[str, Entry],
    tensors: Sequence[PlannedTensor],
    blocks: Iterable[bytes | memoryview],
) -> None:
    """Write a whole GGUF file.

    Args:
        file: where to, at its start.
        metadata: in the order to be written.
        tensors: in the order of their data.
        blocks: the tensors' data in order; a block never spans two tensors.
    """
    file.write(_header(metadata, tensors))
    source = iter(blocks)
    for tensor in tensors:
        left = tensor.size_bytes
        while left:
            block = next(source)
            left -= len(block)
            assert left >= 0, f"{tensor.name}: more data than announced"
            file.write(block)
        file.write(bytes(padded(tensor.size_bytes, DEFAULT_ALIGNMENT) - tensor.size_bytes))
    assert next(source, None) is None, "data after the last tensor"


def _header(metadata: Mapping[str, Entry], tensors: Sequence[PlannedTensor]) -> bytes:
    parts = [MAGIC, struct.pack("<IQQ", _VERSION, len(tensors), len(metadata))]
    for key, entry in metadata.items():
        parts += [_string(key), struct.pack("<I", entry.type), _value(entry)]
    offset = 0
    for tensor in tensors:
        parts.append(_string(tensor.name))
        parts.append(struct.pack("<I", len(tensor.dimensions)))
        parts.append(struct.pack(f"<{len(tensor.dimensions)}Q", *tensor.dimensions))
        parts.append(struct.pack("<IQ", tensor.type, offset))
        offset += padded(tensor.size_bytes, DEFAULT_ALIGNMENT)
    header = b"".join(parts)
    return header + bytes(padded(len(header), DEFAULT_ALIGNMENT) - len(header))


def _value(entry: Entry) -> bytes:
    if entry.type is ValueType.STRING:
        assert isinstance(entry.value, str)
        return _string(entry.value)
    if entry.type is not ValueType.ARRAY:
        return struct.pack(SCALAR_FORMATS[entry.type], entry.value)
    assert entry.item is not None
    assert isinstance(entry.value, Sequence)
    head = struct.pack("<IQ", entry.item, len(entry.value))
    if entry.item is ValueType.STRING:
        return head + b"".join(_string(str(item)) for item in entry.value)
    code = SCALAR_FORMATS[entry.item][1]
    return head + struct.pack(f"<{len(entry.value)}{code}", *entry.value)


def _string(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data
