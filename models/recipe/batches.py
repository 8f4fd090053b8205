"""Training examples: a frame, and several questions about it as branches of one sequence.

Every branch sees the frame and itself, not the other branches, and its positions go on where the
frame ends: to the network each is a conversation of its own, but the frame is computed only once.
"""

from __future__ import annotations

import random

import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.triage import ABSENT, OFFTOPIC, REFUSAL, SYSTEM_PROMPT, TYPES, question_about
from models.triage_frames import CHANNELS, Frame, make_frame
from models.triage_offtopic import offtopic

LENGTH = 768
"""Tokens of a row; branches that do not fit are left out."""
BRANCHES = 18
ANSWER_TOKENS = 4096
"""Answer tokens of a batch, padded, so that the compiled shapes never change."""
IGNORED = -100
FRAMES_PER_BATCH = 16
WITHOUT_SYSTEM = 0.3
WITHOUT_FRAME = 0.06

WEIGHTS = {
    "status": 1.0, "list": 1.3, "value": 0.8, "check": 1.2, "action": 1.0, "actions": 1.5,
    "count": 1.3, "compare": 1.4, "above": 1.2, "below": 1.2, "summary": 1.3, "light": 0.3,
    ABSENT: 1.2, OFFTOPIC: 1.2,
}  # fmt: skip
"""How often each type is trained, relative to the others."""


class Batches:
    """Makes batches from (seed, step) alone."""

    def __init__(self, tokenizer: Tokenizer, seed: int) -> None:
        self._tokenizer = tokenizer
        self._seed = seed
        ids = {name: tokenizer.token_to_id(name) for name in ("<|im_start|>", "<|im_end|>")}
        start, self._end = ids["<|im_start|>"], ids["<|im_end|>"]
        think, unthink = tokenizer.token_to_id("<think>"), tokenizer.token_to_id("</think>")
        self._system = [start, *self._ids(f"system\n{SYSTEM_PROMPT}"), self._end, *self._ids("\n")]
        self._start = start
        self._reply = [self._end, *self._ids("\n"), start, *self._ids("assistant\n"), think]
        self._reply += [*self._ids("\n\n"), unthink, *self._ids("\n\n")]

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """tokens, positions (batch, length); mask (batch, 1, length, length); wanted, targets
        (n,)."""
        rng = random.Random(self._seed * 1_000_003 + step)
        rows = [self._row(rng) for _ in range(FRAMES_PER_BATCH)]
        length = LENGTH
        shape = (len(rows), length)
        tokens, positions = (
            torch.zeros(shape, dtype=torch.long),
            torch.zeros(shape, dtype=torch.long),
        )
        branch = torch.full(shape, -1)
        wanted, targets = [], []
        for index, (ids, places, branches, answers) in enumerate(rows):
            tokens[index, : len(ids)] = torch.tensor(ids)
            positions[index, : len(ids)] = torch.tensor(places)
            branch[index, : len(ids)] = torch.tensor(branches)
            wanted += [index * length + at for at, _ in answers]
            targets += [token for _, token in answers]
        same = (branch[:, :, None] == branch[:, None, :]) | (branch[:, None, :] == 0)
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        seen = (same & causal) | torch.eye(length, dtype=torch.bool)
        mask = torch.zeros(seen.shape).masked_fill(~seen, float("-inf"))[:, None]
        wanted, targets = wanted[:ANSWER_TOKENS], targets[:ANSWER_TOKENS]
        spare = ANSWER_TOKENS - len(wanted)
        wanted, targets = [*wanted, *[0] * spare], [*targets, *[IGNORED] * spare]
        return tokens, positions, mask, torch.tensor(wanted), torch.tensor(targets)

    def _row(
        self, rng: random.Random
    ) -> tuple[list[int], list[int], list[int], list[tuple[int, int]]]:
        framed = rng.random() >= WITHOUT_FRAME
        frame = make_frame(rng, shuffled=rng.random() < 0.7, missing=rng.random() < 0.7)
        system = [] if rng.random() < WITHOUT_SYSTEM else self._system
        shown = f"user\n{frame.text()}\n\n" if framed else "user\n"
        ids = [*system, self._start, *self._ids(shown)]
        places, branches = list(range(len(ids))), [0] * len(ids)
        stem = len(ids)
        answers: list[tuple[int, int]] = []
        for number in range(1, BRANCHES + 1):
            if framed:
                text, answer = self._question(rng, frame)
            else:
                text, answer = offtopic(rng, held_out=False), REFUSAL
            asked = [*self._ids(text), *self._reply]
            said = [*self._ids(answer), self._end]
            whole = [*asked, *said[:-1]]
            if len(ids) + len(whole) > LENGTH:
                break
            at = len(ids) + len(asked) - 1
            answers += [(at + offset, token) for offset, token in enumerate(said)]
            ids += whole
            places += range(stem, stem + len(whole))
            branches += [number] * len(whole)
        return ids, places, branches, answers

    def _question(self, rng: random.Random, frame: Frame) -> tuple[str, str]:
        kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if kind == ABSENT and len(frame.values) == len(CHANNELS):
            kind = rng.choice(TYPES)
        return question_about(rng, frame, kind, held_out=False)
