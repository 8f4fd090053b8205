"""Threads and kind of attention, chosen by a short measurement at the first start of a model.

The choice is kept beside the saved states; a change of model, llama.cpp, cache type or number of
processors makes a new one.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from node.engine.llama import Engine, EngineSettings

PROMPT_TOKENS = 128
DECODED = 8
TYPICAL_PROMPT = 200
TYPICAL_ANSWER = 60
"""Tokens of the question and answer that a choice is made for."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was chosen, and how fast that was."""

    threads: int
    flash: bool
    prefill_ns: float
    """Per token."""
    step_ns: float
    """One token of one sequence."""

    @property
    def typical_ns(self) -> float:
        """A typical question."""
        return TYPICAL_PROMPT * self.prefill_ns + TYPICAL_ANSWER * self.step_ns


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
    name = f"{sorted(threads)} of {os.cpu_count()}, {settings.context} x {settings.sequences}"
    kept = _read(file, name, threads)
    if kept is not None:
        engine.open(replace(settings, threads=kept.threads, flash=kept.flash))
        return kept
    found: list[Tuned] = []
    for flash in (False, True) if settings.kv == "f16" else (True,):
        engine.open(replace(settings, flash=flash))
        found += [_measured(engine, count, flash, clock_ns) for count in threads]
    best = min(found, key=lambda one: one.typical_ns)
    engine.open(replace(settings, threads=best.threads, flash=best.flash))
    if file is not None:
        _write(file, name, best)
    return best


def _measured(engine: Engine, threads: int, flash: bool, clock_ns: Callable[[], int]) -> Tuned:
    engine.set_threads(threads)
    tokens = [index % engine.vocab_size for index in range(1000, 1000 + PROMPT_TOKENS)]
    count = min(PROMPT_TOKENS, engine.context - DECODED - 1)
    prefill_ns = step_ns = float("inf")
    for _ in range(2):
        engine.forget(0)
        begin_ns = clock_ns()
        engine.put(0, tokens[:count], 0, 0, wanted=True)
        engine.decode(count)
        engine.likeliest(count - 1)
        prefill_ns = min(prefill_ns, (clock_ns() - begin_ns) / count)
        for position in range(count, count + DECODED):
            begin_ns = clock_ns()
            engine.put_one(0, tokens[0], position, 0)
            engine.decode(1)
            engine.likeliest(0)
            step_ns = min(step_ns, float(clock_ns() - begin_ns))
    engine.forget(0)
    return Tuned(threads, flash, prefill_ns, step_ns)


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
        kept = Tuned(**_known(file)[name])
        times = (kept.prefill_ns, kept.step_ns)
        usable = type(kept.threads) is int and kept.threads in threads and type(kept.flash) is bool
        return kept if usable and all(0 < each < math.inf for each in times) else None
    except (KeyError, TypeError):
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
