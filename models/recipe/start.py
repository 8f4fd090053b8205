"""To go on from a builtin: its tokenizer and its weights."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.recipe.export import LAYER_TENSORS
from models.recipe.tokens import SPECIAL, tokenizer_with


def tokenizer_of(path: Path) -> Tokenizer:
    """The tokenizer of a GGUF that `export.py` made."""
    fields = gguf.GGUFReader(path).fields

    def texts(name: str) -> list[str]:
        field = fields[f"tokenizer.ggml.{name}"]
        return [bytes(field.parts[at]).decode() for at in field.data]

    ids = {token: place for place, token in enumerate(texts("tokens")) if token not in SPECIAL}
    merges = [(first, second) for first, second in (pair.split(" ") for pair in texts("merges"))]
    return tokenizer_with(ids, merges)


def weights_of(path: Path) -> dict[str, Tensor]:
    """The network's state from a GGUF that `export.py` made."""
    read = {
        tensor.name: torch.from_numpy(
            np.array(gguf.quants.dequantize(tensor.data, tensor.tensor_type))
        ).float()
        for tensor in gguf.GGUFReader(path).tensors
    }
    state = {"embed.weight": read.pop("token_embd.weight")}
    state["norm.weight"] = read.pop("output_norm.weight")
    theirs = {name: ours for ours, name in LAYER_TENSORS.items()}
    for name, weight in read.items():
        _, layer, tensor, _ = name.split(".")
        state[f"layers.{layer}.{theirs[tensor]}.weight"] = weight
    return state
