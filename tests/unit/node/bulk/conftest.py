from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ground.bulk.source import FileSource, file_source
from node.bulk.shelf import Folder
from node.bulk.vault import Outcome, Vault
from roundtrip.bulk.manifest import Manifest, Signed, sign
from roundtrip.bulk.wire import Have, Offer, Piece, Told

KEY = b"k" * 32
NODE = "ipn:2.1"


@dataclass
class Cargo:
    """A file on the ground, and what is said of it."""

    source: FileSource
    signed: Signed

    @property
    def offer(self) -> Offer:
        return Offer(self.signed.data, self.signed.mac, 7)

    def piece(self, number: int) -> Piece:
        body, packed = self.source.piece(number)
        return Piece(self.signed.id, number, body, packed)

    def told(self, order: str) -> Told:
        return Told(self.signed.id, order)


@pytest.fixture
def cargo(tmp_path: Path) -> Callable[..., Cargo]:
    """A file of so many bytes, signed."""

    def make(content: bytes, **changes: Any) -> Cargo:
        path = tmp_path / hashlib.sha256(content).hexdigest()[:12]
        path.write_bytes(content)
        source = file_source(path)
        lists = tuple(hashlib.sha256(one).digest() for one in source.lists)
        fields: dict[str, Any] = {
            "node": NODE, "name": "cargo", "kind": "model", "size": source.size,
            "sha256": source.sha256, "lists": lists, "leaves": len(source.leaves),
        }  # fmt: skip
        return Cargo(source, sign(Manifest(**(fields | changes)), KEY))

    return make


class Board:
    """A node's uploads, that can be started anew."""

    def __init__(self, path: Path, others: list[Path]) -> None:
        self.shelf = Folder(path, lambda: others)
        self.told: list[Have] = []
        self.start()

    def start(self) -> None:
        self.vault = Vault(self.shelf, NODE, [KEY])
        self.told = self.vault.begin()

    def take(self, message: Any) -> Outcome:
        return self.vault.take(message)

    def state(self, message: Any) -> str:
        reply = self.take(message).reply
        return "" if reply is None else reply.state

    def load(self, cargo: Cargo) -> None:
        """Take all of it."""
        self.take(cargo.offer)
        for number in range(cargo.signed.manifest.numbers):
            self.take(cargo.piece(number))


@pytest.fixture
def others() -> list[Path]:
    """Files on board whose blocks may be used."""
    return []


@pytest.fixture
def board(tmp_path: Path, others: list[Path]) -> Board:
    return Board(tmp_path / "slots", others)
