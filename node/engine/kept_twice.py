"""A model's file and a second one, with checksums of every tensor: what damaged weights are read
from again.

The second file and the record are made when a model is first used with `[node.radiation]`, in the
folder of the engine's states. They belong to the file as it was then: one that was changed by
somebody has another date, and gets new ones. Bits that flip on a disk change no date; what they
damaged is written anew from the other file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import crc32c

from models.gguf.header import Header, read_header
from roundtrip.errors import BadModel

HEAD = ""
"""Stands for all that is before the tensors."""
_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    size: int
    crc: int


class KeptTwice:
    """Two files that hold a model.

    Args:
        path: the model's.
        folder: where the second one and the record are, or are made.
        say: told, in a line, what was damaged.

    Raises:
        BadModel: neither is whole, or there is no room for a second one.
    """

    def __init__(self, path: Path, folder: Path, say: Callable[[str], None]) -> None:
        self.path = path
        self._say = say
        name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
        self._second = folder / f"{name}.gguf"
        record = folder / f"{name}.crc32c"
        spans = _read(record, path, self._second)
        if spans is None:
            spans = _spans(read_header(path))
            self._make(record, spans)
        self._spans = spans
        self.whole = path
        """The one to load from: the model's own, unless it is damaged and cannot be written."""
        for file in (self._second, path):
            damaged = [name for name in spans if self._found(file, name) is None]
            mended = [self._restored(file, name) for name in damaged]
            if file == path and not all(mended):
                self.whole = self._second

    def _make(self, record: Path, spans: dict[str, _Span]) -> None:
        try:
            record.parent.mkdir(parents=True, exist_ok=True)
            record.unlink(missing_ok=True)
            shutil.copyfile(self.path, self._second)
            state = self.path.stat()
            body = json.dumps(
                {
                    "file": [state.st_size, state.st_mtime_ns],
                    "tensors": {k: [s.start, s.size, s.crc] for k, s in spans.items()},
                }
            )
            scratch = record.with_suffix(".part")
            scratch.write_text(f"{crc32c.crc32c(body.encode()):08x} {body}")
            scratch.replace(record)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._second.unlink(missing_ok=True)
            room = f"room in {record.parent} for a second file of the model"
            raise BadModel(str(self.path), "node.radiation", room, str(error)) from None

    def tensor(self, name: str) -> tuple[bytes, str]:
        """A tensor's bytes as the model was made, and the name of the file that had them.

        Raises:
            BadModel: both files have it damaged.
        """
        for file in (self.path, self._second):
            found = self._found(file, name)
            if found is not None:
                return found, file.name
        raise self._lost(name)

    def _found(self, file: Path, name: str) -> bytes | None:
        span = self._spans[name]
        try:
            with file.open("rb") as stream:
                stream.seek(span.start)
                data = stream.read(span.size)
        except OSError:
            return None
        return data if len(data) == span.size and crc32c.crc32c(data) == span.crc else None

    def _restored(self, file: Path, name: str) -> bool:
        """Whether what a file has damaged could be written anew; it keeps its date."""
        data, source = self.tensor(name)
        what = f"{file.name}: {name or 'the header'} is damaged on the disk"
        try:
            dates = file.stat()
            with file.open("r+b") as stream:
                stream.seek(self._spans[name].start)
                stream.write(data)
                os.fsync(stream.fileno())
            os.utime(file, ns=(dates.st_atime_ns, dates.st_mtime_ns))
        except OSError as error:
            self._say(f"{what}, and cannot be written anew from {source}: {error.strerror}")
            return False
        self._say(f"{what}; written anew from {source}")
        return True

    def _lost(self, name: str) -> BadModel:
        return BadModel(
            str(self.path),
            name or "header",
            "what it was when the model was first used, here or in the second file",
            f"both damaged; put the model there anew and delete {self._second}",
        )


def _spans(header: Header) -> dict[str, _Span]:
    """Of the header, and of each tensor."""
    places = [(HEAD, 0, header.data_at_byte)]
    places += [
        (tensor.name, header.data_at_byte + tensor.offset_bytes, tensor.size_bytes)
        for tensor in header.tensors
    ]
    with header.path.open("rb") as stream:
        spans: dict[str, _Span] = {}
        for name, start, size in places:
            stream.seek(start)
            crc = 0
            for chunk in _chunks(stream.read, size):
                crc = crc32c.crc32c(chunk, crc)
            spans[name] = _Span(start, size, crc)
    return spans


def _chunks(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    while size:
        chunk = read(min(size, _CHUNK_BYTES))
        size = size - len(chunk) if chunk else 0
        yield chunk


def _read(record: Path, path: Path, second: Path) -> dict[str, _Span] | None:
    """What was recorded of these files; None where there is nothing that holds."""
    try:
        crc, _, body = record.read_text().partition(" ")
        state = path.stat()
        if int(crc, 16) != crc32c.crc32c(body.encode()) or not second.exists():
            return None
        kept = json.loads(body)
        if kept["file"] != [state.st_size, state.st_mtime_ns]:
            return None
        return {name: _Span(*span) for name, span in kept["tensors"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return None
