"""A strict, bounded reader of GGUF headers, versions 2 and 3, little endian.

It reads the header only, never the tensors, and never believes a length before it has been held
against what is left of the file. Nothing but `BadModel` comes out of it for a bad file.
Source: ggml `docs/gguf.md`; tensors must follow each other without gaps, as llama.cpp wants them.
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from models.gguf.types import (
    DEFAULT_ALIGNMENT,
    MAGIC,
    SCALAR_FORMATS,
    TENSOR_TYPES,
    VERSIONS,
    TensorType,
    ValueType,
    padded,
)
from roundtrip.errors import BadModel

MAX_HEADER_BYTES = 64 << 20
MAX_KEYS = 4096
MAX_KEY_BYTES = 256
MAX_STRING_BYTES = 4 << 20
MAX_ARRAY_ITEMS = 1 << 21
MAX_TENSORS = 1 << 16
MAX_TENSOR_NAME_BYTES = 63
MAX_DIMENSIONS = 4
MAX_ALIGNMENT = 1 << 16
_CHUNK_BYTES = 1 << 20
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class ArrayRef:
    """An array in the metadata: where it is, not what it holds. `Header.strings` reads it."""

    item_type: ValueType
    count: int
    at_byte: int
    """Of the first item, from the start of the file."""
    size_bytes: int


Value = int | float | bool | str | ArrayRef
"""A metadata value; arrays stay where they are."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor as the header announces it."""

    name: str
    dimensions: tuple[int, ...]
    """Fastest first, as ggml counts them: (row length, rows, …)."""
    type: TensorType
    offset_bytes: int
    """From the start of the tensor data."""
    size_bytes: int

    @property
    def elements(self) -> int:
        """Number of weights."""
        count = 1
        for dimension in self.dimensions:
            count *= dimension
        return count


@dataclass(frozen=True, slots=True)
class Header:
    """Everything before the tensor data."""

    path: Path
    version: int
    metadata: dict[str, Value]
    tensors: tuple[TensorInfo, ...]
    alignment_bytes: int
    data_at_byte: int
    file_bytes: int

    def strings(self, key: str) -> list[str]:
        """The strings of an array; bytes that are not UTF-8 become lone surrogates.

        Raises:
            BadModel: the key is missing or no array of strings, or the file changed meanwhile.
        """
        array = self._array(key, (ValueType.STRING,))
        payload = self._payload(key, array)
        texts: list[str] = []
        unpack = _U64.unpack_from
        at = 0
        try:
            for _ in range(array.count):
                end = at + 8 + unpack(payload, at)[0]
                if end > len(payload):
                    raise struct.error
                texts.append(payload[at + 8 : end].decode(errors="surrogateescape"))
                at = end
        except struct.error:
            raise BadModel(
                str(self.path), key, "the array the header announced", "another"
            ) from None
        return texts

    def integers(self, key: str) -> list[int]:
        """The integers of an array.

        Raises:
            BadModel: the key is missing or no array of integers, or the file changed meanwhile.
        """
        array = self._array(key, (ValueType.INT32, ValueType.UINT32))
        code = SCALAR_FORMATS[array.item_type][1]
        payload = self._payload(key, array)
        return list(struct.unpack(f"<{array.count}{code}", payload))

    def _array(self, key: str, item_types: tuple[ValueType, ...]) -> ArrayRef:
        value = self.metadata.get(key)
        if not isinstance(value, ArrayRef) or value.item_type not in item_types:
            wanted = " or ".join(item.name.lower() for item in item_types)
            found = (
                f"an array of {value.item_type.name.lower()}"
                if isinstance(value, ArrayRef)
                else ("nothing" if value is None else repr(value)[:60])
            )
            raise BadModel(str(self.path), key, f"an array of {wanted}", found)
        return value

    def _payload(self, key: str, array: ArrayRef) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(array.at_byte)
                payload = file.read(array.size_bytes)
        except OSError as error:
            raise BadModel(str(self.path), key, "a readable file", _reason(error)) from None
        if len(payload) != array.size_bytes:
            raise BadModel(
                str(self.path), key, f"{array.size_bytes} bytes", f"{len(payload)} bytes"
            )
        return payload


def read_header(path: Path) -> Header:
    """Read and check the header of a GGUF file.

    Raises:
        BadModel: the file is missing, unreadable, damaged, truncated, or of another format.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise BadModel(str(path), "", "a GGUF file", "a directory")
        if not stat.S_ISREG(status.st_mode):
            raise BadModel(str(path), "", "a GGUF file", "something that is not a regular file")
        if status.st_size == 0:
            raise BadModel(str(path), "", "a GGUF file", "an empty file")
        with path.open("rb") as file:
            return _Reader(path, file, status.st_size).header()
    except (OSError, ValueError) as error:
        raise BadModel(str(path), "", "a readable GGUF file", _reason(error)) from None


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return (isinstance(error, OSError) and error.strerror) or str(error)


class _Reader:
    """A cursor over the file that grows its buffer only as far as the header needs it."""

    def __init__(self, path: Path, file: BinaryIO, file_bytes: int) -> None:
        self._path = path
        self._file = file
        self._file_bytes = file_bytes
        self._buffer = bytearray()
        self._at = 0

    def header(self) -> Header:
        """The whole header, checked."""
        tensor_count, key_count = self._preamble()
        metadata = self._metadata(key_count)
        alignment = self._alignment(metadata)
        tensors = self._tensors(tensor_count, alignment)
        data_at = padded(self._at, alignment)
        for tensor in tensors:
            end = data_at + tensor.offset_bytes + tensor.size_bytes
            if end > self._file_bytes:
                self._bad(
                    tensor.name,
                    f"tensor data up to byte {end}",
                    f"a file of {self._file_bytes} bytes (truncated?)",
                )
        version = _U32.unpack_from(self._buffer, 4)[0]
        return Header(self._path, version, metadata, tensors, alignment, data_at, self._file_bytes)

    def _preamble(self) -> tuple[int, int]:
        found = bytes(self._peek(min(4, self._file_bytes)))
        if found != MAGIC:
            self._bad("magic", repr(MAGIC), repr(found))
        self._at += 4
        version = self._u32("version")
        if version not in VERSIONS:
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
            big_endian = swapped in (1, *VERSIONS)
            self._bad(
                "version",
                "GGUF version 2 or 3, little endian",
                f"version {swapped}, big endian" if big_endian else f"version {version}",
            )
        tensor_count = self._u64("tensor count")
        self._limit("tensor count", tensor_count, MAX_TENSORS, "tensors")
        key_count = self._u64("key count")
        self._limit("key count", key_count, MAX_KEYS, "keys")
        return tensor_count, key_count

    def _metadata(self, count: int) -> dict[str, Value]:
        metadata: dict[str, Value] = {}
        for index in range(count):
            key = self._string(f"key {index}", MAX_KEY_BYTES)
            if not key:
                self._bad(f"key {index}", "a name", "an empty one")
            if key in metadata:
                self._bad(key, "each key once", "a duplicate")
            metadata[key] = self._value(key, self._value_type(key))
        return metadata

    def _value_type(self, key: str) -> ValueType:
        number = self._u32(key)
        try:
            return ValueType(number)
        except ValueError:
            self._bad(key, "a value type of 0 to 12", str(number))

    def _value(self, key: str, value_type: ValueType) -> Value:
        if value_type is ValueType.STRING:
            return self._string(key, MAX_STRING_BYTES)
        if value_type is ValueType.ARRAY:
            return self._skip_array(key)
        code = SCALAR_FORMATS[value_type]
        value: int | float = struct.unpack(code, self._take(struct.calcsize(code), key))[0]
        if value_type is ValueType.BOOL:
            if value not in (0, 1):
                self._bad(key, "a bool of 0 or 1", str(value))
            return bool(value)
        return value

    def _skip_array(self, key: str) -> ArrayRef:
        item_type = self._value_type(key)
        if item_type is ValueType.ARRAY:
            self._bad(key, "an array of scalars or strings", "an array of arrays")
        count = self._u64(key)
        self._limit(key, count, MAX_ARRAY_ITEMS, "items")
        start = self._at
        if item_type is not ValueType.STRING:
            self._skip(count * struct.calcsize(SCALAR_FORMATS[item_type]), key)
            return ArrayRef(item_type, count, start, self._at - start)
        self._room(count * 8, key)
        buffer, unpack, at = self._buffer, _U64.unpack_from, start
        for _ in range(count):
            if at + 8 > len(buffer):
                self._at = at
                self._room(8, key)
                self._fill(at + 8)
            size = unpack(buffer, at)[0]
            at += 8 + size
            if size > MAX_STRING_BYTES or at > self._file_bytes:
                self._at = at - size
                self._limit(key, size, MAX_STRING_BYTES, "bytes in a string")
                self._room(size, key)
        self._at = start
        self._skip(at - start, key)
        return ArrayRef(item_type, count, start, at - start)

    def _alignment(self, metadata: dict[str, Value]) -> int:
        value = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or not 0 < value <= MAX_ALIGNMENT
            or value & (value - 1)
        ):
            found = "an array" if isinstance(value, ArrayRef) else repr(value)[:60]
            self._bad("general.alignment", f"a power of two up to {MAX_ALIGNMENT}", found)
        return value

    def _tensors(self, count: int, alignment: int) -> tuple[TensorInfo, ...]:
        tensors: list[TensorInfo] = []
        names: set[str] = set()
        expected_offset = 0
        for index in range(count):
            tensor = self._tensor(index)
            if tensor.name in names:
                self._bad(tensor.name, "each tensor once", "a duplicate")
            if tensor.offset_bytes % alignment:
                self._bad(
                    tensor.name,
                    f"an offset that is a multiple of {alignment}",
                    str(tensor.offset_bytes),
                )
            if tensor.offset_bytes != expected_offset:
                problem = "overlap" if tensor.offset_bytes < expected_offset else "gap"
                self._bad(
                    tensor.name,
                    f"offset {expected_offset}, right after the tensor before",
                    f"{tensor.offset_bytes} ({problem})",
                )
            names.add(tensor.name)
            tensors.append(tensor)
            expected_offset = padded(tensor.offset_bytes + tensor.size_bytes, alignment)
        return tuple(tensors)

    def _tensor(self, index: int) -> TensorInfo:
        name = self._string(f"tensor {index}", MAX_TENSOR_NAME_BYTES)
        if not name:
            self._bad(f"tensor {index}", "a name", "an empty one")
        dimension_count = self._u32(name)
        if not 1 <= dimension_count <= MAX_DIMENSIONS:
            self._bad(name, f"1 to {MAX_DIMENSIONS} dimensions", str(dimension_count))
        dimensions = tuple(self._u64(name) for _ in range(dimension_count))
        type_number = self._u32(name)
        offset = self._u64(name)
        tensor_type = TENSOR_TYPES.get(type_number)
        if tensor_type is None:
            self._bad(name, "a known tensor type", f"type {type_number}")
        elements = 1
        for dimension in dimensions:
            elements *= dimension
        if elements == 0 or dimensions[0] % tensor_type.block_elements:
            self._bad(
                name,
                f"whole blocks of {tensor_type.block_elements} ({tensor_type.name})",
                "x".join(map(str, dimensions)),
            )
        size_bytes = elements // tensor_type.block_elements * tensor_type.block_bytes
        if size_bytes > self._file_bytes:
            self._bad(
                name,
                f"at most {self._file_bytes} bytes, the whole file",
                f"{'x'.join(map(str, dimensions))} {tensor_type.name}, {size_bytes} bytes",
            )
        return TensorInfo(name, dimensions, tensor_type, offset, size_bytes)

    # -- bytes ---------------------------------------------------------------------------------

    def _u32(self, key: str) -> int:
        number: int = _U32.unpack(self._take(4, key))[0]
        return number

    def _u64(self, key: str) -> int:
        number: int = _U64.unpack(self._take(8, key))[0]
        return number

    def _string(self, key: str, limit_bytes: int) -> str:
        size = self._u64(key)
        self._limit(key, size, limit_bytes, "bytes in a string")
        data = self._take(size, key)
        try:
            return data.decode()
        except UnicodeDecodeError:
            self._bad(key, "UTF-8", repr(bytes(data[:32])))

    def _take(self, size: int, key: str) -> bytes:
        start = self._at
        self._skip(size, key)
        return bytes(self._buffer[start : self._at])

    def _skip(self, size: int, key: str) -> None:
        self._room(size, key)
        self._fill(self._at + size)
        self._at += size

    def _peek(self, size: int) -> bytearray:
        self._fill(self._at + size)
        return self._buffer[self._at : self._at + size]

    def _room(self, size: int, key: str) -> None:
        """Refuse a length that the file, or the limit on headers, cannot hold."""
        left = self._file_bytes - self._at
        if size > left:
            self._bad(
                key,
                f"{size} more bytes at byte {self._at}",
                f"{left} (truncated, or a wrong length)",
            )
        if self._at + size > MAX_HEADER_BYTES:
            self._bad(key, f"a header of at most {MAX_HEADER_BYTES} bytes", "a longer one")

    def _fill(self, end: int) -> None:
        while len(self._buffer) < end:
            chunk = self._file.read(max(_CHUNK_BYTES, end - len(self._buffer)))
            if not chunk:
                self._bad("", f"{self._file_bytes} bytes", f"{len(self._buffer)} (file shrank)")
            self._buffer += chunk

    def _limit(self, key: str, value: int, limit: int, noun: str) -> None:
        if value > limit:
            self._bad(key, f"at most {limit} {noun}", str(value))

    def _bad(self, key: str, expected: str, found: str) -> NoReturn:
        raise BadModel(str(self._path), _printable(key), expected, found)


def _printable(key: str) -> str:
    return key if key.isprintable() else repr(key)
