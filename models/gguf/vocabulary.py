"""A synthetic byte-level BPE vocabulary: llama.cpp accepts it and it encodes any text.

256 byte tokens, then seeded merges of two and more bytes, then Qwen3's added tokens, at Qwen3's own
ids where the size is Qwen3's, then unused `[PADn]`. It was not learned from text, so it must never
be used to say how many tokens a real Qwen3 needs for a text. Sources: GPT-2's `bytes_to_unicode`
for the byte alphabet, Qwen3's `tokenizer_config.json` for the added tokens.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from models.gguf.types import TokenType
from models.gguf.write import Entry, boolean, integers, text, texts, uint32
from roundtrip.rng import substream

QWEN3_SIZE = 151_936
QWEN3_FIRST_ADDED = 151_643
MAX_TOKEN_BYTES = 12
ADDED_TOKENS: tuple[tuple[str, TokenType], ...] = (
    ("<|endoftext|>", TokenType.CONTROL),
    ("<|im_start|>", TokenType.CONTROL),
    ("<|im_end|>", TokenType.CONTROL),
    ("<|object_ref_start|>", TokenType.CONTROL),
    ("<|object_ref_end|>", TokenType.CONTROL),
    ("<|box_start|>", TokenType.CONTROL),
    ("<|box_end|>", TokenType.CONTROL),
    ("<|quad_start|>", TokenType.CONTROL),
    ("<|quad_end|>", TokenType.CONTROL),
    ("<|vision_start|>", TokenType.CONTROL),
    ("<|vision_end|>", TokenType.CONTROL),
    ("<|vision_pad|>", TokenType.CONTROL),
    ("<|image_pad|>", TokenType.CONTROL),
    ("<|video_pad|>", TokenType.CONTROL),
    ("<tool_call>", TokenType.USER_DEFINED),
    ("</tool_call>", TokenType.USER_DEFINED),
    ("<|fim_prefix|>", TokenType.USER_DEFINED),
    ("<|fim_middle|>", TokenType.USER_DEFINED),
    ("<|fim_suffix|>", TokenType.USER_DEFINED),
    ("<|fim_pad|>", TokenType.USER_DEFINED),
    ("<|repo_name|>", TokenType.USER_DEFINED),
    ("<|file_sep|>", TokenType.USER_DEFINED),
    ("<tool_response>", TokenType.USER_DEFINED),
    ("</tool_response>", TokenType.USER_DEFINED),
    ("<think>", TokenType.USER_DEFINED),
    ("</think>", TokenType.USER_DEFINED),
)
"""Qwen3's, in the order of its ids 151643 to 151668."""

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- if enable_thinking is defined and not enable_thinking -%}
{{- '<think>\\n\\n</think>\\n\\n' -}}
{%- endif -%}
{%- endif -%}
"""
"""ChatML for system, user and assistant; `enable_thinking=False` closes an empty think block."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens in id order, and the merges that make them."""

    tokens: tuple[str, ...]
    types: tuple[TokenType, ...]
    merges: tuple[str, ...]
    """"left right", best first."""

    def metadata(self) -> dict[str, Entry]:
        """The `tokenizer.*` keys of a GGUF header."""
        ids = {name: self.tokens.index(name) for name in ("<|endoftext|>", "<|im_end|>")}
        return {
            "tokenizer.ggml.model": text("gpt2"),
            "tokenizer.ggml.pre": text("qwen2"),
            "tokenizer.ggml.tokens": texts(self.tokens),
            "tokenizer.ggml.token_type": integers(self.types),
            "tokenizer.ggml.merges": texts(self.merges),
            "tokenizer.ggml.eos_token_id": uint32(ids["<|im_end|>"]),
            "tokenizer.ggml.padding_token_id": uint32(ids["<|endoftext|>"]),
            "tokenizer.ggml.bos_token_id": uint32(ids["<|endoftext|>"]),
            "tokenizer.ggml.add_bos_token": boolean(False),
            "tokenizer.chat_template": text(CHAT_TEMPLATE),
        }


def vocabulary(size: int, seed: int) -> Vocabulary:
    """A vocabulary of exactly `size` tokens, the same for the same seed."""
    learned = QWEN3_FIRST_ADDED if size == QWEN3_SIZE else size - len(ADDED_TOKENS)
    alphabet = byte_alphabet()
    assert learned >= len(alphabet), f"a vocabulary needs {len(alphabet) + len(ADDED_TOKENS)}"
    tokens, merges = list(alphabet), list[str]()
    rng = substream(seed, "vocabulary")
    _merge_pairs(tokens, merges, alphabet, learned, rng)
    _merge_further(tokens, merges, learned, rng)
    types = [TokenType.NORMAL] * len(tokens)
    for name, token_type in ADDED_TOKENS:
        tokens.append(name)
        types.append(token_type)
    for index in range(len(tokens), size):
        tokens.append(f"[PAD{index}]")
        types.append(TokenType.UNUSED)
    return Vocabulary(tuple(tokens), tuple(types), tuple(merges))


def byte_alphabet() -> list[str]:
    """The character that stands for each byte value, 0 to 255."""
    shown = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    characters = {value: chr(value) for value in shown}
    for value in range(256):
        if value not in characters:
            characters[value] = chr(256 + len(characters) - len(shown))
    return [characters[value] for value in range(256)]


def _merge_pairs(
    tokens: list[str], merges: list[str], alphabet: list[str], size: int, rng: random.Random
) -> None:
    """All pairs of bytes; where there is no room for them, pairs of letters in half the room."""
    pairs = [(left, right) for left in alphabet for right in alphabet]
    room = size - len(tokens)
    if room < len(pairs):
        letters = [alphabet[value] for value in b" etaoinshrdlucmfwypvbgkqjxz"]
        pairs = [(left, right) for left in letters for right in letters[1:]]
        pairs = pairs[: room // 2]
    rng.shuffle(pairs)
    for left, right in pairs:
        tokens.append(left + right)
        merges.append(f"{left} {right}")


def _merge_further(tokens: list[str], merges: list[str], size: int, rng: random.Random) -> None:
    """Merges of tokens that were merged before, until there are `size` tokens."""
    known = set(tokens)
    while len(tokens) < size:
        left = tokens[rng.randrange(256, len(tokens))]
        right = tokens[rng.randrange(256, len(tokens))]
        token = left + right
        if len(token) > MAX_TOKEN_BYTES or token in known:
            continue
        known.add(token)
        tokens.append(token)
        merges.append(f"{left} {right}")
