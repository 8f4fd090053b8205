"""What the supervisor and the engine's process say to each other: CBOR maps behind a four-byte
length.

To the engine: `load`, then any number of `infer`, `cut` and `threads`. From the engine: `ready` or
`bad_model`; for each `infer`: `started`, `first_token`, `wrote` now and then, and `done` or
`refused`; `mended` where weights were damaged; and `alive` once a second. Times are CLOCK_MONOTONIC
ns.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import cbor2

from node.engine.events import (
    EngineDone,
    EngineFirstToken,
    EngineMended,
    EngineRefused,
    EngineStarted,
    EngineWrote,
    InferenceResult,
    JobEvent,
)
from node.engine.requests import Request
from roundtrip.message import Sampling

if TYPE_CHECKING:
    from node.scheduler import Order

LENGTH_BYTES = 4
MAX_BYTES = 1 << 24
EXIT_SERVER_GONE = 4
"""Where a server does the inference: it is gone."""
EXIT_PROBE_FAILED = 3
"""The engine ends so where its memory is damaged elsewhere than in the weights."""
EXIT_NOT_FINITE = 5
"""Its logits are no numbers, and nothing checks its weights."""
ALIVE_NS = 1_000_000_000
"""How often the engine says that it is alive, working or not."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the engine is to load, and how."""

    path: str
    context: int
    """Tokens of one question and its answer."""
    sequences: int
    """Questions at once."""
    threads: int
    """0: measured at the first start."""
    kv: str
    lock: bool
    drafts: bool
    states: str
    """Folder where kept heads and measurements are; empty for none."""
    document: str
    """Text that every system prompt ends with; empty for none."""
    system: str = ""
    """The system prompt of questions that bring none."""
    adapter: str = ""
    """The file of the model's LoRA adapter; empty for none."""
    max_threads: int = 0
    """Of those that are tried; 0: as many as there are cores."""
    use_extra_bufts: bool = True
    draft: str = ""
    """The model that drafts; empty for none."""
    fixed_width: bool = False
    """Always `sequences` questions at once; else as many of them as is fastest in all."""
    tell_ns: int = 0
    """How often an answer is told of while it is written; 0: never."""
    private: bool = False
    """The weights are the engine's own memory: they can be mended."""
    scrub: bool = False
    """Check them all the time."""
    probe_ns: int = 0
    """How often that is done while there is nothing to do."""
    flips_per_bit_day: float = 0.0
    """Upsets that are made."""
    flips_seed: int = 0
    """Of where and when."""
    url: str = ""
    """Of the server that does the inference; empty for llama.cpp here."""


def pack(body: dict[str, Any]) -> bytes:
    """One message, framed."""
    data = cbor2.dumps(body)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


def read(stream: BinaryIO) -> dict[str, Any] | None:
    """The next message from a blocking stream; None at its end."""
    head = stream.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    data = stream.read(int.from_bytes(head, "big"))
    body: dict[str, Any] = cbor2.loads(data)
    return body


def unpack(buffer: bytearray) -> dict[str, Any] | None:
    """The first whole message of a buffer, taken out of it; None while there is none."""
    end = LENGTH_BYTES + int.from_bytes(buffer[:LENGTH_BYTES], "big")
    if len(buffer) < end:
        return None
    body: dict[str, Any] = cbor2.loads(bytes(buffer[LENGTH_BYTES:end]))
    del buffer[:end]
    return body


def load(what: Load) -> dict[str, Any]:
    """The first request."""
    return asdict(what)


def infer(order: Order) -> dict[str, Any]:
    """The request to answer a question."""
    question = order.job.question
    s = question.sampling
    return {
        "op": "infer",
        "id": question.question_id,
        "text": question.text,
        "turns": [[turn.text, turn.answer] for turn in question.turns],
        "system": question.system,
        "max_tokens": order.max_tokens,
        "sampling": [s.temperature, s.top_p, s.top_k, s.min_p, s.seed],
        "thinking": order.thinking,
        "think_tokens": order.think_tokens,
        "alone": order.alone,
        "schema": question.schema,
        "tools": order.tools,
        "rounds": [[called, list(results)] for called, results in order.rounds],
        "images": list(order.images),
    }


def sampling_of(request: dict[str, Any]) -> Sampling:
    """The sampling settings of an `infer` request."""
    return Sampling(*request["sampling"])


def request_of(body: dict[str, Any]) -> Request:
    """An `infer` request as a batcher takes it."""
    return Request(
        body["id"],
        body["text"],
        body["system"],
        body["max_tokens"],
        sampling_of(body),
        body["thinking"],
        body["think_tokens"],
        body["alone"],
        body["schema"],
        tuple((asked, answered) for asked, answered in body["turns"]),
        body["tools"],
        tuple((called, tuple(results)) for called, results in body["rounds"]),
    )


def mended(body: dict[str, Any]) -> EngineMended:
    """What the engine said of damaged weights."""
    return EngineMended(body["tensor"], body["source"], body["again"])


def job_event(body: dict[str, Any]) -> JobEvent:
    """What the engine said of a job; its times are CLOCK_MONOTONIC ns."""
    job = body["id"]
    match body["event"]:
        case "started":
            return EngineStarted(job, body["at_ns"])
        case "first_token":
            return EngineFirstToken(job, body["at_ns"])
        case "wrote":
            return EngineWrote(job, body["text"])
        case "refused":
            return EngineRefused(job, body["reason"], body["detail"])
        case _:
            result = InferenceResult(
                body["text"],
                body["finish_reason"],
                body["prompt_tokens"],
                body["output_tokens"],
                body["rss_peak_bytes"],
                body["prefill_ns"],
                body["step_ns"],
                body["sequences"],
                body["thoughts"],
                body["exposed"],
            )
            return EngineDone(job, body["at_ns"], result)
