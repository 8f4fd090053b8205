"""How much memory a model needs, before it is loaded: weights + KV cache + compute + process.

It must never load anything. The constants come from the resident set of llama-cpp-python 0.3.36 on
x86-64; `tests/unit/models/test_fit.py` holds the estimate against what was measured.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

from models.gguf.inspect import ModelInfo
from roundtrip.errors import BadModel

KV_BYTES_PER_32 = {"f16": 64, "q8_0": 34}
"""Bytes of 32 cached values, by cache type."""
CONTEXT_STEP = 256
"""llama.cpp rounds a context up to this many tokens."""
PROCESS_BYTES = 46_000_000
"""A Python with llama.cpp's libraries and numpy: measured 42.0 MB before any model, and some
4 MB of code and tables that come in with the first tokens."""
VOCABULARY_BYTES_PER_TOKEN = 320
"""llama.cpp's tables of tokens and merges: measured 48.2 MB for 151,936 tokens."""
COMPUTE_BASE_BYTES = 1_000_000
REPACKED_TYPES = {
    "x86_64": frozenset({"Q4_0", "Q4_K", "Q2_K"}),
    "aarch64": frozenset({"Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "Q2_K"}),
}
"""Matrices copied into another layout at loading: measured on x86-64 with AVX-512; on Arm
those that ggml's `repack.cpp` has a layout for, whichever the processor really takes."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The memory a model needs in one context."""

    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    """Activations, attention mask and logits: what is touched, not what is reserved."""
    process_bytes: int
    """Interpreter, libraries and vocabulary tables."""
    reclaimable_bytes: int
    """Mapped pages of the file whose weights were copied into another layout: resident until the
    kernel wants them back, so not in the total."""

    @property
    def total_bytes(self) -> int:
        """What cannot be done without."""
        return self.weights_bytes + self.kv_bytes + self.compute_bytes + self.process_bytes

    @property
    def peak_resident_bytes(self) -> int:
        """What a process viewer shows where memory is not short."""
        return self.total_bytes + self.reclaimable_bytes


def fit(
    info: ModelInfo,
    context: int,
    *,
    kv_type: str = "f16",
    batch: int = 512,
    machine: str | None = None,
) -> Fit:
    """The memory needed to run a model.

    Args:
        info: the model.
        context: tokens of context, over all sequences.
        kv_type: a key of `KV_BYTES_PER_32`.
        batch: tokens per physical batch (`n_ubatch`).
        machine: processor family as `platform.machine()` has it; this machine's if None.

    Raises:
        BadModel: the context is not positive, or there is no such cache type.
    """
    if context < 1:
        raise BadModel(str(info.path), "context", "1 token or more", str(context))
    if kv_type not in KV_BYTES_PER_32:
        raise BadModel(
            str(info.path), "kv_type", "one of " + ", ".join(KV_BYTES_PER_32), repr(kv_type)
        )
    tokens = -(-context // CONTEXT_STEP) * CONTEXT_STEP
    return Fit(
        weights_bytes=info.weights_bytes,
        kv_bytes=tokens * info.kv_bytes_per_token * KV_BYTES_PER_32[kv_type] // 64,
        compute_bytes=_compute_bytes(info, tokens, min(batch, tokens)),
        process_bytes=PROCESS_BYTES + VOCABULARY_BYTES_PER_TOKEN * info.vocabulary,
        reclaimable_bytes=_repacked_bytes(info, machine or platform.machine()),
    )


def _compute_bytes(info: ModelInfo, context: int, batch: int) -> int:
    """What one batch touches: f32 activations alive in one layer, f16 mask, two rows of logits.

    llama.cpp reserves a row of logits for each token of the batch (297 MiB at 512 x 151,936), but
    only the rows asked for are ever touched: one, when only the last token is sampled.
    """
    query = info.heads * info.head_dim
    activations = 4 * batch * (2 * info.ffn + 4 * info.hidden + 2 * query)
    mask = 2 * batch * context
    logits = 2 * 4 * info.vocabulary
    return activations + mask + logits + COMPUTE_BASE_BYTES


def _repacked_bytes(info: ModelInfo, machine: str) -> int:
    """All matrices of those types but the embedding, whose rows are looked up one by one."""
    types = REPACKED_TYPES.get(machine, frozenset[str]())
    return sum(
        tensor.size_bytes
        for tensor in info.header.tensors
        if tensor.type.name in types and tensor.name != "token_embd.weight"
    )
