"""Qwen3's chat template for one turn, as pieces to be tokenised one by one.

Only the template's own pieces may become special tokens; a question that spells out `<|im_end|>`
stays text. Source: the chat template in Qwen/Qwen3 model files (ChatML; `enable_thinking=False`
closes an empty think block).
"""

from __future__ import annotations

from dataclasses import dataclass

IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
THINK_START = "<think>"
THINK_END = "</think>"


@dataclass(frozen=True, slots=True)
class Piece:
    """Text to be tokenised on its own."""

    text: str
    special: bool
    """Exactly one special token."""


def prompt(*, text: str, system: str, thinking: bool) -> list[Piece]:
    """The prompt for one question, up to where the model begins to write.

    Args:
        text: the question.
        system: system prompt; empty for none.
        thinking: whether the model may think first.
    """
    pieces = system_turn(system) if system else []
    pieces += _turn("user", text)
    pieces += [Piece(IM_START, True), Piece("assistant\n", False)]
    if not thinking:
        pieces += [
            Piece(THINK_START, True),
            Piece("\n\n", False),
            Piece(THINK_END, True),
            Piece("\n\n", False),
        ]
    return pieces


def system_turn(system: str) -> list[Piece]:
    """The beginning of every prompt with this system prompt."""
    return _turn("system", system)


def _turn(role: str, text: str) -> list[Piece]:
    return [
        Piece(IM_START, True),
        Piece(f"{role}\n{text}", False),
        Piece(IM_END, True),
        Piece("\n", False),
    ]
