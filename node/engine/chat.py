"""Qwen3's chat template, as pieces to be tokenised one by one.

Only the template's own pieces may become special tokens; a question that spells out `<|im_end|>` or
`</think>` stays text. Source: the chat template in Qwen/Qwen3 model files (ChatML;
`enable_thinking=False` closes an empty think block).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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


def prompt(
    *, text: str, system: str, thinking: bool, turns: Sequence[tuple[str, str]] = ()
) -> list[Piece]:
    """The prompt for one question, up to where the model begins to write.

    Args:
        text: the question.
        system: system prompt; empty for none.
        thinking: whether the model may think first.
        turns: earlier questions, empty for none, and their answers; what the model thought over
            them is left out, as the template does.
    """
    pieces = system_turn(system) if system else []
    for asked, answered in turns:
        pieces += [*(_turn("user", asked) if asked else []), *_turn("assistant", answered)]
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


_BOUNDARY = re.compile(r"(?<=[^\W\d_])(?=[\W\d_])")
"""After a letter, where none follows: Qwen's pre-tokenizer always cuts there, so nothing that
belongs together is torn."""


def kept_apart(text: str, names: Sequence[str]) -> Iterator[str]:
    """A text in parts, none of which holds any of `names` whole.

    Args:
        text: as somebody wrote it.
        names: of tokens that are not to be found in it. One of a single character cannot be cut.
    """
    cuts: set[int] = set()
    for name in names:
        found = text.find(name)
        if found >= 0 and len(name) > 1:
            inside = _BOUNDARY.search(name, 1, len(name))
            offset = 1 if inside is None else inside.start()
            while found >= 0:
                cuts.add(found + offset)
                found = text.find(name, found + 1)
    begin = 0
    for cut in sorted(cuts):
        yield text[begin:cut]
        begin = cut
    yield text[begin:]
