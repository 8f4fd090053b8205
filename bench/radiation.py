"""Upsets: how soon they are found, what the checks cost, and what comes of a day of them.

A day at a thousand times the rate of low Earth orbit is lived through by a clock that leaps from
one question to the next: the engine, its weights and the upsets in them are the real ones.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.row import Row
from models.gguf.inspect import inspect
from models.resolve import resolve
from models.triage.questions import Question, grade, held_out
from node.engine.batching import Batcher
from node.engine.guarded import Guarded
from node.engine.kept_twice import KeptTwice
from node.engine.llama import Engine, EngineSettings
from node.engine.memory_upsets import MemoryUpsets
from node.engine.prefixes import Prefixes
from node.engine.requests import Done, Event, NotFinite, Request
from node.engine.scrub import Mended, Scrubber
from node.engine.weights import Weights
from roundtrip.drive.clock import monotonic_ns
from roundtrip.message import GREEDY
from roundtrip.radiation import PRESETS
from roundtrip.rng import substream
from roundtrip.units import NS_PER_S

LARGE = "synth:qwen3-0.6b:Q4_K_M"
CONTEXT = 768
FLIPS = {"builtin": 2000, LARGE: 200}
ROUNDS = 7
ANSWER_TOKENS = 96
BUILTIN_ASKED = 100
QUESTIONS = 1440
APART_NS = 60 * NS_PER_S
RATE = 1000 * PRESETS["leo"]
LONG_NS = 10**12


def rows() -> list[Row]:
    """All of it: about two minutes."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        return [
            *(row for model in FLIPS for row in _found(model, folder)),
            *(_cost(model, folder) for model in FLIPS),
            *_days(folder),
        ]


class _Node:
    """An engine whose weights can be hurt, checked and mended, by a clock that can leap."""

    def __init__(self, model: str, folder: Path, threads: int = 1) -> None:
        self.path = resolve(model)
        settings = EngineSettings(CONTEXT, threads, private=True)
        self.engine = Engine(str(self.path), settings)
        self.weights = Weights(self.engine, self.path, KeptTwice(self.path, folder, print))
        self.ahead_ns = 0
        self.batcher = Batcher(
            self.engine, prefixes=Prefixes(None, ""), clock_ns=monotonic_ns, drafts=False
        )

    def now_ns(self) -> int:
        return monotonic_ns() + self.ahead_ns

    def guarded(self, on_mended: Callable[[Mended, int], None]) -> Guarded:
        return Guarded(
            self.batcher,
            Scrubber(self.weights, self.now_ns),
            clock_ns=self.now_ns,
            probe_ns=APART_NS,
            on_mended=on_mended,
        )


def _found(model: str, folder: Path) -> list[Row]:
    node = _Node(model, folder)
    scrubber = Scrubber(node.weights, monotonic_ns)
    rng = substream(1, "bench/radiation")
    found, spent_ns = 0, []
    for _ in range(FLIPS[model]):
        name = node.weights.flip(rng.randrange(node.weights.bits))
        begin_ns = monotonic_ns()
        mended = scrubber.until(begin_ns, LONG_NS)
        spent_ns.append(monotonic_ns() - begin_ns)
        found += [one.name for one in mended] == [name]
    size_mb = node.weights.bits / 8e6
    note = f"{FLIPS[model]} flips, one at a time; {size_mb:.0f} MB"
    share = found / FLIPS[model]
    first = Row(f"{_name(model)}: upsets found in one round", share, "share", 0.999, True, note)
    round_s = statistics.median(spent_ns) / NS_PER_S
    note = f"one core, a mended tensor included; {size_mb / 1000 / round_s:.1f} GB/s"
    return [first, Row(f"{_name(model)}: one round of checks", round_s, "s", 2, False, note)]


def _name(model: str) -> str:
    return "qwen3-0.6b Q4_K_M" if model == LARGE else "builtin Q8_0"


def _cost(model: str, folder: Path) -> Row:
    """Answering with checks beside it, against none, in turn; the check at the end is in idle time
    and not counted."""
    node = _Node(model, folder, 1 if model == "builtin" else 2)
    guarded = node.guarded(lambda mended, again: None)
    asked = BUILTIN_ASKED if model == "builtin" else 2
    ratios = []
    for _ in range(ROUNDS):
        plain_ns = _answered(node, node.batcher, asked)
        ratios.append(plain_ns / _answered(node, guarded, asked))
    note = f"{asked} answers each, alternating, median of {ROUNDS - 1} pairs"
    value = statistics.median(ratios[1:])
    return Row(f"{_name(model)}: speed with checks ÷ without", value, "ratio", 0.98, True, note)


def _answered(node: _Node, serving: Batcher | Guarded, count: int) -> int:
    """How long the engine works for so many answers, ns."""
    spent_ns = 0
    for question in held_out(count):
        prompt = question.prompt
        serving.add(Request(0, prompt, question.system, ANSWER_TOKENS, GREEDY, thinking=False))
        begin_ns = monotonic_ns()
        while node.batcher.busy:
            serving.admit()
            serving.step()
        spent_ns += monotonic_ns() - begin_ns
        while serving.busy:
            serving.admit()
            serving.step()
    return spent_ns


def _days(folder: Path) -> list[Row]:
    questions = list(held_out(QUESTIONS))
    best, _ = _day(questions, folder, 0.0, scrub=False)
    with_checks, note = _day(questions, folder, RATE, scrub=True)
    without, _ = _day(questions, folder, RATE, scrub=False)
    note = f"{best:.4f} without upsets; {note}"
    name = f"builtin Q8_0: right answers of a day of {QUESTIONS}, 1,000 times LEO"
    return [
        Row(name, with_checks, "share", 0.99, True, note),
        Row(f"{name}, no checks", without, "share", 0, True, "as measured"),
    ]


def _day(questions: list[Question], folder: Path, rate: float, *, scrub: bool) -> tuple[float, str]:
    node = _Node("builtin", folder)
    anew: list[int] = []
    serving: Batcher | Guarded = node.batcher
    if scrub:
        serving = node.guarded(lambda mended, again: anew.append(again))
    cache_bits = 8 * inspect(node.path).kv_bytes_per_token * CONTEXT
    upsets = MemoryUpsets(
        rate,
        substream(1, "bench/day"),
        node.weights,
        node.batcher,
        cache_bits=cache_bits,
        now_ns=node.now_ns(),
    )
    right = exposed = 0
    for number, question in enumerate(questions):
        node.ahead_ns += APART_NS
        upsets.happen(node.now_ns())
        while not serving.resting:
            serving.rest()
        serving.add(Request(number, question.prompt, question.system, 200, GREEDY, thinking=False))
        events: list[Event] = []
        while serving.busy:
            try:
                events += [*serving.admit(), *serving.step()]
            except NotFinite:  # nothing checks it: there is no answer
                node.batcher.withdraw(())
            upsets.happen(node.now_ns())
        for event in events:
            if isinstance(event, Done):
                right += grade(question.expected, event.text)
                exposed += event.exposed
    note = f"{len(anew)} tensors mended, {sum(anew)} answers begun anew, {exposed} marked"
    return right / len(questions), note
