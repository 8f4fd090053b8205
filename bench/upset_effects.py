"""What one flipped bit of the weights does: by kind of tensor, field of the block, and bit.

    python -m bench.upset_effects [--flips N]

Writes `docs/radiation.json` and `docs/pictures/upsets.png`. The builtin is judged by held-out
triage questions: an answer counts as wrong where any token of the right one would not be the
likeliest. The model of qwen3-0.6b's shape has random weights and no right answers: there, the share
of positions whose likeliest token changes is counted.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot

from models.gguf.header import TensorInfo, read_header
from models.resolve import resolve
from models.triage.questions import held_out
from node.engine.chat import IM_END, Piece, prompt
from node.engine.llama import Engine, EngineSettings
from node.engine.weights import Weights
from roundtrip.rng import substream

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "radiation.json"
PICTURE = ROOT / "docs" / "pictures" / "upsets.png"
QUESTIONS = 30
TOKENS = 384
"""Of one text at most."""
POSITIONS = 64
"""Judged of the model without answers."""
BLOCKS = {
    "Q8_0": (34, {"scale": (0, 2, 16), "weight": (2, 32, 8)}),
    "Q4_K": (
        144,
        {
            "scale": (0, 2, 16),
            "least": (2, 2, 16),
            "scales of 32": (4, 12, 8),
            "weight": (16, 128, 4),
        },
    ),
    "Q6_K": (
        210,
        {
            "weight, low": (0, 128, 4),
            "weight, high": (128, 64, 2),
            "scales of 16": (192, 16, 8),
            "scale": (208, 2, 16),
        },
    ),
    "F32": (4, {"weight": (0, 4, 32)}),
}
"""Of a type: bytes of a block, and in it each field's place, bytes, and bits of one number. Source:
ggml's `ggml-common.h`."""


@dataclass(slots=True)
class Cell:
    """Flips of one kind."""

    bits: int
    """That there are."""
    spoilt: list[float] = field(default_factory=list)
    """Of each flip that was tried: share of answers, or positions, that it changed."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A text and the places in it whose next token is judged."""

    tokens: list[int]
    places: range


def kind_of(tensor: TensorInfo) -> str:
    """What a tensor is, without its layer."""
    name = tensor.name.removesuffix(".weight").split(".")[-1]
    return "norms" if name.endswith("norm") else name


def places(tensor: TensorInfo) -> Iterator[tuple[str, int, int, int, int]]:
    """Each field's name, place in the block, bytes, bits of a number, and bytes of a block."""
    size, fields = BLOCKS[tensor.type.name]
    for name, (start, count, bits) in fields.items():
        yield name, start, count, bits, size


class Study:
    """Flips bits of one model, one at a time, and judges what comes of each."""

    def __init__(self, path: Path, texts: Sequence[Judged]) -> None:
        settings = EngineSettings(
            TOKENS, 2, sequences=8, flash=False, private=True, use_extra_bufts=False
        )
        self._engine = Engine(str(path), settings)
        self._tensors = read_header(path).tensors
        self.weights = Weights(self._engine, path)
        self._starts = np.cumsum([0, *self.weights.sizes])
        self._texts = texts
        self._right = self._likeliest()

    def _likeliest(self) -> list[tuple[int, ...]]:
        """Of each text: the likeliest tokens at its places."""
        engine, found = self._engine, []
        for sequence, text in enumerate(self._texts):
            sequence %= engine.settings.sequences
            engine.forget(sequence)
            engine.put(0, text.tokens, 0, sequence, wanted=True)
            for place in text.places:
                engine._wanted[place] = 1
            engine.decode(len(text.tokens))
            rows = [engine.logits(place) for place in text.places]
            found.append(tuple(int(row.argmax()) if np.isfinite(row).all() else -1 for row in rows))
        return found

    def baseline(self) -> float:
        """Share of texts whose every judged token is the right one."""
        wrong = [
            said != tuple(text.tokens[place + 1] for place in text.places)
            for said, text in zip(self._right, self._texts, strict=True)
        ]
        return 1 - sum(wrong) / len(wrong)

    def spoilt(self, by_text: bool) -> float:
        """Share of texts, or of places, that come out otherwise than before."""
        pairs = zip(self._likeliest(), self._right, strict=True)
        if by_text:
            return float(np.mean([now != before for now, before in pairs]))
        return float(np.mean([np.mean(np.not_equal(now, before)) for now, before in pairs]))

    def cells(self, flips: int, rng: random.Random, by_text: bool) -> dict[str, Cell]:
        """So many flips of each kind of bit."""
        kinds: dict[tuple[str, str, str], list[int]] = {}
        for index, tensor in enumerate(self._tensors):
            for name, *_ in places(tensor):
                kinds.setdefault((kind_of(tensor), tensor.type.name, name), []).append(index)
        cells: dict[str, Cell] = {}
        for (kind, type_name, name), among in sorted(kinds.items()):
            size, fields = BLOCKS[type_name]
            start, count, bits = fields[name]
            numbers = sum(self.weights.sizes[index] // size for index in among) * count * 8 // bits
            for bit in range(bits):
                cell = cells[f"{kind}/{type_name}/{name}/{bit}"] = Cell(numbers)
                for _ in range(flips):
                    index = rng.choice(among)
                    block = rng.randrange(self.weights.sizes[index] // size)
                    number = rng.randrange(count * 8 // bits)
                    at = int(self._starts[index] + block * size + start) * 8 + number * bits + bit
                    self.weights.flip(at)
                    cell.spoilt.append(self.spoilt(by_text))
                    self.weights.flip(at)
                print(f"{kind} {type_name} {name} {bit}: {mean(cell):.3f}", flush=True)
        return cells


def mean(cell: Cell) -> float:
    """Share that a flip of this kind spoils."""
    return sum(cell.spoilt) / len(cell.spoilt)


def triage_texts(path: Path) -> list[Judged]:
    """Held-out questions with their right answers, as the builtin reads them."""
    engine = Engine(str(path), EngineSettings(64, 1, flash=False, use_extra_bufts=False))
    found: list[Judged] = []
    for question in held_out(10 * QUESTIONS):
        pieces = prompt(text=question.prompt, system=question.system, thinking=False)
        asked = engine.tokens_of(pieces)
        tokens = [
            *asked,
            *engine.tokens_of([Piece(question.expected, False)]),
            engine.special[IM_END],
        ]
        if len(tokens) <= TOKENS and len(found) < QUESTIONS:
            found.append(Judged(tokens, range(len(asked) - 1, len(tokens) - 1)))
    return found


def any_texts() -> list[Judged]:
    """For a model whose words mean nothing."""
    rng = substream(0, "upset texts")
    size = POSITIONS // 2
    return [Judged([rng.randrange(1000, 100_000) for _ in range(size)], range(size)) for _ in "ab"]


def uniform(study: Study, flips: int, rng: random.Random) -> list[float]:
    """What flips anywhere in the weights spoil, as they come."""
    found: list[float] = []
    for _ in range(flips):
        bit = rng.randrange(study.weights.bits)
        study.weights.flip(bit)
        found.append(study.spoilt(by_text=True))
        study.weights.flip(bit)
    return found


def drawn(table: dict[str, dict[str, list[float]]]) -> None:
    """The picture: rows are kinds of tensor and fields, columns bits."""
    figure, axes = pyplot.subplots(1, len(table), figsize=(13, 7.5), layout="constrained")
    for axis, (title, cells) in zip(axes, table.items(), strict=True):
        rows = sorted({key.rsplit("/", 1)[0] for key in cells})
        grid = np.full((len(rows), 32), np.nan)
        for key, (_, share) in cells.items():
            row, bit = key.rsplit("/", 1)
            grid[rows.index(row), int(bit)] = share
        shown = axis.imshow(grid, aspect="auto", cmap="magma_r", vmin=0, vmax=1)
        axis.set_yticks(range(len(rows)), [row.replace("/", "  ") for row in rows], fontsize=7)
        axis.set_xticks(range(0, 32, 2))
        axis.set_xlabel("bit of the number, 0 the lowest")
        axis.set_title(title, fontsize=10)
    figure.colorbar(shown, ax=axes, shrink=0.6, label="share spoilt by one flip")
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    """Try all kinds of flips on both models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=8, help="of each kind, on the builtin")
    parser.add_argument("--uniform", type=int, default=2000, help="anywhere, on the builtin")
    flips = parser.parse_args()
    builtin = resolve("builtin")
    study = Study(builtin, triage_texts(builtin))
    anywhere = uniform(study, flips.uniform, substream(1, "upsets"))
    print(
        f"anywhere: {np.mean(anywhere):.4f} of answers, {np.mean(np.array(anywhere) > 0):.4f} any"
    )
    found = {"builtin, Q8_0: answers": study.cells(flips.flips, substream(2, "upsets"), True)}
    shape = Study(resolve("synth:qwen3-0.6b:Q4_K_M"), any_texts())
    rng = substream(3, "upsets")
    found["qwen3-0.6b's shape, Q4_K_M: tokens"] = shape.cells(max(1, flips.flips // 4), rng, False)
    table = {
        title: {key: [float(cell.bits), mean(cell)] for key, cell in cells.items()}
        for title, cells in found.items()
    }
    whole = {
        "right before": study.baseline(),
        "flips anywhere": len(anywhere),
        "spoil an answer": float(np.mean(anywhere)),
        "spoil any of the answers": float(np.mean(np.array(anywhere) > 0)),
    }
    TABLE.write_text(json.dumps({"builtin": whole, "cells": table}, indent=1) + "\n")
    mpl.use("svg")
    drawn(table)


if __name__ == "__main__":
    main()
