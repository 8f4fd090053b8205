"""What goes up, as it is on the ground's disk."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import pytest

from ground.bulk.source import Changed, MadeUp, file_source
from models.gguf.starts import tensor_starts
from models.resolve import resolve
from roundtrip.bulk.manifest import BLOCK_BYTES, digest_of, leaves_in
from roundtrip.bulk.wire import Piece, unpacked
from roundtrip.errors import BadInput


def test_a_models_blocks_begin_where_its_tensors_do_and_make_up_the_file() -> None:
    path = resolve("builtin")
    source = file_source(path)
    content = path.read_bytes()
    assert (source.size, source.sha256) == (len(content), hashlib.sha256(content).digest())
    pieces = [
        unpacked(Piece(b"", number, *source.piece(number)))
        for number in range(len(source.lists) + len(source.leaves))
    ]
    listed = [leaf for one in pieces[: len(source.lists)] for leaf in leaves_in(one)]
    assert listed == source.leaves
    blocks = pieces[len(source.lists) :]
    assert b"".join(blocks) == content
    assert [digest_of(block) for block in blocks] == [leaf.digest for leaf in source.leaves]
    starts = {sum(leaf.size for leaf in source.leaves[:at]) for at in range(len(source.leaves))}
    assert len(starts & set(tensor_starts(path))) > 20


def test_a_file_that_has_changed_since_is_said(tmp_path: Path) -> None:
    path = tmp_path / "cargo"
    path.write_bytes(random.Random(1).randbytes(3 * BLOCK_BYTES))
    source = file_source(path)
    with path.open("r+b") as file:
        file.seek(BLOCK_BYTES + 5)
        file.write(b"?")
    assert len(source.piece(1)[0]) == BLOCK_BYTES
    with pytest.raises(Changed, match="byte 65536 and after are not what they were"):
        source.piece(2)
    path.unlink()
    with pytest.raises(Changed, match="No such file"):
        source.piece(1)


def test_what_is_no_file_that_can_go_up_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected a regular file"):
        file_source(tmp_path)
    with pytest.raises(BadInput, match="expected a file, found No such file"):
        file_source(tmp_path / "none")
    (tmp_path / "empty").touch()
    with pytest.raises(BadInput, match="found 0 bytes"):
        file_source(tmp_path / "empty")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="regular file"):
        file_source(tmp_path / "pipe")
    assert tensor_starts(tmp_path / "empty") == []


def test_a_made_up_content_is_the_same_each_time_it_is_asked_for() -> None:
    made = MadeUp(2 * BLOCK_BYTES + 9, lambda at: random.Random(at))
    assert [leaf.size for leaf in made.leaves] == [BLOCK_BYTES, BLOCK_BYTES, 9]
    for number, leaf in enumerate(made.leaves):
        block, packed = made.piece(number + 1)
        assert (digest_of(block), len(block), packed) == (leaf.digest, leaf.size, False)
    assert made.piece(0) == (made.lists[0], False)
