"""Synthetic models: they load, think finite thoughts, and are the same again for the same seed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.gguf.architecture import SHAPES, tensor_dimensions
from models.gguf.inspect import inspect, require_qwen3
from models.gguf.quantize import QUANTIZATIONS
from models.gguf.synth import synth
from roundtrip.errors import BadModel, EnvironmentFault


def test_same_seed_same_bytes(tmp_path: Path, tiny_gguf: Path) -> None:
    again = synth("tiny", "q8_0", tmp_path / "again.gguf")
    assert again.quantization == "Q8_0"
    assert again.size_bytes == again.path.stat().st_size
    assert again.path.read_bytes() == tiny_gguf.read_bytes()
    other = synth("Tiny", "Q8_0", tmp_path / "other.gguf", seed=1)
    assert other.size_bytes == pytest.approx(again.size_bytes, rel=0.01)
    assert other.path.read_bytes() != tiny_gguf.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.gguf", "other.gguf"]


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_every_quantization(tmp_path: Path, quantization: str) -> None:
    made = synth("tiny", quantization, tmp_path / "m.gguf")
    info = inspect(made.path)
    require_qwen3(info)
    assert info.quantization == quantization
    assert info.parameters == sum(
        math.prod(dimensions) for dimensions in tensor_dimensions(SHAPES["tiny"]).values()
    )


def test_it_generates_finite_logits(loaded_tiny: Any) -> None:
    prompt = loaded_tiny.encode("<|im_start|>user\nbattery?<|im_end|>\n", special=True)
    tokens, logits = loaded_tiny.greedy(prompt, 16)
    assert np.isfinite(logits).all()
    assert 0.2 < logits.std() < 5
    assert len(set(tokens)) > 4, "an echo, not a model"
    assert loaded_tiny.greedy(prompt, 16)[0] == tokens
    other = loaded_tiny.encode("<|im_start|>user\nthermal?<|im_end|>\n", special=True)
    assert loaded_tiny.greedy(other, 16)[0] != tokens


def test_parameter_counts_of_the_real_shapes() -> None:
    counts = {
        name: sum(math.prod(size) for size in tensor_dimensions(shape).values())
        for name, shape in SHAPES.items()
    }
    # As the model cards have them: 0.6, 1.7 and 4.0 billion.
    assert counts["qwen3-0.6b"] == 596_049_920
    assert counts["qwen3-1.7b"] == 1_720_574_976
    assert counts["qwen3-4b"] == 4_022_468_096


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    synth("tiny", "F16", tmp_path / "m.gguf", progress=lambda done, all_: seen.append((done, all_)))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] == inspect(tmp_path / "m.gguf").weights_bytes


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"shape: expected one of tiny, qwen3-0\.6b.* found '9b'"):
        synth("9b", "Q8_0", tmp_path / "m.gguf")
    with pytest.raises(BadModel, match=r"quantization: expected one of F16, Q8_0.* found 'Q9'"):
        synth("tiny", "Q9", tmp_path / "m.gguf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("quantization", ["F16", "Q4_0"])
def test_a_failure_leaves_nothing(tmp_path: Path, quantization: str) -> None:
    target = tmp_path / "m.gguf"
    target.write_bytes(b"what was there")

    def interrupted(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synth("tiny", quantization, target, progress=interrupted)
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]
    assert target.read_bytes() == b"what was there"


def test_a_full_disk(tmp_path: Path) -> None:
    def full(_done: int, _total: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(EnvironmentFault, match="No space left"):
        synth("tiny", "F16", tmp_path / "m.gguf", progress=full)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentFault, match="write "):
        synth("tiny", "F16", tmp_path / "file" / "m.gguf")
