"""Whatever is done to a header, only `BadModel` comes out of reading it."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.gguf.architecture import Shape, tensor_dimensions
from models.gguf.fit import fit
from models.gguf.header import read_header
from models.gguf.inspect import inspect, require_qwen3
from models.gguf.vocabulary import vocabulary
from models.gguf.write import (
    PlannedTensor,
    float32,
    integers,
    text,
    texts,
    uint32,
    write_gguf,
)
from roundtrip.errors import BadModel

SHAPE = Shape(
    layers=1, hidden=32, ffn=64, heads=2, kv_heads=1, head_dim=16, vocabulary=282, tied=True
)
LENGTHS = st.one_of(
    st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32, 2**60, 2**63 - 1, 2**63, 2**64 - 1]),
    st.integers(0, 2**64 - 1),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small model that is accepted."""
    path = tmp_path_factory.mktemp("gguf") / "whole.gguf"
    keys = {
        "general.architecture": text("qwen3"),
        "qwen3.block_count": uint32(SHAPE.layers),
        "qwen3.context_length": uint32(1024),
        "qwen3.embedding_length": uint32(SHAPE.hidden),
        "qwen3.feed_forward_length": uint32(SHAPE.ffn),
        "qwen3.attention.head_count": uint32(SHAPE.heads),
        "qwen3.attention.head_count_kv": uint32(SHAPE.kv_heads),
        "qwen3.attention.key_length": uint32(SHAPE.head_dim),
        "qwen3.attention.layer_norm_rms_epsilon": float32(1e-6),
        **vocabulary(SHAPE.vocabulary, 0).metadata(),
    }
    planned = [
        PlannedTensor(name, dimensions, 0) for name, dimensions in tensor_dimensions(SHAPE).items()
    ]
    with path.open("wb") as file:
        write_gguf(file, keys, planned, (bytes(tensor.size_bytes) for tensor in planned))
    require_qwen3(inspect(path))
    return path.read_bytes()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf") / "mutated.gguf"


def read_whole(path: Path, content: bytes) -> None:
    """Everything the node does with a file before llama.cpp sees it."""
    path.write_bytes(content)
    with contextlib.suppress(BadModel):
        info = inspect(path)
        fit(info, 2048)
        require_qwen3(info)


def data_start(content: bytes, path: Path) -> int:
    path.write_bytes(content)
    return read_header(path).data_at_byte


many = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@many
@given(data=st.data())
def test_flipped_bits(whole: bytes, scratch: Path, data: st.DataObject) -> None:
    end = data_start(whole, scratch)
    flips = data.draw(st.lists(st.integers(0, end * 8 - 1), min_size=1, max_size=8))
    changed = bytearray(whole)
    for flip in flips:
        changed[flip // 8] ^= 1 << flip % 8
    read_whole(scratch, bytes(changed))


@many
@given(data=st.data())
def test_truncated(whole: bytes, scratch: Path, data: st.DataObject) -> None:
    size = data.draw(st.integers(0, len(whole) - 1))
    scratch.write_bytes(whole[:size])
    with pytest.raises(BadModel):
        inspect(scratch)


@many
@given(data=st.data(), length=LENGTHS, overwrite=st.booleans())
def test_inserted_lengths(
    whole: bytes, scratch: Path, data: st.DataObject, length: int, overwrite: bool
) -> None:
    # The last 2,000 bytes before the data are tensor infos, the first 1,000 the plain keys: look
    # there more often than in the middle of the vocabulary.
    end = data_start(whole, scratch)
    at = data.draw(
        st.one_of(st.integers(4, 1000), st.integers(end - 2000, end), st.integers(4, end))
    )
    rest = at + 8 if overwrite else at
    read_whole(scratch, whole[:at] + struct.pack("<Q", length) + whole[rest:])


@many
@given(junk=st.binary(max_size=400), magic=st.booleans())
def test_junk(scratch: Path, junk: bytes, magic: bool) -> None:
    read_whole(scratch, (b"GGUF\x03\0\0\0" if magic else b"") + junk)


strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@many
@given(
    words=st.dictionaries(strings.filter(bool), strings, max_size=5),
    lists=st.lists(strings, max_size=20),
    numbers=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=20),
)
def test_what_is_written_is_read(
    scratch: Path, words: dict[str, str], lists: list[str], numbers: list[int]
) -> None:
    keys = {f"w.{key}": text(value) for key, value in words.items()}
    with scratch.open("wb") as file:
        entries = {**keys, "l": texts(lists), "n": integers(numbers)}
        write_gguf(file, entries, [PlannedTensor("t", (4, 2), 0)], [bytes(32)])
    header = read_header(scratch)
    assert {key: header.metadata[key] for key in keys} == {
        f"w.{key}": value for key, value in words.items()
    }
    assert header.strings("l") == lists
    assert header.integers("n") == numbers
    assert header.tensors[0].dimensions == (4, 2)
