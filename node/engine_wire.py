"""What the supervisor and the engine's process say to each other: CBOR maps behind a four-byte
length.

To the engine: `load`, then any number of `infer`, and `threads` in between. From the engine:
`ready` or `bad_model`, then for each `infer`: `started`, `first_token`, `done` or `refused`. Times
are CLOCK_MONOTONIC ns.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import cbor2

from roundtrip.message import Question, Sampling

LENGTH_BYTES = 4
MAX_BYTES = 1 << 24


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


def infer(question: Question) -> dict[str, Any]:
    """The request to answer a question."""
    s = question.sampling
    return {
        "op": "infer",
        "id": question.question_id,
        "text": question.text,
        "system": question.system,
        "max_tokens": question.max_tokens,
        "sampling": [s.temperature, s.top_p, s.top_k, s.min_p, s.seed],
        "thinking": question.thinking,
    }


def sampling_of(request: dict[str, Any]) -> Sampling:
    """The sampling settings of an `infer` request."""
    return Sampling(*request["sampling"])
