"""The synthetic vocabulary: sizes, ids, uniqueness, and that it encodes any text."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest

from models.gguf.types import TokenType
from models.gguf.vocabulary import ADDED_TOKENS, CHAT_TEMPLATE, byte_alphabet, vocabulary

TEXTS = [
    "",
    "battery 27.9 V, nominal",
    "  leading, trailing and    inner spaces \n\n\ttab\r\n",
    "Grüße aus dem Orbit — ¿cómo está? Zażółć gęślą jaźń",
    "卫星的电池电压是多少?",
    "衛星の温度は",
    "спутник на связи",
    "القمر الصناعي بخير",
    "उपग्रह ठीक है",
    "🛰️ 👩🏽‍🚀 🇪🇺",
    "\x00\x01\x7f",
    "<|im_end|> spelled out",
]


def test_qwen3_ids() -> None:
    words = vocabulary(151_936, 0)
    assert len(words.tokens) == len(words.types) == 151_936
    assert len(set(words.tokens)) == 151_936
    for name, number in {
        "<|endoftext|>": 151_643,
        "<|im_start|>": 151_644,
        "<|im_end|>": 151_645,
        "<think>": 151_667,
        "</think>": 151_668,
        "[PAD151669]": 151_669,
        "[PAD151935]": 151_935,
    }.items():
        assert words.tokens[number] == name
    assert words.types[151_643] is TokenType.CONTROL
    assert words.types[151_668] is TokenType.USER_DEFINED
    assert words.types[151_935] is TokenType.UNUSED
    assert len(words.merges) == 151_643 - 256
    assert {left + right for left in byte_alphabet() for right in byte_alphabet()} <= set(
        words.tokens
    )


def test_each_merge_makes_its_token() -> None:
    words = vocabulary(2048, 3)
    made = [merge.replace(" ", "") for merge in words.merges]
    assert list(words.tokens[256 : 256 + len(made)]) == made
    known = set(words.tokens[:256])
    for merge, token in zip(words.merges, made, strict=True):
        assert set(merge.split(" ")) <= known
        known.add(token)
    assert words.tokens[-len(ADDED_TOKENS)] == "<|endoftext|>"


def test_the_seed_decides() -> None:
    assert vocabulary(2048, 1) == vocabulary(2048, 1)
    assert vocabulary(2048, 1) != vocabulary(2048, 2)


def test_no_room() -> None:
    with pytest.raises(AssertionError):
        vocabulary(280, 0)


def test_byte_alphabet() -> None:
    alphabet = byte_alphabet()
    assert len(set(alphabet)) == 256
    assert alphabet[ord("A")] == "A"
    assert alphabet[ord(" ")] == "Ġ"
    assert alphabet[ord("\n")] == "Ċ"
    assert not any(character.isspace() for character in alphabet)


@pytest.mark.parametrize("words", TEXTS)
def test_any_text_comes_back(loaded_tiny: Any, words: str) -> None:
    tokens = loaded_tiny.encode(words)
    assert loaded_tiny.decode(tokens) == words.encode()


def test_special_tokens_are_single(loaded_tiny: Any) -> None:
    for name, _ in ADDED_TOKENS:
        assert len(loaded_tiny.encode(name, special=True)) == 1


def test_merges_are_used(loaded_tiny: Any) -> None:
    words = "the satellite is in the sunlight and the battery is charging"
    assert len(loaded_tiny.encode(words)) < len(words) * 0.8


def test_chat_template() -> None:
    template = jinja2.Environment().from_string(CHAT_TEMPLATE)
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Battery?"},
        {"role": "assistant", "content": "Fine."},
    ]
    plain = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nBattery?<|im_end|>\n"
        "<|im_start|>assistant\nFine.<|im_end|>\n"
    )
    assert template.render(messages=messages) == plain
    asked = template.render(messages=messages, add_generation_prompt=True)
    assert asked == plain + "<|im_start|>assistant\n"
    closed = template.render(messages=messages, add_generation_prompt=True, enable_thinking=False)
    assert closed == plain + "<|im_start|>assistant\n<think>\n\n</think>\n\n"
