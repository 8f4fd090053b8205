"""The builtin's tokenizer: byte-level BPE of the Qwen kind, single digits, Qwen's special
tokens."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from models.triage.frames import make_frame
from models.triage.questions import (
    HELD_OUT_SEED,
    OFFTOPIC,
    SYSTEM_PROMPT,
    TYPES,
    question_about,
)
from models.triage.talks import KINDS, talk
from roundtrip.tools import (
    BUILTIN,
    CALL_END,
    CALL_START,
    RESPONSE_END,
    RESPONSE_START,
    section,
)

VOCABULARY = 1536
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
WRITTEN = (CALL_START, CALL_END, RESPONSE_START, RESPONSE_END)
"""Shown in what the model writes, as in Qwen3's files."""
SPECIAL = (*CONTROL, *WRITTEN)
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2 and Qwen3 cut text before BPE, as llama.cpp's `qwen2` does (single digits)."""
CORPUS_FRAMES = 4000


def train_tokenizer() -> Tokenizer:
    """The tokenizer, from generated text; the same every time."""
    tokenizer = _untrained(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def tokenizer_with(ids: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """One that was trained before, from its tokens but the special ones, which come last."""
    tokenizer = _untrained(models.BPE(ids, merges))
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _untrained(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _corpus() -> Iterator[str]:
    yield f"system\n{SYSTEM_PROMPT}"
    yield "user\n"
    yield "assistant\n"
    for seed in range(CORPUS_FRAMES):
        rng = random.Random(HELD_OUT_SEED - 1 - seed)
        frame = make_frame(rng, shuffled=True, missing=True)
        yield frame.text()
        for kind in (*TYPES, OFFTOPIC, OFFTOPIC):
            text, answer = question_about(rng, frame, kind, held_out=False)
            yield text
            yield answer
        yield section(list(BUILTIN.values()))
        for kind in KINDS:
            said = talk(rng, kind)
            yield said.text
            for call, response in said.rounds:
                yield call
                yield response
            yield said.expected
