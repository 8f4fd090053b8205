"""Training examples: a frame, and several questions about it as branches of one sequence.

Every branch sees the frame and itself, not the other branches, and its positions go on where the
frame ends: to the network each is a conversation of its own, but the frame is computed only once.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.recipe.pieces import ids_of
from models.triage.frames import CHANNELS, HIGH, LOW, WITHIN, Frame, make_frame
from models.triage.offtopic import offtopic
from models.triage.questions import ABSENT, OFFTOPIC, REFUSAL, SYSTEM_PROMPT, TYPES, question_about
from models.triage.talks import some_tools, system_with, talk
from roundtrip.tools import response_text

LENGTH = 768
"""Tokens of a row; branches that do not fit are left out."""
BRANCHES = 18
WATCHED = len(CHANNELS) + BRANCHES
"""Places of a row, at most, where a comparison is watched: each channel's line, each branch."""
ANSWER_TOKENS = 4096
"""Answer tokens of a batch, padded, so that the compiled shapes never change."""
IGNORED = -100
SIDES = (LOW, WITHIN, HIGH)
COMPARISONS = ("compare", "threshold")
FRAMES_PER_BATCH = 16
TALKS = 0.6
"""Share of rows with questions that tools answer, or that are about how telemetry went."""
TALK_WEIGHTS = {
    "telemetry": 2.0, "pass": 2.0, "two": 3.0, "three": 4.0, "time": 0.5, "history": 3.5,
    "refused": 1.0, "shown": 0.0,
}  # fmt: skip
WITH_TOOLS = 0.3
"""Share of the other rows in which there are tools that nobody needs."""
WITHOUT_SYSTEM = 0.3
WITHOUT_FRAME = 0.06

WEIGHTS = {
    "status": 1.2, "list": 1.3, "value": 0.8, "check": 1.0, "action": 0.8, "actions": 1.5,
    "count": 1.3, "compare": 2.6, "threshold": 2.6, "summary": 1.3, "light": 0.5,
    ABSENT: 1.2, OFFTOPIC: 1.2,
}  # fmt: skip
"""How often each type is trained, relative to the others."""


class Batch(NamedTuple):
    """One step's tensors. Indices are into the flattened (rows * LENGTH); padding targets are
    IGNORED."""

    tokens: Tensor
    """(rows, LENGTH) int64"""
    positions: Tensor
    """(rows, LENGTH) int64"""
    mask: Tensor
    """(rows, 1, LENGTH, LENGTH), 0 or -inf"""
    wanted: Tensor
    """(ANSWER_TOKENS,) int64: where an answer's next token is to be told"""
    targets: Tensor
    """(ANSWER_TOKENS,) int64"""
    watched: Tensor
    """(rows * WATCHED,) int64: where two numbers have been read and can be compared"""
    sides: Tensor
    """(rows * WATCHED,) int64: index into SIDES"""


class Row(NamedTuple):
    """One frame with its branches."""

    ids: list[int]
    places: list[int]
    branches: list[int]
    answers: list[tuple[int, int]]
    watched: list[tuple[int, int]]


def _padded(pairs: list[tuple[int, int]], length: int) -> tuple[Tensor, Tensor]:
    pairs = [*pairs[:length], *[(0, IGNORED)] * (length - len(pairs))]
    return torch.tensor([at for at, _ in pairs]), torch.tensor([value for _, value in pairs])


class Batches:
    """Makes batches from (seed, step) alone."""

    def __init__(self, tokenizer: Tokenizer, seed: int) -> None:
        self._tokenizer = tokenizer
        self._seed = seed
        ids = {name: tokenizer.token_to_id(name) for name in ("<|im_start|>", "<|im_end|>")}
        start, self._end = ids["<|im_start|>"], ids["<|im_end|>"]
        think, unthink = tokenizer.token_to_id("<think>"), tokenizer.token_to_id("</think>")
        self._system = [start, *self._ids(f"system\n{SYSTEM_PROMPT}"), self._end, *self._ids("\n")]
        self._systems: dict[tuple[str, ...], list[int]] = {}
        self._start = start
        self._reply = [self._end, *self._ids("\n"), start, *self._ids("assistant\n"), think]
        self._reply += [*self._ids("\n\n"), unthink, *self._ids("\n\n")]

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def batch(self, step: int) -> Batch:
        """The batch of one step."""
        rng = random.Random(self._seed * 1_000_003 + step)
        rows = [self._row(rng) for _ in range(FRAMES_PER_BATCH)]
        shape = (len(rows), LENGTH)
        tokens, positions = (
            torch.zeros(shape, dtype=torch.long),
            torch.zeros(shape, dtype=torch.long),
        )
        branch = torch.full(shape, -1)
        wanted: list[tuple[int, int]] = []
        watched: list[tuple[int, int]] = []
        for index, row in enumerate(rows):
            tokens[index, : len(row.ids)] = torch.tensor(row.ids)
            positions[index, : len(row.ids)] = torch.tensor(row.places)
            branch[index, : len(row.ids)] = torch.tensor(row.branches)
            wanted += [(index * LENGTH + at, token) for at, token in row.answers]
            watched += [(index * LENGTH + at, side) for at, side in row.watched]
        same = (branch[:, :, None] == branch[:, None, :]) | (branch[:, None, :] == 0)
        causal = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
        seen = (same & causal) | torch.eye(LENGTH, dtype=torch.bool)
        mask = torch.zeros(seen.shape).masked_fill(~seen, float("-inf"))[:, None]
        return Batch(
            tokens,
            positions,
            mask,
            *_padded(wanted, ANSWER_TOKENS),
            *_padded(watched, FRAMES_PER_BATCH * WATCHED),
        )

    def _stem(
        self, rng: random.Random, frame: Frame | None
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """What all branches share, and where in it each channel's line ends."""
        head = [] if rng.random() < WITHOUT_SYSTEM else self._system
        if frame is not None and rng.random() < WITH_TOOLS:
            head = self._system_with(some_tools(rng))
        head = [*head, self._start]
        if frame is None:
            return [*head, *self._ids("user\n")], []
        shown = f"user\n{frame.text()}\n\n"
        encoded = self._tokenizer.encode(shown, add_special_tokens=False)
        ends = [at for at, letter in enumerate(shown) if letter == "\n"][2:-1]
        token_of = _token_of(encoded.offsets)
        sides = [SIDES.index(frame.side(channel)) for channel, _ in frame.values]
        lines = [(len(head) + token_of[end], side) for end, side in zip(ends, sides, strict=True)]
        return [*head, *encoded.ids], lines

    def _row(self, rng: random.Random) -> Row:
        return self._talks(rng) if rng.random() < TALKS else self._about_a_frame(rng)

    def _system_with(self, tools: tuple[str, ...]) -> list[int]:
        if tools not in self._systems:
            said = ids_of(self._tokenizer, f"system\n{system_with(tools)}")
            self._systems[tools] = [self._start, *said, self._end, *self._ids("\n")]
        return self._systems[tools]

    def _talks(self, rng: random.Random) -> Row:
        """Branches of talks with the same tools."""
        kind = rng.choices(list(TALK_WEIGHTS), list(TALK_WEIGHTS.values()))[0]
        tools = talk(rng, kind).tools
        user = [self._start, *self._ids("user\n")]
        ids = [*(self._system_with(tools) if tools else self._system), *user]
        row = Row(ids, list(range(len(ids))), [0] * len(ids), [], [])
        stem, misses = len(ids), 0
        while misses < 3 and max(row.branches) < BRANCHES:
            said = talk(rng, rng.choices(list(TALK_WEIGHTS), list(TALK_WEIGHTS.values()))[0])
            if not said.goes_with(tools):
                continue
            done = rng.choice((*range(len(said.rounds) + 1), len(said.rounds)))
            asked = [*self._ids(said.text)]
            for call, response in said.rounds[:done]:
                asked += [self._end, *self._ids("\n"), self._start, *self._ids("assistant\n")]
                asked += [*ids_of(self._tokenizer, call), self._end, *self._ids("\n"), *user]
                asked += ids_of(self._tokenizer, response_text(response))
            asked += self._reply
            expected = said.rounds[done][0] if done < len(said.rounds) else said.expected
            answer = [*ids_of(self._tokenizer, expected), self._end]
            whole = [*asked, *answer[:-1]]
            if len(row.ids) + len(whole) > LENGTH:
                misses += 1
                continue
            at = len(row.ids) + len(asked) - 1
            row.answers.extend((at + offset, token) for offset, token in enumerate(answer))
            row.ids.extend(whole)
            row.places.extend(range(stem, stem + len(whole)))
            row.branches.extend([max(row.branches) + 1] * len(whole))
        return row

    def _about_a_frame(self, rng: random.Random) -> Row:
        framed = rng.random() >= WITHOUT_FRAME
        frame = make_frame(rng, shuffled=rng.random() < 0.7, missing=rng.random() < 0.7)
        ids, lines = self._stem(rng, frame if framed else None)
        row = Row(ids, list(range(len(ids))), [0] * len(ids), [], lines)
        stem = len(ids)
        for number in range(1, BRANCHES + 1):
            if framed:
                kind, text, answer = self._question(rng, frame)
            else:
                kind, text, answer = OFFTOPIC, offtopic(rng, held_out=False), REFUSAL
            asked = [*self._ids(text), *self._reply]
            said = [*self._ids(answer), self._end]
            whole = [*asked, *said[:-1]]
            if len(row.ids) + len(whole) > LENGTH:
                break
            at = len(row.ids) + len(asked) - 1
            row.answers.extend((at + offset, token) for offset, token in enumerate(said))
            if kind in COMPARISONS and ": " in answer:
                encoded = self._tokenizer.encode(answer, add_special_tokens=False)
                colon = _token_of(encoded.offsets)[answer.index(":")]
                row.watched.append((at + 1 + colon, SIDES.index(_side(answer))))
            row.ids.extend(whole)
            row.places.extend(range(stem, stem + len(whole)))
            row.branches.extend([number] * len(whole))
        return row

    def _question(self, rng: random.Random, frame: Frame) -> tuple[str, str, str]:
        """Type, text and answer."""
        kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if kind == ABSENT and len(frame.values) == len(CHANNELS):
            kind = rng.choice(TYPES)
        return kind, *question_about(rng, frame, kind, held_out=False)


def _token_of(offsets: list[tuple[int, int]]) -> dict[int, int]:
    """The token that each character of a text is in."""
    return {at: index for index, (low, high) in enumerate(offsets) for at in range(low, high)}


def _side(answer: str) -> str:
    """How the first number of a comparison's answer lies to the second."""
    numbers, verdict = answer.removesuffix(".").split(": ")
    if verdict == "equal":
        return WITHIN
    first_is_higher = verdict == "above" or verdict.split()[0] == numbers.split()[0]
    return HIGH if first_is_higher else LOW
