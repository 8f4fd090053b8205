"""LoRA adapters are held against what llama.cpp wants of them, and against their model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.gguf.adapter import is_adapter, require_adapter
from models.gguf.inspect import inspect
from models.gguf.write import text
from models.resolve import resolve
from roundtrip.errors import BadModel
from tests.adapters import TARGET, write_adapter


@pytest.fixture
def adapter(tmp_path: Path):
    def make(**changes: Any) -> Any:
        path = tmp_path / "adapter.gguf"
        write_adapter(path, **changes)
        return inspect(path)

    return make


def test_one_for_the_model_is_taken(adapter) -> None:
    info = adapter()
    assert is_adapter(info)
    require_adapter(info)
    require_adapter(info, inspect(resolve("tiny")))
    assert not is_adapter(inspect(resolve("tiny")))


def test_a_model_is_none() -> None:
    with pytest.raises(BadModel, match=r"general\.type: expected 'adapter', found nothing"):
        require_adapter(inspect(resolve("builtin")))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"general.architecture": text("llama")}, "general.architecture: expected 'qwen3'"),
        ({"adapter.type": text("control_vector")}, "adapter.type: expected 'lora'"),
        ({"adapter.type": None}, "adapter.type: expected 'lora', found nothing"),
    ],
)
def test_metadata_that_say_something_else_are_refused(adapter, changes, said: str) -> None:
    with pytest.raises(BadModel) as raised:
        require_adapter(adapter(metadata=changes))
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({}, "expected tensors, found none"),
        ({f"{TARGET}.lora_a": (64, 4)}, f"{TARGET}: expected a pair of matrices of one rank"),
        (
            {f"{TARGET}.lora_a": (64, 4), f"{TARGET}.lora_b": (5, 64)},
            f"{TARGET}: expected a pair of matrices of one rank",
        ),
        (
            {f"{TARGET}.lora_a": (64,), f"{TARGET}.lora_b": (64, 64)},
            f"{TARGET}: expected a pair of matrices of one rank",
        ),
        ({f"{TARGET}.lora_c": (64, 4)}, "expected a name that ends with .lora_a or .lora_b"),
    ],
)
def test_tensors_that_are_no_pairs_are_refused(adapter, tensors, said: str) -> None:
    with pytest.raises(BadModel) as raised:
        require_adapter(adapter(tensors=tensors))
    assert said in str(raised.value)


def test_one_for_another_model_is_refused(adapter) -> None:
    narrow = {f"{TARGET}.lora_a": (64, 4), f"{TARGET}.lora_b": (4, 64)}
    with pytest.raises(BadModel, match=f"{TARGET}: expected for a tensor of .*, of 64x64"):
        require_adapter(adapter(tensors=narrow), inspect(resolve("tiny")))
    missing = {"blk.99.attn_q.weight.lora_a": (64, 4), "blk.99.attn_q.weight.lora_b": (4, 64)}
    with pytest.raises(BadModel, match="found no such tensor"):
        require_adapter(adapter(tensors=missing), inspect(resolve("tiny")))
