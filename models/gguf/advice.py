"""What would fit where a model does not: smaller context, quantized KV cache, fewer bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from models.gguf.fit import fit
from models.gguf.inspect import ModelInfo
from roundtrip.words import count

BITS_PER_WEIGHT = {
    "Q8_0": 8.5,
    "Q6_K": 6.56,
    "Q5_K_M": 5.69,
    "Q4_K_M": 4.87,
    "Q4_0": 4.55,
    "Q3_K_M": 3.95,
    "Q2_K": 3.0,
}
"""Typical of whole files that llama.cpp's quantizer makes; the K mixes keep some tensors larger."""
SMALLEST_CONTEXT = 256


@dataclass(frozen=True, slots=True)
class Option:
    """One way to make it fit."""

    what: str
    total_bytes: int


def options(info: ModelInfo, context: int, kv_type: str, limit_bytes: int) -> Iterator[Option]:
    """Ways to bring the memory needed under a limit, the mildest first; none if nothing helps."""
    if kv_type == "f16":
        needed = fit(info, context, kv_type="q8_0").total_bytes
        if needed <= limit_bytes:
            yield Option("KV cache in Q8_0 (--kv q8_0)", needed)
    largest = largest_context(info, kv_type, limit_bytes, most=context)
    if largest is not None:
        needed = fit(info, largest, kv_type=kv_type).total_bytes
        yield Option(f"context of {count(largest, 'token')} (--context {largest})", needed)
    for name, bits in BITS_PER_WEIGHT.items():
        weights_bytes = round(info.parameters * bits / 8)
        if weights_bytes >= info.weights_bytes:
            continue
        smaller = replace(fit(info, context, kv_type=kv_type), weights_bytes=weights_bytes)
        if smaller.total_bytes <= limit_bytes:
            yield Option(f"quantization {name}, about", smaller.total_bytes)
            return


def largest_context(info: ModelInfo, kv_type: str, limit_bytes: int, *, most: int) -> int | None:
    """The largest context, in steps of 256 tokens, that keeps within a limit; None if none does."""
    low, high = 0, most // SMALLEST_CONTEXT
    while low < high:
        middle = (low + high + 1) // 2
        tokens = middle * SMALLEST_CONTEXT
        if fit(info, tokens, kv_type=kv_type).total_bytes <= limit_bytes:
            low = middle
        else:
            high = middle - 1
    return low * SMALLEST_CONTEXT or None
