"""What ground and node say to each other, as CBOR in bundle payloads.

A message is a CBOR map with small integer keys (RFC 8949 deterministic encoding); key 0 is the
kind. Decoding is strict and total: unknown kinds, unknown keys, wrong types, values out of range
and trailing bytes are BadMessage. Times on the node travel as durations since `delivered`, so the
two clocks need not agree; where they do, `delivered` on the node's tells which frame of the link's
log brought the question.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import cbor2

from roundtrip.cbor import read_cbor
from roundtrip.errors import BadMessage

MAX_TEXT_BYTES = 64 * 1024
"""Longest question, system prompt or answer, in UTF-8 bytes; checked on the ground and again on the
node."""
MAX_MESSAGE_BYTES = 4 * MAX_TEXT_BYTES

MAX_VITALS = 64
DIGEST_BYTES = 32

_QUESTION, _ANSWER, _REFUSAL, _HEALTH, _PART = 1, 2, 3, 4, 5


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. Temperature 0 is greedy."""

    temperature: float = 0.7
    top_p: float = 0.8
    top_k: int = 20
    min_p: float = 0.0
    seed: int = 0


THINKING = ("off", "on", "auto")
"""`auto` thinks only where there is time for it."""
GREEDY = Sampling(temperature=0.0, top_p=1.0, top_k=0)


@dataclass(frozen=True, slots=True)
class Question:
    """One question, ground to node."""

    question_id: int
    """Unique over all runs, see `question_id`; 64 bits."""
    text: str
    system: str
    """System prompt; empty for none."""
    max_tokens: int
    sampling: Sampling
    thinking: str
    """One of `THINKING`."""
    remaining_ms: int
    """Budget left when the question was submitted."""
    think_tokens: int = 0
    """Of thinking, at most; 0: a share of what there is time for."""
    priority: int = 1
    """0 bulk, 1 normal, 2 expedited."""
    schema: str = ""
    """JSON Schema that the answer keeps to; empty for none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer, node to ground; or what is left of it after the parts that the ground has
    acknowledged."""

    question_id: int
    text: str
    finish_reason: str
    """`stop`, `length`, or `deadline` (cut short to be on time)."""
    prompt_tokens: int
    output_tokens: int
    started_us: int
    """Since delivered."""
    first_token_us: int
    """Since delivered."""
    finished_us: int
    """Since delivered."""
    delivered_us: int
    """The plan's clock then, as the node reads it, modulo `CLOCK_US`."""
    rss_peak_bytes: int
    """Peak resident memory of node and engine together; 0 where it was not measured."""
    spent_mj: int = 0
    """Energy that the engine took for it above idling, mJ; 0 without a battery."""
    start: int = 0
    """UTF-8 bytes of the answer that are in those parts."""
    digest: bytes = b""
    """SHA-256 of the whole answer; empty where all of it is here."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an answer that is still being written, node to ground."""

    question_id: int
    start: int
    """UTF-8 bytes of the answer before it."""
    text: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The node will not answer, and says why."""

    question_id: int
    reason: str
    """`queue_full`, `too_long`, `bad_schema`, `no_answer`, `no_time`, `no_contact_before_deadline`,
    `no_energy`, `quarantined`, `engine_failed`."""
    detail: str
    refused_us: int
    """Since delivered."""
    delivered_us: int
    """As in `Answer`."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the node does; None where its machine does not say."""

    rss_bytes: int | None = None
    """Resident memory of node and engine together, now."""
    major_faults: int | None = None
    """Pages that the engine had to fetch from the disk, since it started."""
    throttled_ms: int | None = None
    """Time that its CPU quota kept the engine waiting, since it started."""
    temperature_mc: int | None = None
    """Of the processor, in thousandths of a degree Celsius; may be below zero."""
    firmware_flags: int | None = None
    """`vcgencmd get_throttled` of a Raspberry Pi: bits 0 to 3 now, 16 to 19 since it was started:
    under-voltage, frequency capped, throttled, soft temperature limit."""
    power_mw: int | None = None
    """What the board draws."""
    charge_permille: int | None = None
    """Of the battery."""
    threads: int | None = None
    """Threads that heat leaves the engine; 0 while it pauses."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the node is, sent when its engine comes up; with vitals also how it does, sent as a
    beacon."""

    model: str
    quantization: str
    context: int
    threads: int
    engine_restarts: int
    vitals: Vitals | None = None


_VITALS = tuple(field.name for field in fields(Vitals))
"""Their order is their number on the wire: new ones go to the end."""

Message = Question | Answer | Part | Refusal | Health

RUN_BITS, INDEX_BITS = 40, 24

CLOCK_US = 1 << 32
"""The plan's clock travels modulo 71.6 minutes: that is four bytes, and tells frames apart."""


def clipped(text: str) -> tuple[str, bool]:
    """A text cut to what a message may carry, and whether it was cut."""
    encoded = text.encode()
    if len(encoded) <= MAX_TEXT_BYTES:
        return text, False
    return encoded[:MAX_TEXT_BYTES].decode(errors="ignore"), True


def question_id(run_id: int, index: int) -> int:
    """The id of a run's question.

    Args:
        run_id: 40 bits.
        index: 24 bits, counts the run's questions.
    """
    return (run_id << INDEX_BITS) | index


def index_of(question_id: int) -> int:
    """The index in a question's id."""
    return question_id & ((1 << INDEX_BITS) - 1)


def encode(message: Message) -> bytes:
    """The message as deterministic CBOR."""
    match message:
        case Question():
            s = message.sampling
            body: dict[int, Any] = {
                0: _QUESTION,
                1: message.question_id,
                2: message.text,
                3: message.system,
                4: message.max_tokens,
                5: [s.temperature, s.top_p, s.top_k, s.min_p, s.seed],
                6: THINKING.index(message.thinking),
                7: message.remaining_ms,
                8: message.think_tokens,
                9: message.priority,
                10: message.schema,
            }
        case Answer():
            body = {
                0: _ANSWER,
                1: message.question_id,
                2: message.text,
                3: message.finish_reason,
                4: [message.prompt_tokens, message.output_tokens],
                5: [
                    message.started_us,
                    message.first_token_us,
                    message.finished_us,
                    message.delivered_us,
                ],
                6: message.rss_peak_bytes,
                7: message.spent_mj,
            }
            if message.start:
                body[8] = [message.start, message.digest]
        case Part():
            body = {0: _PART, 1: message.question_id, 2: message.start, 3: message.text}
        case Refusal():
            body = {
                0: _REFUSAL,
                1: message.question_id,
                2: message.reason,
                3: message.detail,
                4: [message.refused_us, message.delivered_us],
            }
        case Health():
            body = {
                0: _HEALTH,
                1: message.model,
                2: message.quantization,
                3: [message.context, message.threads, message.engine_restarts],
            }
            if message.vitals is not None:
                body[4] = _packed(message.vitals)
    return cbor2.dumps(body, canonical=True)


def decode(payload: bytes) -> Message:
    """The message in `payload`.

    Raises:
        BadMessage: the bytes are no message of ours; `key` names the offset or field.
    """
    if len(payload) > MAX_MESSAGE_BYTES:
        raise BadMessage("message", "length", f"at most {MAX_MESSAGE_BYTES}", str(len(payload)))
    body = read_cbor(payload, "message")
    if not isinstance(body, dict):
        raise BadMessage("message", "offset 0", "a map", type(body).__name__)
    kind = body.get(0)
    decoder = _DECODERS.get(kind) if type(kind) is int else None
    if decoder is None:
        raise BadMessage("message", "kind", f"one of {sorted(_DECODERS)}", _shown(kind))
    return decoder(body)


def _question(body: dict[Any, Any]) -> Question:
    _exactly(body, 11)
    temperature, top_p, top_k, min_p, seed = _list(body, 5, 5)
    return Question(
        question_id=_uint(body, 1),
        text=_text(body, 2),
        system=_text(body, 3),
        max_tokens=_uint(body, 4, most=1 << 20),
        sampling=Sampling(
            temperature=_ratio("temperature", temperature, most=10.0),
            top_p=_ratio("top_p", top_p),
            top_k=_whole("top_k", top_k, most=1 << 20),
            min_p=_ratio("min_p", min_p),
            seed=_whole("seed", seed, most=(1 << 32) - 1),
        ),
        thinking=THINKING[_uint(body, 6, most=len(THINKING) - 1)],
        remaining_ms=_uint(body, 7),
        think_tokens=_uint(body, 8, most=1 << 20),
        priority=_uint(body, 9, most=2),
        schema=_text(body, 10),
    )


def _answer(body: dict[Any, Any]) -> Answer:
    _exactly(body, 9 if 8 in body else 8)
    start, digest = _list(body, 8, 2) if 8 in body else (0, b"")
    if type(digest) is not bytes or len(digest) != (DIGEST_BYTES if 8 in body else 0):
        raise BadMessage("message", "digest", f"{DIGEST_BYTES} bytes", _shown(digest))
    prompt_tokens, output_tokens = _uints(body, 4, 2)
    started_us, first_token_us, finished_us, delivered_us = _uints(body, 5, 4)
    return Answer(
        question_id=_uint(body, 1),
        text=_text(body, 2),
        finish_reason=_text(body, 3, most=64),
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        started_us=started_us,
        first_token_us=first_token_us,
        finished_us=finished_us,
        delivered_us=_whole("delivered_us", delivered_us, most=CLOCK_US - 1),
        rss_peak_bytes=_uint(body, 6),
        spent_mj=_uint(body, 7),
        start=_whole("start", start, most=MAX_TEXT_BYTES),
        digest=digest,
    )


def _part(body: dict[Any, Any]) -> Part:
    _exactly(body, 4)
    return Part(
        question_id=_uint(body, 1),
        start=_uint(body, 2, most=MAX_TEXT_BYTES),
        text=_text(body, 3),
    )


def _refusal(body: dict[Any, Any]) -> Refusal:
    _exactly(body, 5)
    refused_us, delivered_us = _uints(body, 4, 2)
    return Refusal(
        question_id=_uint(body, 1),
        reason=_text(body, 2, most=64),
        detail=_text(body, 3, most=1024),
        refused_us=refused_us,
        delivered_us=_whole("delivered_us", delivered_us, most=CLOCK_US - 1),
    )


def _packed(vitals: Vitals) -> dict[int, int]:
    """The vitals that are known, by their place in the class."""
    values = (getattr(vitals, name) for name in _VITALS)
    return {key: value for key, value in enumerate(values) if value is not None}


def _vitals(value: Any) -> Vitals:
    """Vitals that this version does not know are left out, so that a node may say more than its
    ground understands."""
    if type(value) is not dict or len(value) > MAX_VITALS:
        raise BadMessage("message", "key 4", f"a map of at most {MAX_VITALS}", _shown(value))
    known: dict[str, int] = {}
    for key, number in value.items():
        least = -(1 << 31) if key == _VITALS.index("temperature_mc") else 0
        if type(key) is not int or type(number) is not int or not least <= number < 1 << 64:
            raise BadMessage("message", "vitals", "integers by integers", _shown(number))
        if 0 <= key < len(_VITALS):
            known[_VITALS[key]] = number
    return Vitals(**known)


def _health(body: dict[Any, Any]) -> Health:
    _exactly(body, 5 if 4 in body else 4)
    context, threads, engine_restarts = _uints(body, 3, 3)
    return Health(
        model=_text(body, 1, most=256),
        quantization=_text(body, 2, most=64),
        context=context,
        threads=threads,
        engine_restarts=engine_restarts,
        vitals=_vitals(body[4]) if 4 in body else None,
    )


_DECODERS: dict[int, Callable[[dict[Any, Any]], Message]] = {
    _QUESTION: _question,
    _ANSWER: _answer,
    _PART: _part,
    _REFUSAL: _refusal,
    _HEALTH: _health,
}


def _shown(value: Any) -> str:
    """A peer's value for an error: never longer than a few words, however large the value."""
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 1 << 64):
        return repr(value)
    return type(value).__name__


def _exactly(body: dict[Any, Any], count: int) -> None:
    if len(body) != count or any(key not in body for key in range(count)):
        raise BadMessage("message", "keys", f"0 to {count - 1}", f"{len(body)} keys")


def _whole(name: str, value: Any, *, most: int = (1 << 64) - 1) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise BadMessage("message", name, f"an integer from 0 to {most}", _shown(value))
    return value


def _ratio(name: str, value: Any, *, most: float = 1.0) -> float:
    if type(value) not in (int, float) or not 0 <= value <= most:
        raise BadMessage("message", name, f"a number from 0 to {most}", _shown(value))
    return float(value)


def _uint(body: dict[Any, Any], key: int, *, most: int = (1 << 64) - 1) -> int:
    return _whole(f"key {key}", body[key], most=most)


def _list(body: dict[Any, Any], key: int, length: int) -> list[Any]:
    value = body[key]
    if type(value) is not list or len(value) != length:
        raise BadMessage("message", f"key {key}", f"an array of {length}", _shown(value))
    return value


def _uints(body: dict[Any, Any], key: int, length: int) -> list[int]:
    return [_whole(f"key {key}", value) for value in _list(body, key, length)]


def _text(body: dict[Any, Any], key: int, *, most: int = MAX_TEXT_BYTES) -> str:
    value = body[key]
    if type(value) is not str or len(value.encode()) > most:
        raise BadMessage("message", f"key {key}", f"text of at most {most} bytes", _shown(value))
    return value
