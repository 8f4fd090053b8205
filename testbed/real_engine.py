"""The engine of a node, loaded into this process, for runs in virtual time."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from dtn.bpv7.bundle import BundleId
from node.engine.accept import accept_model, load_of
from node.engine.child import thread_counts
from node.engine.loading import Loaded, loaded
from node.engine.stepped import AS_HERE, Scale, SteppedEngine
from node.outputs import StoreQuestion
from node.service_time import TYPICAL_TOKENS, Profile, at_size, load_profile
from node.store import NodeStore
from roundtrip.drive.clock import monotonic_ns
from roundtrip.say import say
from roundtrip.scenario import Scenario
from roundtrip.units import NS_PER_S

WRITES = 15
"""To disk, of which the median counts."""


@dataclass(frozen=True, slots=True)
class RealEngine:
    """What a virtual run needs of it."""

    profile: Profile
    """Of the scenario, with what is known of the model and this machine."""
    new: Callable[[], SteppedEngine]
    """For one run."""


def real_engine(scenario: Scenario, folder: Path, speed_of: str | None = None) -> RealEngine:
    """Load the model of a scenario's node.

    Args:
        scenario: says which, and how.
        folder: on the disk whose speed counts.
        speed_of: a profile; steps take as long as on its machine would, by its typical speeds.

    Raises:
        BadModel: the model cannot be loaded.
        BadConfig: there is no such profile.
    """
    model = accept_model(scenario.node)
    load = load_of(scenario.node, model)
    known = load_profile(speed_of or scenario.node.profile)
    engine = loaded(load, thread_counts(load.max_threads), lambda line: say(line, err=True))
    store_ms = known.store_ms if speed_of else _store_ms(folder)
    profile = known.model_copy(
        update={
            "model": model.info.name or model.path.stem,
            "quantization": model.info.quantization,
            "threads": engine.choice.threads,
            "store_ms": store_ms,
        }
    )
    scale = _scale(known, engine) if speed_of else AS_HERE

    def new() -> SteppedEngine:
        fresh = loaded(load, [engine.choice.threads], lambda line: None)
        return SteppedEngine(fresh.batcher, profile, monotonic_ns, scale)

    return RealEngine(profile, new)


def _scale(profile: Profile, engine: Loaded) -> Scale:
    """By how much slower the profile's machine is, for a typical question."""
    prefill_ns = NS_PER_S / at_size(profile.prefill_tok_s, TYPICAL_TOKENS)
    decode_ns = NS_PER_S / at_size(profile.decode_tok_s, TYPICAL_TOKENS)
    return Scale(prefill_ns / engine.choice.prefill_ns, decode_ns / engine.choice.step_ns[1])


def _store_ms(folder: Path) -> float:
    """What putting a question on this machine's disk takes."""
    took_ns = []
    with TemporaryDirectory(dir=folder) as name:
        store = NodeStore(Path(name) / "node.sqlite", lambda line: None)
        for number in range(WRITES):
            bundle = BundleId("ipn:1.1", 0, number)
            output = StoreQuestion(number, bytes(100), 0, 0, bundle)
            begin_ns = monotonic_ns()
            store.apply(output)
            took_ns.append(monotonic_ns() - begin_ns)
        store.close()
    return statistics.median(took_ns) / 1e6
