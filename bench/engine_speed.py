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

import psutil
from llama_cpp import llama_cpp as llama

from bench.row import Row
from models.resolve import resolve
from models.triage.questions import held_out
from node.engine.batching import Batcher
from node.engine.chat import Piece
from node.engine.llama import Engine, EngineSettings
from node.engine.prefixes import Prefixes
from node.engine.requests import Done, FirstToken, Request
from node.engine.tuning import tuned
from roundtrip.drive.clock import monotonic_ns
from roundtrip.message import GREEDY

LARGE = "synth:qwen3-0.6b:Q4_K_M"
PROMPT_TOKENS = 256
NEW_TOKENS = 48
ROUNDS = 7
TOGETHER = 8
HEAD = "You watch over a satellite and answer briefly and exactly from the telemetry. "
HEAD_TOKENS = 300
TRIAGE = 120


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
        *_speculation(),
    ]


@dataclass(frozen=True, slots=True)
class _Contender:
    model: str
    name: str
    threads: int
    context: int

    def engine(self, sequences: int = 1) -> Engine:
        settings = EngineSettings(self.context, self.threads, sequences)
        engine = Engine(str(resolve(self.model)), settings)
        tuned(engine, settings, [self.threads], file=None, clock_ns=monotonic_ns)
        return engine


def _batcher(engine: Engine, *, drafts: bool = False) -> Batcher:
    return Batcher(engine, prefixes=Prefixes(None, ""), clock_ns=monotonic_ns, drafts=drafts)


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
    """Tokens of eight questions decoded together, against one after the other."""
    engine = contender.engine(TOGETHER)
    ratios = []
    rate = 0.0
    for _ in range(4):
        one_s, all_s = _steps_s(engine, 1), _steps_s(engine, TOGETHER)
        ratios.append(TOGETHER * one_s / all_s)
        rate = TOGETHER / all_s
    return Row(
        f"decode, {contender.name}: 8 questions at once / one",
        statistics.median(ratios[1:]),
        "x",
        2.4,
        at_least=True,
        note=f"{rate:.0f} tok/s in all",
    )


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
    """Triage questions of the builtin, one at a time, with drafts and without."""
    engine = _Contender("builtin", "builtin", 1, 1024).engine()
    plain, drafting = _batcher(engine), _batcher(engine, drafts=True)
    requests = [
        Request(number, question.prompt, question.system, 200, GREEDY, thinking=False)
        for number, question in enumerate(itertools.islice(held_out(TRIAGE), TRIAGE))
    ]
    texts: dict[str, list[str]] = {"plain": [], "drafting": []}
    seconds = {"plain": 0.0, "drafting": 0.0}
    steps = {"plain": 0, "drafting": 0}
    for turn in range(3):
        for request in requests:
            for name, batcher in (("plain", plain), ("drafting", drafting)):
                text, took_s, count = _written(batcher, request)
                texts[name].append(text)
                if turn:
                    seconds[name] += took_s
                    steps[name] += count
    differ = sum(a != b for a, b in zip(texts["plain"], texts["drafting"], strict=True))
    return [
        Row(
            "speculation, triage: decodes saved",
            1 - steps["drafting"] / steps["plain"],
            "share",
            0.3,
            at_least=True,
            note=f"{differ} of {len(texts['plain'])} answers differ",
        ),
        Row(
            "speculation, triage: tokens/s with / without",
            seconds["plain"] / seconds["drafting"],
            "x",
            1.3,
            at_least=True,
            note=f"{steps['plain'] / seconds['plain']:,.0f} tok/s without",
        ),
        _worst_speculation(engine),
    ]


def _worst_speculation(engine: Engine) -> Row:
    """Where nothing is ever right: every guess is made to be another token."""
    plain, drafting = _batcher(engine), _batcher(engine, drafts=True)
    wrong = drafting._drafts.draft

    def never_right(*arguments: object) -> tuple[list[int], list[int]]:
        tokens, kinds = wrong(*arguments)  # type: ignore[arg-type]
        return [(token + 1) % engine.vocab_size for token in tokens], kinds

    drafting._drafts.draft = never_right  # type: ignore[method-assign]
    seconds = {"plain": 0.0, "drafting": 0.0}
    for number, question in enumerate(itertools.islice(held_out(TRIAGE), TRIAGE)):
        request = Request(0, question.prompt, question.system, 200, GREEDY, thinking=False)
        for name, batcher in (("plain", plain), ("drafting", drafting)):
            _, took_s, _ = _written(batcher, request)
            if number > TRIAGE // 3:
                seconds[name] += took_s
    return Row(
        "speculation where nothing is right: time with / without",
        seconds["drafting"] / seconds["plain"],
        "x",
        1.03,
        at_least=False,
    )


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
