"""The Qwen3 architecture as numbers: shapes, the tensors each has, the metadata llama.cpp wants.

It must never read or write a file. Sources: the Qwen3 technical report (arXiv 2505.09388), table 1;
torchtune `models/qwen3/_model_builders.py`; llama.cpp `src/models/qwen3.cpp` for the tensor names.
"""

from __future__ import annotations

from dataclasses import dataclass

QWEN3 = "qwen3"
CHAT_TOKENS = ("<|im_start|>", "<|im_end|>", "<think>", "</think>")
"""Without these four, Qwen3's chat template cannot be spoken."""
REQUIRED_KEYS = (
    "block_count",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.layer_norm_rms_epsilon",
    "context_length",
)
"""Below `qwen3.`; without them llama.cpp does not load the file."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The dimensions of one Qwen3."""

    layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    """The output matrix is the token embedding."""
    context: int = 32768
    """Tokens it was made for."""
    rope_base: float = 1e6
    rms_epsilon: float = 1e-6


SHAPES: dict[str, Shape] = {
    "tiny": Shape(
        layers=4,
        hidden=256,
        ffn=512,
        heads=4,
        kv_heads=2,
        head_dim=64,
        vocabulary=2048,
        tied=True,
    ),
    "qwen3-0.6b": Shape(
        layers=28,
        hidden=1024,
        ffn=3072,
        heads=16,
        kv_heads=8,
        head_dim=128,
        vocabulary=151_936,
        tied=True,
    ),
    "qwen3-1.7b": Shape(
        layers=28,
        hidden=2048,
        ffn=6144,
        heads=16,
        kv_heads=8,
        head_dim=128,
        vocabulary=151_936,
        tied=True,
    ),
    "qwen3-4b": Shape(
        layers=36,
        hidden=2560,
        ffn=9728,
        heads=32,
        kv_heads=8,
        head_dim=128,
        vocabulary=151_936,
        tied=True,
    ),
}
"""What `synth` can make. Rows are multiples of 256, so that K-quants apply to every matrix."""


def tensor_dimensions(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The tensors of a model, in file order, with their dimensions (fastest first)."""
    hidden, ffn = shape.hidden, shape.ffn
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    tensors: dict[str, tuple[int, ...]] = {"token_embd.weight": (hidden, shape.vocabulary)}
    for layer in range(shape.layers):
        block = {
            "attn_norm": (hidden,),
            "attn_q": (hidden, query),
            "attn_k": (hidden, key),
            "attn_v": (hidden, key),
            "attn_q_norm": (shape.head_dim,),
            "attn_k_norm": (shape.head_dim,),
            "attn_output": (query, hidden),
            "ffn_norm": (hidden,),
            "ffn_gate": (hidden, ffn),
            "ffn_up": (hidden, ffn),
            "ffn_down": (ffn, hidden),
        }
        tensors |= {f"blk.{layer}.{name}.weight": size for name, size in block.items()}
    tensors["output_norm.weight"] = (hidden,)
    if not shape.tied:
        tensors["output.weight"] = (hidden, shape.vocabulary)
    return tensors
