"""Weights to go on from: those of a builtin, fitted to another tokenizer."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.recipe.export import LAYER_TENSORS


def weights_of(path: Path, tokenizer: Tokenizer) -> dict[str, Tensor]:
    """The network's state from a GGUF that `export.py` made.

    A token that the file knows keeps its embedding; another one begins as the mean of those into
    which the file's own vocabulary cuts it, longest first.
    """
    reader = gguf.GGUFReader(path)
    read = {
        tensor.name: torch.from_numpy(
            np.ascontiguousarray(gguf.quants.dequantize(tensor.data, tensor.tensor_type))
        ).float()
        for tensor in reader.tensors
    }
    tokens = reader.fields["tokenizer.ggml.tokens"]
    known = {bytes(tokens.parts[at]).decode(): place for place, at in enumerate(tokens.data)}
    old = read.pop("token_embd.weight")
    names = [tokenizer.id_to_token(index) for index in range(tokenizer.get_vocab_size())]
    state = {"embed.weight": torch.stack([old[_cut(name, known)].mean(0) for name in names])}
    state["norm.weight"] = read.pop("output_norm.weight")
    theirs = {name: ours for ours, name in LAYER_TENSORS.items()}
    for name, weight in read.items():
        _, layer, tensor, _ = name.split(".")
        state[f"layers.{layer}.{theirs[tensor]}.weight"] = weight
    return state


def _cut(name: str, known: dict[str, int]) -> list[int]:
    pieces: list[int] = []
    while name:
        size = next((end for end in range(len(name), 0, -1) if name[:end] in known), 0)
        if not size:  # a letter that no text of ours has
            name = name[1:]
            continue
        pieces.append(known[name[:size]])
        name = name[size:]
    return pieces or [0]
