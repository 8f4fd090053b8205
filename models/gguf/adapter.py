"""LoRA adapters: GGUF files with two small matrices for each tensor of a model that they change.

Source: llama.cpp, `convert_lora_to_gguf.py` and `llama-adapter.cpp`.
"""

from __future__ import annotations

from models.gguf.architecture import QWEN3
from models.gguf.inspect import ModelInfo
from roundtrip.errors import BadModel

ADAPTER = "adapter"
_HALVES = (".lora_a", ".lora_b")


def is_adapter(info: ModelInfo) -> bool:
    """Whether a file says that it is an adapter."""
    return info.header.metadata.get("general.type") == ADAPTER


def require_adapter(info: ModelInfo, model: ModelInfo | None = None) -> None:
    """Refuse what is no LoRA adapter for a Qwen3.

    Args:
        info: of the file.
        model: that it is to change, if that is known.

    Raises:
        BadModel: it is of another kind or architecture, half of a pair is missing, or the model has
            no such tensor, or one of another size.
    """
    source, metadata = str(info.path), info.header.metadata
    if not is_adapter(info):
        found = metadata.get("general.type")
        raise BadModel(source, "general.type", repr(ADAPTER), repr(found) if found else "nothing")
    if info.architecture != QWEN3:
        raise BadModel(source, "general.architecture", repr(QWEN3), repr(info.architecture))
    kind = metadata.get("adapter.type")
    if kind != "lora":
        raise BadModel(source, "adapter.type", "'lora'", repr(kind) if kind else "nothing")
    halves = {tensor.name: tensor.dimensions for tensor in info.header.tensors}
    if not halves:
        raise BadModel(source, "", "tensors", "none")
    there = {} if model is None else {one.name: one.dimensions for one in model.header.tensors}
    for name in halves:
        base, half = name[: -len(_HALVES[0])], name[-len(_HALVES[0]) :]
        if half not in _HALVES:
            raise BadModel(source, name, f"a name that ends with {' or '.join(_HALVES)}", "another")
        narrow, wide = (halves.get(base + one, ()) for one in _HALVES)
        if len(narrow) != 2 or len(wide) != 2 or narrow[1] != wide[0]:
            raise BadModel(source, base, "a pair of matrices of one rank", "another")
        if model is not None and there.get(base) != (narrow[0], wide[1]):
            expected = f"for a tensor of {model.path.name}, of {narrow[0]}x{wide[1]}"
            found = "x".join(map(str, there.get(base, ()))) or "no such tensor"
            raise BadModel(source, base, expected, found)
