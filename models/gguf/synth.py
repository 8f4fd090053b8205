"""Qwen3 models of the real shape with seeded random weights, for measuring what a model costs.

They answer noise, at the speed and in the memory of the real model; it must never be told as more.
The same (shape, quantization, seed) gives the same bytes again with the same build of llama.cpp:
weights come from raw generator bits, whose stream numpy keeps stable, not from its distributions.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.atomic import atomic_target, temporary_beside
from models.gguf.architecture import QWEN3, SHAPES, Shape, tensor_dimensions
from models.gguf.quantize import QUANTIZATIONS, checked_type, quantize
from models.gguf.types import F16, F32
from models.gguf.vocabulary import vocabulary
from models.gguf.write import Entry, PlannedTensor, float32, text, uint32, write_gguf
from roundtrip.errors import BadModel

BLOCK_ELEMENTS = 1 << 22
"""Weights made at a time: 8 MiB of F16."""
EMBEDDING_RMS = 0.02
"""Small against what the layers add, so that the output is not an echo of the input."""
LOGIT_RMS = 2.0
"""Set by the output norm: peaked enough to sample from."""

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) of the F16 weights."""


@dataclass(frozen=True, slots=True)
class Synthesised:
    """What was made."""

    path: Path
    shape: str
    quantization: str
    seed: int
    size_bytes: int


def checked_shape(name: str) -> str:
    """The name of a shape, in lower case.

    Raises:
        BadModel: there is none of that name.
    """
    if name.lower() not in SHAPES:
        raise BadModel("synth", "shape", "one of " + ", ".join(SHAPES), repr(name))
    return name.lower()


def synth(
    shape: str, quantization: str, out: Path, *, seed: int = 0, progress: Progress | None = None
) -> Synthesised:
    """Make a Qwen3 GGUF with random weights.

    Args:
        shape: a key of `SHAPES`.
        quantization: a key of `QUANTIZATIONS`.
        out: the file to make; one that is there is replaced, at the very end.
        seed: of vocabulary and weights.
        progress: told how much of the weights is made.

    Raises:
        BadModel: no such shape or quantization.
        EnvironmentFault: the file cannot be written.
    """
    shape = checked_shape(shape)
    quantization = checked_type(quantization, source="synth")
    if quantization == "F16":
        with atomic_target(out) as temporary:
            _write_f16(temporary, shape, seed, progress)
    else:
        with temporary_beside(out) as temporary:
            _write_f16(temporary, shape, seed, progress)
            quantize(temporary, out, quantization)
    return Synthesised(out, shape, quantization, seed, out.stat().st_size)


def _write_f16(path: Path, name: str, seed: int, progress: Progress | None) -> None:
    shape = SHAPES[name]
    planned = [
        PlannedTensor(tensor, dimensions, F16 if len(dimensions) > 1 else F32)
        for tensor, dimensions in tensor_dimensions(shape).items()
    ]
    with path.open("wb") as file:
        write_gguf(
            file, _metadata(name, shape, seed), planned, _blocks(planned, shape, seed, progress)
        )


def _metadata(name: str, shape: Shape, seed: int) -> dict[str, Entry]:
    return {
        "general.architecture": text(QWEN3),
        "general.type": text("model"),
        "general.name": text(f"synthetic {name} seed {seed}"),
        "general.description": text("random weights: answers are noise"),
        "general.file_type": uint32(QUANTIZATIONS["F16"]),
        f"{QWEN3}.block_count": uint32(shape.layers),
        f"{QWEN3}.context_length": uint32(shape.context),
        f"{QWEN3}.embedding_length": uint32(shape.hidden),
        f"{QWEN3}.feed_forward_length": uint32(shape.ffn),
        f"{QWEN3}.attention.head_count": uint32(shape.heads),
        f"{QWEN3}.attention.head_count_kv": uint32(shape.kv_heads),
        f"{QWEN3}.attention.key_length": uint32(shape.head_dim),
        f"{QWEN3}.attention.value_length": uint32(shape.head_dim),
        f"{QWEN3}.attention.layer_norm_rms_epsilon": float32(shape.rms_epsilon),
        f"{QWEN3}.rope.freq_base": float32(shape.rope_base),
        **vocabulary(shape.vocabulary, seed).metadata(),
    }


def _blocks(
    planned: list[PlannedTensor], shape: Shape, seed: int, progress: Progress | None
) -> Iterator[bytes]:
    total = sum(tensor.size_bytes for tensor in planned)
    done = 0
    for tensor in planned:
        for block in _tensor_blocks(tensor, shape, seed):
            yield block
            done += len(block)
            if progress is not None:
                progress(done, total)


def _tensor_blocks(tensor: PlannedTensor, shape: Shape, seed: int) -> Iterator[bytes]:
    if tensor.type == F32:
        yield np.full(tensor.dimensions, _norm(tensor, shape), dtype="<f4").tobytes()
        return
    digest = hashlib.sha256(f"{seed}/{tensor.name}".encode()).digest()
    generator = np.random.Philox(key=int.from_bytes(digest[:16], "big"))
    # Uniform on [-1, 1) has an rms of 1 / sqrt(3).
    scale = np.float32(_rms(tensor, shape) * math.sqrt(3) / 32768)
    left = math.prod(tensor.dimensions)
    while left:
        count = min(left, BLOCK_ELEMENTS)
        left -= count
        yield _uniform(generator, count, scale).tobytes()


def _uniform(generator: np.random.Philox, count: int, scale: np.float32) -> NDArray[np.float16]:
    """`count` float16 values, uniform on [-32768, 32768) · scale."""
    words = np.asarray(generator.random_raw(-(-count // 4)), dtype="<u8")
    halves = words.view("<i2")[:count].astype(np.float32)
    halves *= scale
    return halves.astype("<f2")


def _norm(tensor: PlannedTensor, shape: Shape) -> float:
    if tensor.name == "output_norm.weight":
        return LOGIT_RMS / (EMBEDDING_RMS * math.sqrt(shape.hidden))
    return 1.0


def _rms(tensor: PlannedTensor, shape: Shape) -> float:
    """Keeps activations near one: fan-in, and for what adds to the residual stream, the depth."""
    if tensor.name.startswith("token_embd"):
        return EMBEDDING_RMS
    rms = 1 / math.sqrt(tensor.dimensions[0])
    if tensor.name.split(".")[-2] in ("attn_output", "ffn_down"):
        rms /= math.sqrt(2 * shape.layers)
    return rms
