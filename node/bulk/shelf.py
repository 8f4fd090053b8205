"""Where an upload is kept while it comes, and what becomes of it: a folder, or memory.

The folder needs no journal: what is there is what its bytes hash to. A block is on disk when
`put` returns. All calls come from one thread.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from models.atomic import atomic_target
from models.gguf.starts import tensor_starts
from roundtrip.bulk.manifest import KINDS, Leaf, cuts_of, digest_of, places_of

PLACES = tuple(place for kind in KINDS for place in places_of(kind))
_MANIFEST, _LISTS, _FILE = "manifest", "lists", "file"
_AT_ONCE = 1 << 20
SPARE_BYTES = 64 << 20
"""Of the disk, that an upload leaves free."""


class Shelf(Protocol):
    """Where an upload is kept."""

    def free_bytes(self) -> int:
        """Room for one."""

    def manifest(self) -> bytes | None:
        """Of the one that is coming, with its signature; None where none is."""

    def open(self, manifest: bytes) -> None:
        """One begins to come."""

    def put_list(self, number: int, data: bytes) -> None:
        """Keep a list of leaves."""

    def lists(self, count: int) -> list[bytes | None]:
        """Those that are there."""

    def put(self, start: int, block: bytes) -> None:
        """Keep a block."""

    def there(self, leaves: Sequence[Leaf]) -> set[int]:
        """Which blocks are there."""

    def fill(self, leaves: Sequence[Leaf], lacks: set[int]) -> set[int]:
        """Copy blocks that are on board in another file; returns which."""

    def sha256(self) -> bytes:
        """Of the whole file."""

    def finish(self, place: str) -> None:
        """All of it is there: it takes a place, and its manifest with it."""

    def drop(self) -> None:
        """Forget what is coming."""

    def slot_manifest(self, place: str) -> bytes | None:
        """Of what is in a place."""

    def state(self) -> dict[str, Any]:
        """What was written with `keep_state` last."""

    def keep_state(self, state: dict[str, Any]) -> None:
        """Put it on disk, whole or not at all."""


class Folder:
    """A shelf on disk.

    Args:
        path: made when something comes.
        others: files whose blocks may be used, such as the model that flies.
    """

    def __init__(self, path: Path, others: Callable[[], Iterable[Path]] = tuple) -> None:
        self.path = path
        self._others = others
        self._coming = path / "coming"

    def free_bytes(self) -> int:
        """Room for one."""
        self.path.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.path).free - SPARE_BYTES

    def manifest(self) -> bytes | None:
        """Of the one that is coming; a crash while it took its slot is made up for."""
        kept = _bytes_of(self._coming / _MANIFEST)
        if kept is None or (self._coming / _FILE).is_file():
            return kept
        for place in PLACES:
            if self.file_of(place).is_file() and self.slot_manifest(place) is None:
                (self._coming / _MANIFEST).replace(self.path / place / _MANIFEST)
                _sync_folder(self.path / place)
        self.drop()
        return None

    def open(self, manifest: bytes) -> None:
        """Its manifest is the last to be written: without one nothing is coming."""
        self.drop()
        (self._coming / _LISTS).mkdir(parents=True)
        (self._coming / _FILE).touch()
        with atomic_target(self._coming / _MANIFEST) as target:
            target.write_bytes(manifest)
        _sync_folder(self._coming)
        _sync_folder(self.path)

    def put_list(self, number: int, data: bytes) -> None:
        """Keep a list."""
        with atomic_target(self._coming / _LISTS / str(number)) as target:
            target.write_bytes(data)
        _sync_folder(self._coming / _LISTS)

    def lists(self, count: int) -> list[bytes | None]:
        """Those that are there."""
        return [_bytes_of(self._coming / _LISTS / str(number)) for number in range(count)]

    def put(self, start: int, block: bytes) -> None:
        """Keep a block."""
        with (self._coming / _FILE).open("r+b") as file:
            file.seek(start)
            file.write(block)
            file.flush()
            os.fdatasync(file.fileno())

    def there(self, leaves: Sequence[Leaf]) -> set[int]:
        """By what the bytes of the file hash to."""
        with (self._coming / _FILE).open("rb") as file:
            return {
                number
                for number, leaf in enumerate(leaves)
                if digest_of(file.read(leaf.size)) == leaf.digest
            }

    def fill(self, leaves: Sequence[Leaf], lacks: set[int]) -> set[int]:
        """Blocks of slots, and of other files, cut where their tensors begin."""
        wanted: dict[bytes, list[int]] = {}
        starts, at = [], 0
        for number, leaf in enumerate(leaves):
            starts.append(at)
            at += leaf.size
            if number in lacks:
                wanted.setdefault(leaf.digest, []).append(number)
        found: set[int] = set()
        with (self._coming / _FILE).open("r+b") as target:
            for path in self._sources():
                with path.open("rb") as file:
                    for start, end in cuts_of(path.stat().st_size, tensor_starts(path)):
                        file.seek(start)
                        block = file.read(end - start)
                        for number in wanted.pop(digest_of(block), ()):
                            target.seek(starts[number])
                            target.write(block)
                            found.add(number)
            target.flush()
            os.fsync(target.fileno())
        return found

    def _sources(self) -> list[Path]:
        paths = [*map(self.file_of, PLACES), *self._others()]
        return [path for path in dict.fromkeys(paths) if path.is_file()]

    def sha256(self) -> bytes:
        """Of the whole file."""
        with (self._coming / _FILE).open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()

    def finish(self, place: str) -> None:
        """What was there goes; a place without a manifest holds nothing."""
        target = self.path / place
        target.mkdir(exist_ok=True)
        (target / _MANIFEST).unlink(missing_ok=True)
        _sync_folder(target)
        (self._coming / _FILE).replace(target / _FILE)
        _sync_folder(target)
        (self._coming / _MANIFEST).replace(target / _MANIFEST)
        _sync_folder(target)
        self.drop()

    def drop(self) -> None:
        """The manifest goes first."""
        (self._coming / _MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(self._coming, ignore_errors=True)

    def file_of(self, place: str) -> Path:
        """The file in a place."""
        return self.path / place / _FILE

    def slot_manifest(self, place: str) -> bytes | None:
        """Of what is in a place."""
        return _bytes_of(self.path / place / _MANIFEST) if self.file_of(place).is_file() else None

    def state(self) -> dict[str, Any]:
        """What is damaged is as if it were not there."""
        try:
            found = json.loads(_bytes_of(self.path / "state.json") or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def keep_state(self, state: dict[str, Any]) -> None:
        """Whole, or not at all."""
        with atomic_target(self.path / "state.json") as target:
            target.write_text(json.dumps(state))
        _sync_folder(self.path)


class Memory:
    """A shelf that keeps no bytes: for virtual time, where contents are made up."""

    def __init__(self) -> None:
        self._manifest: bytes | None = None
        self._lists: dict[int, bytes] = {}
        self._blocks: dict[int, bytes] = {}
        """The digest of what was put at each place."""
        self._slots: dict[str, bytes] = {}
        self._state: dict[str, Any] = {}

    def free_bytes(self) -> int:
        """Always enough."""
        return 1 << 62

    def manifest(self) -> bytes | None:
        """Of the one that is coming."""
        return self._manifest

    def open(self, manifest: bytes) -> None:
        """One begins to come."""
        self.drop()
        self._manifest = manifest

    def put_list(self, number: int, data: bytes) -> None:
        """Keep a list."""
        self._lists[number] = data

    def lists(self, count: int) -> list[bytes | None]:
        """Those that are there."""
        return [self._lists.get(number) for number in range(count)]

    def put(self, start: int, block: bytes) -> None:
        """Keep what it hashes to."""
        self._blocks[start] = digest_of(block)

    def there(self, leaves: Sequence[Leaf]) -> set[int]:
        """Which blocks are there."""
        found, at = set(), 0
        for number, leaf in enumerate(leaves):
            if self._blocks.get(at) == leaf.digest:
                found.add(number)
            at += leaf.size
        return found

    def fill(self, leaves: Sequence[Leaf], lacks: set[int]) -> set[int]:
        """There is nothing else."""
        return set()

    def sha256(self) -> bytes:
        """Of all digests, see `made_up`."""
        return hashlib.sha256(b"".join(self._blocks[at] for at in sorted(self._blocks))).digest()

    def finish(self, place: str) -> None:
        """It takes a place."""
        assert self._manifest is not None
        self._slots[place] = self._manifest
        self.drop()

    def drop(self) -> None:
        """Forget what is coming."""
        self._manifest = None
        self._lists, self._blocks = {}, {}

    def slot_manifest(self, place: str) -> bytes | None:
        """Of what is in a place."""
        return self._slots.get(place)

    def state(self) -> dict[str, Any]:
        """What was written last."""
        return self._state

    def keep_state(self, state: dict[str, Any]) -> None:
        """Keep it."""
        self._state = state


def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
