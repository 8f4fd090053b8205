"""Engine against raw llama.cpp calls, alternating in one process on one context.

The reference is what llama-bench does: `llama_decode` of fixed tokens, without sampling. The engine
samples greedily, keeps its tokens and looks for the end.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import psutil
from llama_cpp import llama_cpp as llama

from bench.row import Row
from models.resolve import resolve
from node.engine import PREFILL_BATCH, Engine
from roundtrip.message import GREEDY

MODEL = "synth:qwen3-0.6b:Q4_K_M"
PROMPT_TOKENS = 256
NEW_TOKENS = 48
ROUNDS = 7


def rows() -> list[Row]:
    """Decode and prefill as ratios to the raw calls, pair by pair."""
    threads = psutil.cpu_count(logical=False) or 1
    engine = Engine(str(resolve(MODEL)), context=1024, threads=threads)
    prompt = [1000 + index for index in range(PROMPT_TOKENS)]

    def raw_prefill() -> None:
        llama.llama_memory_clear(engine._memory, False)
        tokens = (llama.llama_token * PROMPT_TOKENS)(*prompt)
        assert PROMPT_TOKENS <= PREFILL_BATCH
        assert (
            llama.llama_decode(engine._context, llama.llama_batch_get_one(tokens, len(prompt))) == 0
        )

    def raw_decode() -> None:
        token = (llama.llama_token * 1)(1234)
        for _ in range(NEW_TOKENS - 1):
            batch = llama.llama_batch_get_one(token, 1)
            assert llama.llama_decode(engine._context, batch) == 0
        llama.llama_synchronize(engine._context)

    def own_decode() -> None:
        tokens, ended = engine.decode(PROMPT_TOKENS, NEW_TOKENS, GREEDY, lambda: None)
        assert len(tokens) == NEW_TOKENS, f"the model ended after {len(tokens)}, {ended=}"

    own_prefill_s, raw_prefill_s, own_decode_s, raw_decode_s = [], [], [], []
    for _ in range(ROUNDS):
        own_prefill_s.append(_seconds(lambda: engine.prefill(prompt)))
        own_decode_s.append(_seconds(own_decode))
        raw_prefill_s.append(_seconds(raw_prefill))
        raw_decode_s.append(_seconds(raw_decode))
    steps = NEW_TOKENS - 1
    decode = _ratio(raw_decode_s, own_decode_s)
    prefill = _ratio(raw_prefill_s, own_prefill_s)
    return [
        Row(
            "decode, qwen3-0.6b Q4_K_M: engine / raw calls",
            decode,
            "ratio",
            0.97,
            at_least=True,
            note=f"{steps / statistics.median(own_decode_s):.1f} tok/s, {threads} threads",
        ),
        Row(
            "prefill, qwen3-0.6b Q4_K_M: engine / raw calls",
            prefill,
            "ratio",
            0.97,
            at_least=True,
            note=f"{PROMPT_TOKENS / statistics.median(own_prefill_s):.0f} tok/s",
        ),
    ]


def _seconds(work: Callable[[], None]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _ratio(reference: list[float], own: list[float]) -> float:
    """Median of the pairwise ratios, the first pair left out as warm-up."""
    pairs = list(zip(reference, own, strict=True))[1:]
    return statistics.median(r / o for r, o in pairs)
