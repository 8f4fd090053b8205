"""Requests to the `tiny` model in this process, for tests."""

from __future__ import annotations

import json

from node.engine.batching import Batcher, answer_all
from node.engine.llama import Engine, EngineSettings
from node.engine.prefixes import Prefixes
from node.engine.requests import Done, Event, Refused, Request
from roundtrip.drive.clock import monotonic_ns
from roundtrip.message import GREEDY, Sampling

SYSTEM = "You watch over a satellite and answer in a few words. " * 4
HOT = Sampling(temperature=2.0, top_p=1.0, top_k=0, seed=1)
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"status": {"enum": ["ok", "bad"]}, "value": {"type": "integer"}},
        "required": ["status", "value"],
    }
)


def settings(**changes) -> EngineSettings:
    known = {"context": 256, "threads": 1, "sequences": 4, "use_extra_bufts": False}
    return EngineSettings(**(known | changes))


def batcher(engine: Engine, prefixes: Prefixes | None = None, **options) -> Batcher:
    for sequence in range(engine.settings.sequences):
        engine.forget(sequence)
    kept = prefixes if prefixes is not None else Prefixes(None, "")
    return Batcher(engine, prefixes=kept, clock_ns=monotonic_ns, **options)


def asked(number: int = 1, **changes) -> Request:
    known = {
        "text": f"What is the voltage of battery {number}?", "system": "", "max_tokens": 12,
        "sampling": GREEDY, "thinking": False,
    }  # fmt: skip
    return Request(number, **(known | changes))


def run(busy: Batcher) -> Done | Refused:
    """To the end of its one request."""
    found: list[Done | Refused] = []
    while busy.busy:
        found += [event for event in step(busy) if isinstance(event, Done | Refused)]
    (only,) = found
    return only


def step(busy: Batcher) -> list[Event]:
    return [*busy.admit(), *busy.step()]


def one(engine: Engine, **changes) -> Done:
    found = answer_all(batcher(engine), [asked(**changes)])[1]
    assert isinstance(found, Done)
    return found
