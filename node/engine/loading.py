"""A model loaded as a node is told to, and the batcher that answers with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from node.engine.batching import Batcher
from node.engine.costs import Costs
from node.engine.draft_model import DraftModel, same_vocabulary
from node.engine.kept_twice import KeptTwice
from node.engine.llama import Engine, EngineSettings, state_key
from node.engine.prefixes import Prefixes
from node.engine.tuning import Tuned, tuned
from node.engine.wire import Load
from roundtrip.drive.clock import monotonic_ns
from roundtrip.errors import BadModel


@dataclass(frozen=True, slots=True)
class Loaded:
    """What answers."""

    engine: Engine
    batcher: Batcher
    choice: Tuned
    files: KeptTwice | None
    """What damaged weights are mended from."""


def loaded(load: Load, threads: Sequence[int], say: Callable[[str], None]) -> Loaded:
    """Load a model, test it, and measure it where that was not done before.

    Args:
        load: what, and how.
        threads: numbers that may be tried, where it does not say how many.
        say: told of damaged files.

    Raises:
        BadModel: it cannot be loaded, or has no room.
    """
    settings = EngineSettings(
        load.context,
        load.threads or 1,
        load.sequences,
        load.kv,
        lock=load.lock,
        private=load.private,
        use_extra_bufts=load.use_extra_bufts,
    )
    folder = Path(load.states) if load.states else None
    files = None
    if load.scrub and folder is not None:
        files = KeptTwice(Path(load.path), folder, say)
    path = str(files.whole) if files is not None else load.path
    engine = Engine(path, settings, load.adapter)
    engine.self_test()
    key = state_key([Path(one) for one in (load.path, load.adapter) if one], settings)
    tried = [load.threads] if load.threads else threads
    file = folder / f"{key}.json" if folder is not None else None
    choice = tuned(engine, settings, tried, file=file, clock_ns=monotonic_ns)
    model = None
    if load.draft:
        small = Engine(load.draft, replace(settings, threads=choice.threads, flash=True))
        if not same_vocabulary(engine, small):
            found = f"another in {load.draft}"
            raise BadModel(load.path, "node.draft", "a model with the same vocabulary", found)
        model = DraftModel(small, monotonic_ns)
    batcher = Batcher(
        engine,
        prefixes=Prefixes(folder, f"{key}-{'flash' if choice.flash else 'plain'}"),
        clock_ns=monotonic_ns,
        drafts=load.drafts,
        model=model,
        system=load.system,
        document=load.document,
        prefill_ns=choice.prefill_ns,
        costs=Costs(choice.step_ns, choice.check_ns),
        fixed_width=load.fixed_width,
        tell_ns=load.tell_ns,
        holds=not load.private,
    )
    return Loaded(engine, batcher, choice, files)
