"""LoRA adapters made up for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from models.gguf.write import Entry, PlannedTensor, float32, text, write_gguf

TARGET = "blk.0.attn_q.weight"
WIDTH = 256
"""Of the models `tiny` and `builtin`."""
F32 = 0


def write_adapter(
    path: Path,
    *,
    tensors: Mapping[str, tuple[int, ...]] | None = None,
    metadata: Mapping[str, Entry | None] | None = None,
    rank: int = 4,
    scale: float = 1.0,
) -> None:
    """Write one for `tiny` or `builtin`.

    Args:
        path: where to.
        tensors: their dimensions; None: a pair for TARGET.
        metadata: other than those of an adapter; None for one that is not there.
        rank: of the pair.
        scale: of its random numbers; 0: it changes nothing.
    """
    if tensors is None:
        tensors = {f"{TARGET}.lora_a": (WIDTH, rank), f"{TARGET}.lora_b": (rank, WIDTH)}
    keys: dict[str, Entry | None] = {
        "general.architecture": text("qwen3"),
        "general.type": text("adapter"),
        "general.name": text("made up"),
        "adapter.type": text("lora"),
        "adapter.lora.alpha": float32(float(rank)),
    } | dict(metadata or {})
    rng = np.random.default_rng(1)
    planned = [PlannedTensor(name, dimensions, F32) for name, dimensions in tensors.items()]
    blocks = [
        (scale * rng.standard_normal(one.size_bytes // 4)).astype(np.float32).tobytes()
        for one in planned
    ]
    with path.open("wb") as file:
        there = {key: entry for key, entry in keys.items() if entry is not None}
        write_gguf(file, there, planned, blocks)
