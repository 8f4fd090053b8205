"""Qwen3's chat template, as pieces to be tokenised one by one.

Only the template's own pieces may become special tokens; a question that spells out `<|im_end|>` or
`</think>` stays text. Source: the chat template in Qwen/Qwen3 model files (ChatML;
`enable_thinking=False` closes an empty think block).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from roundtrip.tools import CALL_END, CALL_START, RESPONSE_END, RESPONSE_START

IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
THINK_START = "<think>"
THINK_END = "</think>"


TAGS = (CALL_START, CALL_END, RESPONSE_START, RESPONSE_END)
"""One token each where the vocabulary has them; else they are text."""
_TAGS = re.compile("(" + "|".join(re.escape(tag) for tag in TAGS) + ")")
Rounds = Sequence[tuple[str, Sequence[str]]]
"""What a model called, as it wrote it, and what came back, for one question."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Text to be tokenised on its own."""

    text: str
    special: bool
    """Exactly one special token; of `TAGS` only where there is one."""


def prompt(
    *,
    text: str,
    system: str,
    thinking: bool,
    turns: Sequence[tuple[str, str]] = (),
    rounds: Rounds = (),
) -> list[Piece]:
    """The prompt for one question, up to where the model begins to write.

    Args:
        text: the question.
        system: system prompt; empty for none.
        thinking: whether the model may think first.
        turns: earlier questions, empty for none, and their answers; what the model thought over
            them is left out, as the template does.
        rounds: tools that were called for this question.
    """
    pieces = system_turn(system) if system else []
    for asked, answered in turns:
        pieces += [*(_turn("user", asked) if asked else []), *_turn("assistant", answered)]
    pieces += _turn("user", text)
    for called, results in rounds:
        pieces += [Piece(IM_START, True), Piece("assistant\n", False), *_tagged(called)]
        pieces += [Piece(IM_END, True), Piece("\n", False), Piece(IM_START, True)]
        pieces.append(Piece("user\n", False))
        for place, result in enumerate(results):
            pieces += [Piece("\n", False)] if place else []
            pieces += [Piece(RESPONSE_START, True), Piece(f"\n{result}\n", False)]
            pieces.append(Piece(RESPONSE_END, True))
        pieces += [Piece(IM_END, True), Piece("\n", False)]
    pieces += [Piece(IM_START, True), Piece("assistant\n", False)]
    if not thinking:
        pieces += [
            Piece(THINK_START, True),
            Piece("\n\n", False),
            Piece(THINK_END, True),
            Piece("\n\n", False),
        ]
    return pieces


def system_turn(system: str, tools: str = "") -> list[Piece]:
    """The beginning of every prompt with this system prompt.

    Args:
        system: as somebody wrote it; may be empty where there are tools.
        tools: what `roundtrip.tools.section` says of them; empty for none.
    """
    if not tools:
        return _turn("system", system)
    said = f"system\n{system}\n\n" if system else "system\n"
    first, *rest = _tagged(tools)
    return [
        Piece(IM_START, True),
        Piece(f"{said}{first.text}", False),
        *rest,
        Piece(IM_END, True),
        Piece("\n", False),
    ]


def _tagged(text: str) -> list[Piece]:
    """Text whose tags are tokens: that of the template, or of a model."""
    return [Piece(part, part in TAGS) for part in _TAGS.split(text) if part]


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
