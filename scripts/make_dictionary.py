"""Makes `roundtrip/text/dictionary.bin`: `python -m scripts.make_dictionary`.

The texts in `scripts/dictionary/` (one JSON string a line, written for this, and free as all the
rest) and questions and answers of telemetry triage, each ended by a NUL. They have nothing of
`bench/texts/`, which measures. English comes last, within reach of DEFLATE.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

from models.triage.frames import make_frame
from models.triage.questions import TYPES, question_about

SOURCES = Path(__file__).parent / "dictionary"
MADE = Path(__file__).parent.parent / "roundtrip" / "text" / "dictionary.bin"
TRIAGE = 24
"""Frames, each with one question and its answer."""


def dictionary() -> bytes:
    """The bytes of the dictionary."""
    return b"".join(text.encode() + b"\0" for text in texts())


def texts() -> list[str]:
    """The texts of the dictionary, in their order."""
    return [*triage(), *written("json"), *written("chinese"), *written("english")]


def written(name: str) -> list[str]:
    """The texts of a file."""
    lines = (SOURCES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def triage() -> Iterator[str]:
    """Questions and answers in the wordings that the builtin is trained on."""
    for index in range(TRIAGE):
        rng = random.Random(f"dictionary/{index}")
        frame = make_frame(rng, shuffled=False, missing=False)
        question, answer = question_about(rng, frame, TYPES[index % len(TYPES)], held_out=False)
        yield f"{frame.text()}\n\n{question}"
        yield answer


if __name__ == "__main__":
    MADE.write_bytes(dictionary())
