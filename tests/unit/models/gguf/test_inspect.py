"""What a file says about itself, and what the node refuses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from models.gguf.architecture import Shape, tensor_dimensions
from models.gguf.inspect import inspect, require_qwen3, sha256
from models.gguf.vocabulary import vocabulary
from models.gguf.write import (
    Entry,
    PlannedTensor,
    boolean,
    float32,
    integers,
    text,
    texts,
    uint32,
    write_gguf,
)
from roundtrip.errors import BadModel

SHAPE = Shape(
    layers=1, hidden=32, ffn=64, heads=2, kv_heads=1, head_dim=16, vocabulary=300, tied=True
)
Metadata = dict[str, Entry]
Tensors = dict[str, tuple[int, ...]]


def metadata() -> Metadata:
    return {
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


def write(path: Path, keys: Metadata, tensors: Tensors | None = None) -> Path:
    tensors = tensor_dimensions(SHAPE) if tensors is None else tensors
    planned = [PlannedTensor(name, dimensions, 0) for name, dimensions in tensors.items()]
    with path.open("wb") as file:
        write_gguf(file, keys, planned, (bytes(tensor.size_bytes) for tensor in planned))
    return path


def test_the_tiny_model(tiny_gguf: Path) -> None:
    info = inspect(tiny_gguf)
    require_qwen3(info)
    assert (info.architecture, info.quantization) == ("qwen3", "Q8_0")
    assert (info.layers, info.hidden, info.ffn) == (4, 256, 512)
    assert (info.heads, info.kv_heads, info.head_dim) == (4, 2, 64)
    assert (info.vocabulary, info.context_length) == (2048, 32_768)
    assert info.tokenizer == "gpt2/qwen2"
    assert info.parameters == 2_886_400
    assert info.kv_bytes_per_token == 2 * 4 * 2 * 64 * 2
    assert info.weights_bytes < info.file_bytes == tiny_gguf.stat().st_size


def test_a_whole_small_file_passes(tmp_path: Path) -> None:
    info = inspect(write(tmp_path / "m.gguf", metadata()))
    require_qwen3(info)
    assert info.quantization == "F32"
    assert info.name == ""


def test_untied_output_matrix(tmp_path: Path) -> None:
    tensors = {**tensor_dimensions(SHAPE), "output.weight": (SHAPE.hidden, SHAPE.vocabulary)}
    require_qwen3(inspect(write(tmp_path / "m.gguf", metadata(), tensors)))


@pytest.mark.parametrize("name", ["qwen35", "qwen2", "llama", "qwen3moe"])
def test_another_architecture(tmp_path: Path, name: str) -> None:
    keys = {**metadata(), "general.architecture": text(name)}
    info = inspect(write(tmp_path / "m.gguf", keys))
    assert info.architecture == name
    with pytest.raises(BadModel, match=rf"general\.architecture: expected 'qwen3', found '{name}'"):
        require_qwen3(info)


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"general\.architecture: expected a string, found nothing"):
        inspect(write(tmp_path / "m.gguf", {}))


@pytest.mark.parametrize(
    "key",
    [
        "block_count",
        "embedding_length",
        "feed_forward_length",
        "attention.head_count",
        "attention.layer_norm_rms_epsilon",
        "context_length",
    ],
)
def test_a_key_is_missing_or_zero(tmp_path: Path, key: str) -> None:
    keys = metadata()
    zero = float32(0) if key.endswith("epsilon") else uint32(0)
    with pytest.raises(BadModel) as caught:
        require_qwen3(inspect(write(tmp_path / "m.gguf", {**keys, f"qwen3.{key}": zero})))
    assert caught.value.key == f"qwen3.{key}"
    del keys[f"qwen3.{key}"]
    with pytest.raises(BadModel) as caught:
        require_qwen3(inspect(write(tmp_path / "m.gguf", keys)))
    assert (caught.value.key, caught.value.found) == (f"qwen3.{key}", "nothing")


def _without(name: str) -> Callable[[Metadata], None]:
    def change(keys: Metadata) -> None:
        del keys[f"tokenizer.ggml.{name}"]

    return change


def _put(key: str, entry: Entry) -> Callable[[Metadata], None]:
    def change(keys: Metadata) -> None:
        keys[key] = entry

    return change


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (_put("qwen3.block_count", text("28")), "qwen3.block_count"),
        (_put("qwen3.block_count", boolean(True)), "qwen3.block_count"),
        (_put("qwen3.block_count", float32(28)), "qwen3.block_count"),
        (_put("qwen3.block_count", integers([1])), "qwen3.block_count"),
        (_put("qwen3.block_count", uint32(1 << 30)), "qwen3.block_count"),
        (_put("qwen3.block_count", uint32(1 << 31)), "qwen3.block_count"),
        (_put("general.name", uint32(1)), "general.name"),
        (_put("general.architecture", texts(["qwen3"])), "general.architecture"),
        (
            _put("qwen3.attention.layer_norm_rms_epsilon", text("1e-6")),
            "qwen3.attention.layer_norm_rms_epsilon",
        ),
        (_put("qwen3.feed_forward_length", uint32(65)), "blk.0.ffn_gate.weight"),
        (_put("qwen3.attention.head_count_kv", uint32(2)), "blk.0.attn_k.weight"),
        (_put("qwen3.attention.value_length", uint32(8)), "qwen3.attention.value_length"),
        (_put("tokenizer.ggml.model", text("llama")), "tokenizer.ggml.model"),
        (_put("tokenizer.ggml.token_type", integers([1])), "tokenizer.ggml.tokens"),
        (_put("tokenizer.ggml.tokens", integers([1])), "tokenizer.ggml.tokens"),
        (_put("tokenizer.ggml.tokens", texts(["<|im_start|>"])), "tokenizer.ggml.token_type"),
        (_without("tokens"), "tokenizer.ggml.token_type"),
        (_without("merges"), "tokenizer.ggml.merges"),
        (_without("token_type"), "tokenizer.ggml.token_type"),
        (_without("model"), "tokenizer.ggml.model"),
    ],
)
def test_a_key_is_wrong(tmp_path: Path, change: Callable[[Metadata], None], key: str) -> None:
    keys = metadata()
    change(keys)
    path = write(tmp_path / "m.gguf", keys)
    with pytest.raises(BadModel) as caught:
        require_qwen3(inspect(path))
    assert caught.value.source == str(path)
    if key != "tokenizer.ggml.tokens":
        assert caught.value.key == key


def test_a_tokenizer_without_chat_tokens(tmp_path: Path) -> None:
    words = vocabulary(SHAPE.vocabulary, 0)
    keys = metadata()
    renamed = [token.replace("think", "sink") for token in words.tokens]
    keys["tokenizer.ggml.tokens"] = texts(renamed)
    with pytest.raises(BadModel, match="none called <think> </think>"):
        require_qwen3(inspect(write(tmp_path / "m.gguf", keys)))
    keys["tokenizer.ggml.tokens"] = texts(words.tokens)
    keys["tokenizer.ggml.token_type"] = integers([1] * SHAPE.vocabulary)
    with pytest.raises(BadModel, match=r"none called <\|im_start\|> <\|im_end\|> <think> </think>"):
        require_qwen3(inspect(write(tmp_path / "m.gguf", keys)))


def test_a_token_twice(tmp_path: Path) -> None:
    tokens = list(vocabulary(SHAPE.vocabulary, 0).tokens)
    tokens[257] = tokens[256]
    keys = {**metadata(), "tokenizer.ggml.tokens": texts(tokens)}
    with pytest.raises(BadModel, match="each token once, found 1 twice"):
        require_qwen3(inspect(write(tmp_path / "m.gguf", keys)))


def test_a_tensor_is_missing(tmp_path: Path) -> None:
    tensors = tensor_dimensions(SHAPE)
    del tensors["blk.0.attn_q_norm.weight"]
    with pytest.raises(BadModel, match=r"attn_q_norm\.weight: expected 16, found no such tensor"):
        require_qwen3(inspect(write(tmp_path / "m.gguf", metadata(), tensors)))


def test_sha256(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"abc")
    assert sha256(path) == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(BadModel, match="readable"):
        sha256(tmp_path / "none")
