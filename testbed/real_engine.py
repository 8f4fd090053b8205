"""The engine of a node, loaded into this process, for runs in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from node.engine.accept import accept_model, load_of
from node.engine.child import thread_counts
from node.engine.loading import Loaded, loaded
from node.engine.stepped import AS_HERE, Scale, SteppedEngine
from node.service_time import TYPICAL_TOKENS, Profile, at_size, load_profile
from roundtrip.drive.clock import monotonic_ns
from roundtrip.errors import BadConfig
from roundtrip.node_config import LLAMA
from roundtrip.say import say
from roundtrip.scenario import Scenario
from roundtrip.units import NS_PER_S


@dataclass(frozen=True, slots=True)
class RealEngine:
    """What a virtual run needs of it."""

    profile: Profile
    """The scenario's, or that of the machine it stands for, with the model that answers. What the
    engine does is computed; what it takes to put something on disk and to hand it on is the
    profile's."""
    new: Callable[[], SteppedEngine]
    """For one run."""


def real_engine(scenario: Scenario, speed_of: str | None = None) -> RealEngine:
    """Load the model of a scenario's node.

    Args:
        scenario: says which, and how.
        speed_of: a profile; steps take as long as on its machine would, by its typical speeds.

    Raises:
        BadModel: the model cannot be loaded.
        BadConfig: there is no such profile, or the engine is a server, or under radiation.
    """
    if scenario.node.engine != LLAMA:
        raise BadConfig("--engine real", "node.engine", LLAMA, repr(scenario.node.engine))
    if scenario.node.radiation is not None:
        raise BadConfig("--engine real", "node.radiation", "none: upsets go by a profile", "one")
    model = accept_model(scenario.node)
    load = load_of(scenario.node, model)
    known = load_profile(speed_of or scenario.node.profile)
    engine = loaded(load, thread_counts(load.max_threads), lambda line: say(line, err=True))
    profile = known.model_copy(
        update={
            "model": model.title,
            "quantization": model.quantization,
            "threads": engine.choice.threads,
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
