from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.gguf.inspect import inspect, sha256
from models.gguf.verify import BLOCK_BYTES, SCALES_AT, tensor_checksums, verify
from models.resolve import resolve
from roundtrip.errors import BadModel


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    path = tmp_path / "copy.gguf"
    path.write_bytes(resolve("tiny").read_bytes())
    return path


def overwrite(path: Path, name: str, at: int, content: bytes) -> None:
    header = inspect(path).header
    tensor = next(tensor for tensor in header.tensors if tensor.name == name)
    with path.open("r+b") as file:
        file.seek(header.data_at_byte + tensor.offset_bytes + at)
        file.write(content)


def test_a_good_file_is_verified(copy: Path) -> None:
    found = verify(copy, sha256(copy).upper())
    assert found.sha256 == sha256(copy)
    assert found.tensors == len(inspect(copy).header.tensors)


def test_a_wrong_checksum_names_both(copy: Path) -> None:
    good = sha256(copy)
    overwrite(copy, "token_embd.weight", 7, b"\x55")
    with pytest.raises(BadModel, match=f"sha256: expected {good}"):
        verify(copy, good)


@pytest.mark.parametrize("name", ["output_norm.weight", "blk.1.attn_q_norm.weight"])
def test_a_nan_in_a_norm_is_found(copy: Path, name: str) -> None:
    overwrite(copy, name, 12, np.float32(np.nan).tobytes())
    with pytest.raises(BadModel, match=name):
        verify(copy)


@pytest.mark.parametrize("block", [0, 1000])
def test_an_infinite_scale_of_a_quantized_block_is_found(copy: Path, block: int) -> None:
    overwrite(copy, "blk.2.ffn_up.weight", 34 * block, np.float16(np.inf).tobytes())
    with pytest.raises(BadModel, match=r"blk\.2\.ffn_up\.weight"):
        verify(copy)


def test_checksums_of_tensors_tell_which_changed(copy: Path) -> None:
    before = dict(tensor_checksums(copy))
    overwrite(copy, "blk.0.attn_v.weight", 5, b"\x01\x02\x03")
    after = dict(tensor_checksums(copy))
    assert [name for name in before if before[name] != after[name]] == ["blk.0.attn_v.weight"]


def test_the_block_layouts_are_those_of_gguf_py() -> None:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    for kind, size in BLOCK_BYTES.items():
        assert GGML_QUANT_SIZES[GGMLQuantizationType[kind]][1] == size
        assert all(0 <= at <= size - 2 for at in SCALES_AT[kind])
