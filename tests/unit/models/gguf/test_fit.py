"""The memory arithmetic, by hand and against what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.gguf.architecture import SHAPES
from models.gguf.fit import fit
from models.gguf.header import Header
from models.gguf.inspect import ModelInfo, inspect
from roundtrip.errors import BadModel


def info(name: str, weights_bytes: int) -> ModelInfo:
    shape = SHAPES[name]
    path = Path(name)
    return ModelInfo(
        path=path,
        architecture="qwen3",
        name=name,
        quantization="Q4_K_M",
        parameters=0,
        layers=shape.layers,
        hidden=shape.hidden,
        ffn=shape.ffn,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        context_length=shape.context,
        vocabulary=shape.vocabulary,
        tokenizer="gpt2/qwen2",
        chat_tokens=(),
        weights_bytes=weights_bytes,
        file_bytes=weights_bytes,
        header=Header(path, 3, {}, (), 32, 0, weights_bytes),
    )


def test_kv_cache_per_token() -> None:
    assert info("qwen3-0.6b", 0).kv_bytes_per_token == 112 * 1024
    assert info("qwen3-1.7b", 0).kv_bytes_per_token == 112 * 1024
    assert info("qwen3-4b", 0).kv_bytes_per_token == 144 * 1024


def test_parts_add_up(tiny_gguf: Path) -> None:
    model = inspect(tiny_gguf)
    needed = fit(model, 1000, machine="x86_64")
    assert needed.weights_bytes == model.weights_bytes
    assert needed.kv_bytes == 1024 * model.kv_bytes_per_token
    assert needed.total_bytes == (
        needed.weights_bytes + needed.kv_bytes + needed.compute_bytes + needed.process_bytes
    )
    assert needed.reclaimable_bytes == 0, "Q8_0 is not repacked on x86-64"
    assert fit(model, 1000, machine="aarch64").reclaimable_bytes > 2_000_000


def test_a_smaller_cache(tiny_gguf: Path) -> None:
    model = inspect(tiny_gguf)
    assert fit(model, 256, kv_type="q8_0").kv_bytes == fit(model, 256).kv_bytes * 34 // 64


def test_a_smaller_batch_computes_in_less() -> None:
    model = info("qwen3-0.6b", 0)
    assert fit(model, 2048, batch=128).compute_bytes < fit(model, 2048).compute_bytes / 3


@pytest.mark.parametrize(
    ("name", "weights_bytes", "context", "batch", "resident_mb"),
    [
        # VmHWM of a Python process on llama-cpp-python 0.3.36, x86-64, without repacked buffers,
        # after a prefill of the whole context and eight tokens.
        ("qwen3-0.6b", 390_753_280, 512, 512, 572.1),
        ("qwen3-0.6b", 390_753_280, 2048, 512, 750.1),
        ("qwen3-0.6b", 390_753_280, 2048, 128, 729.0),
        ("qwen3-0.6b", 390_753_280, 8192, 512, 1461.3),
        ("qwen3-1.7b", 1_101_457_408, 1024, 512, 1369.5),
        ("tiny", 3_075_072, 2048, 512, 64.2),
    ],
)
def test_against_measured(
    name: str, weights_bytes: int, context: int, batch: int, resident_mb: float
) -> None:
    estimate = fit(info(name, weights_bytes), context, batch=batch).total_bytes / 1e6
    assert estimate == pytest.approx(resident_mb, rel=0.015, abs=3)


def test_bad_questions(tiny_gguf: Path) -> None:
    model = inspect(tiny_gguf)
    with pytest.raises(BadModel, match="context: expected 1 token or more, found 0"):
        fit(model, 0)
    with pytest.raises(BadModel, match="kv_type: expected one of f16, q8_0"):
        fit(model, 1, kv_type="q2")
