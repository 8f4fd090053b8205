"""The engine against raw llama.cpp calls and against itself, alternating in one process.

The reference is what llama-bench does: `llama_decode` of fixed tokens, without sampling. The engine
samples greedily, keeps its tokens and looks for the end. Ratios are medians of pairs, the first
pair left out as warm-up.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
from llama_cpp import llama_cpp as llama

from bench.row import Row
from models.resolve import resolve
from models.triage.questions import held_out
from node.engine.batching import Batcher
from node.engine.chat import Piece
from node.engine.costs import Costs
from node.engine.llama import Engine, EngineSettings
from node.engine.prefixes import Prefixes
from node.engine.requests import Done, FirstToken, Request
from node.engine.tuning import Tuned, tuned
from node.speed import best_width
from roundtrip.drive.clock import monotonic_ns
from roundtrip.message import GREEDY

LARGE = "synth:qwen3-0.6b:Q4_K_M"
PROMPT_TOKENS = 256
NEW_TOKENS = 48
ROUNDS = 7
TOGETHER = 8
HEAD = "You watch over a satellite and answer briefly and exactly from the telemetry. "
HEAD_TOKENS = 300
RAW_STEPS = 40
RAW_PROMPT = 32
"""Tokens; a question's."""
TRIAGE = 200


def rows() -> list[Row]:
    """All of it: about five minutes on two cores."""
    cores = psutil.cpu_count(logical=False) or 1
    large = _Contender(LARGE, "qwen3-0.6b Q4_K_M", cores, 768)
    small = _Contender("builtin", "builtin Q8_0", 1, 768)
    return [
        *_against_raw(large),
        *_against_raw(small),
        _first_token(large),
        _together(large),
        _together(small),
        *_speculation(),
    ]


@dataclass(frozen=True, slots=True)
class _Contender:
    model: str
    name: str
    threads: int
    context: int

    def engine(self, sequences: int = 1) -> Engine:
        return self.tuned(sequences)[0]

    def tuned(self, sequences: int = 1) -> tuple[Engine, Tuned]:
        settings = EngineSettings(self.context, self.threads, sequences)
        engine = Engine(str(resolve(self.model)), settings)
        return engine, tuned(engine, settings, [self.threads], file=None, clock_ns=monotonic_ns)


def _batcher(engine: Engine, choice: Tuned | None = None, *, drafts: bool = False) -> Batcher:
    costs = Costs(choice.step_ns, choice.check_ns) if choice is not None else None
    return Batcher(
        engine, prefixes=Prefixes(None, ""), clock_ns=monotonic_ns, drafts=drafts, costs=costs
    )


def _against_raw(contender: _Contender) -> list[Row]:
    engine = contender.engine()
    batcher = _batcher(engine)
    word = engine.text_of([next(t for t in range(300, 2000) if engine.text_of([t]).isalpha())])
    request = Request(0, f" {word}" * (PROMPT_TOKENS - 20), "", NEW_TOKENS, GREEDY, False)
    timed: dict[str, list[float]] = {"own prefill": [], "own": [], "raw prefill": [], "raw": []}
    size = 0
    for _ in range(ROUNDS):
        batcher.add(request)
        begin = time.perf_counter()
        events = [*batcher.admit()]
        while not any(isinstance(event, FirstToken) for event in events):
            events += batcher.step()
        timed["own prefill"].append(time.perf_counter() - begin)
        slots = batcher._slots  # what is left after the prompt is read
        size = slots[0].position if slots else PROMPT_TOKENS
        begin, steps = time.perf_counter(), 0
        while batcher.busy:
            batcher.step()
            steps += 1
        timed["own"].append((time.perf_counter() - begin) / max(1, steps))
        timed["raw prefill"].append(_seconds(_raw_prefill, engine, size))
        timed["raw"].append(_seconds(_raw_decode, engine) / NEW_TOKENS)
    decode_s = statistics.median(timed["own"])
    return [
        Row(
            f"decode, {contender.name}: engine / raw calls",
            _ratio(timed["raw"], timed["own"]),
            "ratio",
            0.98,
            at_least=True,
            note=f"{1 / decode_s:,.0f} tok/s, {contender.threads} threads",
        ),
        Row(
            f"prefill, {contender.name}: engine / raw calls",
            _ratio(timed["raw prefill"], timed["own prefill"]),
            "ratio",
            0.98,
            at_least=True,
            note=f"{size / statistics.median(timed['own prefill']):,.0f} tok/s, {size} tokens",
        ),
    ]


def _raw_prefill(engine: Engine, size: int) -> None:
    engine.forget(0)
    tokens = (llama.llama_token * size)(*([1000 % engine.vocab_size] * size))
    assert llama.llama_decode(engine._context, llama.llama_batch_get_one(tokens, size)) == 0
    llama.llama_synchronize(engine._context)


def _raw_decode(engine: Engine) -> None:
    token = (llama.llama_token * 1)(1000 % engine.vocab_size)
    for _ in range(NEW_TOKENS):
        batch = llama.llama_batch_get_one(token, 1)
        assert llama.llama_decode(engine._context, batch) == 0
    llama.llama_synchronize(engine._context)


def _first_token(contender: _Contender) -> Row:
    """With the system prompt's state kept, against without."""
    engine = contender.engine()
    fresh_s, kept_s = [], []
    tokens = 0
    system = HEAD * math.ceil(HEAD_TOKENS / len(engine.tokens_of([Piece(HEAD, False)])))
    for _ in range(4):
        batcher = _batcher(engine)
        fresh, tokens = _time_to_first(batcher, system, "Well?")
        # As after a restart: the head comes from its saved state.
        batcher._admission.free = [(0, ())]
        kept, _ = _time_to_first(batcher, system, "Warm?")
        fresh_s.append(fresh)
        kept_s.append(kept)
    return Row(
        f"first token, {contender.name}: system prompt kept / read anew",
        statistics.median(k / f for k, f in zip(kept_s[1:], fresh_s[1:], strict=True)),
        "ratio",
        0.1,
        at_least=False,
        note=f"{tokens} tokens; {1e3 * min(kept_s):.0f} and {1e3 * min(fresh_s):.0f} ms",
    )


def _time_to_first(batcher: Batcher, system: str, text: str) -> tuple[float, int]:
    batcher.add(Request(0, text, system, 1, GREEDY, thinking=False))
    begin = time.perf_counter()
    tokens = 0
    took = 0.0
    while batcher.busy:
        for event in [*batcher.admit(), *batcher.step()]:
            if isinstance(event, FirstToken):
                took = time.perf_counter() - begin
            elif isinstance(event, Done):
                tokens = event.prompt_tokens
    return took, tokens


def _together(contender: _Contender) -> Row:
    """Tokens a second of eight questions, against the best of raw calls for one to eight."""
    engine, choice = contender.tuned(TOGETHER)
    engine.ends = frozenset()  # all write on, so that each step is one of so many
    width = best_width(choice.step_ns, TOGETHER)
    rates: dict[int, list[float]] = {count: [] for count in range(1, TOGETHER + 1)}
    own: list[float] = []
    for _ in range(5):
        for count, found in rates.items():
            found.append(count / _raw_step_s(engine, count))
        own.append(width / _steps_s(engine, width))
    raw = {count: statistics.median(found[1:]) for count, found in rates.items()}
    curve = ", ".join(f"{count}: {rate:.0f}" for count, rate in raw.items())
    return Row(
        f"decode, {contender.name}: 8 questions, as many at once as is best / best of raw calls",
        statistics.median(own[1:]) / max(raw.values()),
        "ratio",
        0.95,
        at_least=True,
        note=f"{width} at once, {statistics.median(own):.0f} tok/s; raw {curve}",
    )


def _raw_step_s(engine: Engine, sequences: int) -> float:
    """A token for each of some sequences by llama.cpp's calls alone, s, after a prompt each."""
    for sequence in range(engine.settings.sequences):
        engine.forget(sequence)
    for sequence in range(sequences):
        engine.put(0, list(range(300, 300 + RAW_PROMPT)), 0, sequence, wanted=True)
        engine.decode(RAW_PROMPT)
    tokens = llama.llama_batch_init(sequences, 0, 1)
    tokens.n_tokens = sequences
    begin = 0.0
    for step in range(RAW_STEPS + 1):
        for sequence in range(sequences):
            tokens.token[sequence] = 1000 % engine.vocab_size
            tokens.pos[sequence] = RAW_PROMPT + step
            tokens.n_seq_id[sequence] = 1
            tokens.seq_id[sequence][0] = sequence
            tokens.logits[sequence] = 1
        if step == 1:
            begin = time.perf_counter()
        assert llama.llama_decode(engine._context, tokens) == 0
        llama.llama_synchronize(engine._context)
    took_s = (time.perf_counter() - begin) / RAW_STEPS
    llama.llama_batch_free(tokens)
    for sequence in range(engine.settings.sequences):
        engine.forget(sequence)
    return took_s


def _steps_s(engine: Engine, sequences: int) -> float:
    """A token for each of some questions, s: batcher and all."""
    batcher = _batcher(engine)
    for number in range(sequences):
        batcher.add(Request(number, f"Question {number}?", "", NEW_TOKENS, GREEDY, thinking=False))
    writing = False
    while not writing:
        batcher.admit()
        batcher.step()
        writing = all(slot.writing for slot in batcher._slots)
    steps = 0
    begin = time.perf_counter()
    while len(batcher._slots) == sequences and steps < NEW_TOKENS - 8:
        batcher.step()
        steps += 1
    took_s = (time.perf_counter() - begin) / max(1, steps)
    while batcher.busy:
        batcher.step()
    return took_s


def _speculation() -> list[Row]:
    """One question at a time, with drafts and without: where they can pay, where they cannot."""
    engine, choice = _Contender("builtin", "builtin", 1, 1024).tuned()
    triage = [
        Request(number, question.prompt, question.system, 200, GREEDY, thinking=False)
        for number, question in enumerate(itertools.islice(held_out(TRIAGE), TRIAGE))
    ]
    plain, drafting = _batcher(engine), _batcher(engine, choice, drafts=True)
    first = _compared(plain, drafting, triage)
    again = _compared(plain, drafting, triage)
    wrong = _batcher(engine, choice, drafts=True)
    guess = wrong._speculation.drafts.draft

    def never_right(*arguments: Any) -> tuple[list[int], list[int], float]:
        tokens, kinds, right = guess(*arguments)
        return [(token + 1) % engine.vocab_size for token in tokens], kinds, right

    wrong._speculation.drafts.draft = never_right
    nothing = _compared(plain, wrong, triage)
    large, chosen = _Contender(LARGE, "qwen3-0.6b", psutil.cpu_count(False) or 1, 768).tuned()
    asked = [
        Request(number, f"{HEAD} Question {number}?", "", 24, GREEDY, thinking=False)
        for number in range(TRIAGE // 5)
    ]
    random_words = _compared(_batcher(large), _batcher(large, chosen, drafts=True), asked)
    return [
        Row(
            "speculation, triage, 200 answers more: tokens/s with / without",
            again.ratio,
            "x",
            0.98,
            at_least=True,
            note=f"{again.saved:.0%} of decodes saved; {again.note}",
        ),
        Row(
            "speculation, triage, first 200 answers: tokens/s with / without",
            first.ratio,
            "x",
            0.98,
            at_least=True,
            note=f"{first.saved:.0%} of decodes saved; {first.note}",
        ),
        Row(
            "speculation where nothing is right, 200 answers: tokens/s with / without",
            nothing.ratio,
            "x",
            0.98,
            at_least=True,
            note=nothing.note,
        ),
        Row(
            f"speculation, qwen3-0.6b, {len(asked)} answers of noise: tokens/s with / without",
            random_words.ratio,
            "x",
            0.98,
            at_least=True,
            note=f"{random_words.saved:.0%} of decodes saved; {random_words.note}",
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Comparison:
    ratio: float
    saved: float
    note: str


def _compared(plain: Batcher, drafting: Batcher, requests: list[Request]) -> _Comparison:
    """The same questions to both in alternation."""
    seconds = {False: 0.0, True: 0.0}
    steps = {False: 0, True: 0}
    differ = 0
    for number, request in enumerate(requests):
        texts: list[str] = []
        for drafts in (False, True) if number % 2 else (True, False):
            text, took_s, count = _written(drafting if drafts else plain, request)
            texts.append(text)
            seconds[drafts] += took_s
            steps[drafts] += count
        differ += texts[0] != texts[1]
    rate = steps[False] / seconds[False]
    state = "on" if drafting.drafting else "switched off"
    note = f"{rate:,.0f} tok/s without; at the end {state}; {differ} texts differ"
    return _Comparison(seconds[False] / seconds[True], 1 - steps[True] / steps[False], note)


def _written(batcher: Batcher, request: Request) -> tuple[str, float, int]:
    """The answer, the time it took to write, and the decodes."""
    batcher.add(request)
    batcher.admit()
    done: Done | None = None
    while not batcher._slots[0].writing:
        batcher.step()
        if not batcher._slots:
            return "", 0.0, 0
    begin, steps = time.perf_counter(), 0
    while batcher.busy:
        for event in batcher.step():
            if isinstance(event, Done):
                done = event
        steps += 1
    assert done is not None
    return done.text, time.perf_counter() - begin, steps


def _seconds(work: Callable[..., None], *arguments: object) -> float:
    begin = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - begin


def _ratio(reference: list[float], own: list[float]) -> float:
    pairs = list(zip(reference, own, strict=True))[1:]
    return statistics.median(r / o for r, o in pairs)
