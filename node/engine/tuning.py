"""Threads, kind of attention, and what decodes of several tokens take: measured at the first start
of a model.

The choice is kept beside the saved states; a change of model, llama.cpp, cache type or number of
processors makes a new one.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from node.engine.llama import Engine, EngineSettings

PROMPT_TOKENS = 128
"""Of what is read, or held when drafts are checked: any context has room for it."""
TYPICAL_PROMPT = 200
TYPICAL_ANSWER = 60
"""Tokens of the question and answer that a choice is made for."""
WIDTHS = (2, 3, 4, 5, 6, 7, 8, 12, 16)
"""Sequences decoded together, as far as there are so many."""
CHECKED = (2, 3, 4, 8, 16)
"""Tokens of one sequence in a decode, as a draft is checked."""
LEAST_REPEATS, MOST_REPEATS = 3, 40
REPEAT_NS = 30_000_000
"""A decode is measured for so long, where it is short."""
HELD = 16
"""Tokens that each of several sequences has."""
LOST_CAUSE = 0.7
"""Of the best total rate: where more sequences together are slower than that, still more are not
tried."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was chosen, and how fast that was."""

    threads: int
    flash: bool
    prefill_ns: float
    """Per token."""
    step_ns: dict[int, float]
    """One token for each of so many sequences."""
    check_ns: dict[int, float] = field(default_factory=dict)
    """So many tokens of one sequence."""

    @property
    def typical_ns(self) -> float:
        """A typical question, alone."""
        return TYPICAL_PROMPT * self.prefill_ns + TYPICAL_ANSWER * self.step_ns[1]

    @property
    def busy_ns(self) -> float:
        """A typical question's share, when as many as is best are answered together."""
        each_ns = min(ns / width for width, ns in self.step_ns.items())
        return TYPICAL_PROMPT * self.prefill_ns + TYPICAL_ANSWER * each_ns


def tuned(
    engine: Engine,
    settings: EngineSettings,
    threads: Sequence[int],
    *,
    file: Path | None,
    clock_ns: Callable[[], int],
) -> Tuned:
    """The fastest way to run a loaded model; the engine runs so when this returns.

    Args:
        engine: its context is opened anew for each kind of attention.
        settings: all but threads and attention.
        threads: numbers to try.
        file: where the choice is kept; None for nowhere.
        clock_ns: measures.
    """
    name = f"{sorted(threads)} of {os.cpu_count()}, {settings.context} x {settings.sequences}, v2"
    kept = _read(file, name, threads)
    if kept is not None:
        engine.open(replace(settings, threads=kept.threads, flash=kept.flash))
        return kept
    found: list[Tuned] = []
    for flash in (False, True) if settings.kv == "f16" else (True,):
        engine.open(replace(settings, flash=flash))
        alone = [_alone(engine, count, flash, clock_ns) for count in threads]
        found.append(_together(engine, min(alone, key=lambda one: one.typical_ns), clock_ns))
    best = min(found, key=lambda one: one.typical_ns * one.busy_ns)
    engine.open(replace(settings, threads=best.threads, flash=best.flash))
    best = _checking(engine, best, clock_ns)
    if file is not None:
        _write(file, name, best)
    return best


def _alone(engine: Engine, threads: int, flash: bool, clock_ns: Callable[[], int]) -> Tuned:
    engine.set_threads(threads)
    prefill_ns = step_ns = float("inf")
    for _ in range(2):
        engine.forget(0)
        prefill_ns = min(prefill_ns, _prompt(engine, 0, PROMPT_TOKENS, clock_ns) / PROMPT_TOKENS)
        step_ns = min(step_ns, _least(engine, [(0, PROMPT_TOKENS)], clock_ns))
    engine.forget(0)
    return Tuned(threads, flash, prefill_ns, {1: step_ns})


def _together(engine: Engine, alone: Tuned, clock_ns: Callable[[], int]) -> Tuned:
    """With what several sequences take."""
    engine.set_threads(alone.threads)
    step_ns = dict(alone.step_ns)
    best_ns = step_ns[1]
    most = engine.settings.sequences
    for sequence in range(most):
        _prompt(engine, sequence, HELD, clock_ns)
    for width in sorted({*(width for width in WIDTHS if width < most), most} - {1}):
        places = [(sequence, HELD) for sequence in range(width)]
        step_ns[width] = _least(engine, places, clock_ns)
        if best_ns < LOST_CAUSE * step_ns[width] / width:
            break
        best_ns = min(best_ns, step_ns[width] / width)
    for sequence in range(most):
        engine.forget(sequence)
    return replace(alone, step_ns=step_ns)


def _checking(engine: Engine, chosen: Tuned, clock_ns: Callable[[], int]) -> Tuned:
    """With what the checking of drafts takes."""
    check_ns: dict[int, float] = {}
    _prompt(engine, 0, PROMPT_TOKENS, clock_ns)
    for count in CHECKED:
        places = [(0, PROMPT_TOKENS + index) for index in range(count)]
        check_ns[count] = _least(engine, places, clock_ns)
    engine.forget(0)
    return replace(chosen, check_ns=check_ns)


def _prompt(engine: Engine, sequence: int, count: int, clock_ns: Callable[[], int]) -> int:
    """Read a prompt of any tokens; ns."""
    tokens = [index % engine.vocab_size for index in range(1000, 1000 + count)]
    begin_ns = clock_ns()
    engine.put(0, tokens, 0, sequence, wanted=True)
    engine.decode(count)
    engine.likeliest(count - 1)
    return clock_ns() - begin_ns


def _least(engine: Engine, places: Sequence[tuple[int, int]], clock_ns: Callable[[], int]) -> float:
    """The least duration of a few such decodes, ns: other work can only make them longer."""
    found: list[float] = []
    while len(found) < LEAST_REPEATS or (sum(found) < REPEAT_NS and len(found) < MOST_REPEATS):
        found.append(_decode(engine, places, clock_ns))
        for sequence, position in places:
            engine.forget(sequence, position)
    return min(found)


def _decode(
    engine: Engine, places: Sequence[tuple[int, int]], clock_ns: Callable[[], int]
) -> float:
    """Decode a token at each of these places, sequence and position; ns."""
    begin_ns = clock_ns()
    for index, (sequence, position) in enumerate(places):
        engine.put_one(index, 1000 % engine.vocab_size, position, sequence)
    engine.decode(len(places))
    for index in range(len(places)):
        engine.likeliest(index)
    return float(clock_ns() - begin_ns)


def _known(file: Path) -> dict[str, Any]:
    """What the file holds; nothing where it is none of ours."""
    try:
        known = json.loads(file.read_text()) if file.is_file() else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _read(file: Path | None, name: str, threads: Sequence[int]) -> Tuned | None:
    if file is None:
        return None
    try:
        kept = _known(file)[name]
        for key in ("step_ns", "check_ns"):
            kept[key] = {int(count): float(ns) for count, ns in kept[key].items()}
        choice = Tuned(**kept)
        times = [choice.prefill_ns, choice.step_ns[1]]
        times += [*choice.step_ns.values(), *choice.check_ns.values()]
        usable = type(choice.threads) is int and choice.threads in threads
        usable = usable and type(choice.flash) is bool
        return choice if usable and all(0 < each < math.inf for each in times) else None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _write(file: Path, name: str, choice: Tuned) -> None:
    scratch = file.with_suffix(".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(_known(file) | {name: asdict(choice)}, indent=2))
        scratch.rename(file)
    except (OSError, ValueError):  # it is measured again next time
        with contextlib.suppress(OSError):
            scratch.unlink()
