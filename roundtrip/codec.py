"""Messages as bytes: what is the default, or known to the peer, is left out.

The first byte has the kind (3 bits) and flags (5); integers are SDNVs (RFC 5326 §2.2), shortest
form, where no size is given. A text is last, packed or not, and ends with the message.

question     settings' name (4 bytes, or their length and CBOR), question, ms less than 120 s left
             (or left, flag), text; flags: packed, priority (2 bits), settings, left. Priority 3
             is none: a byte with priority and flags (after, turns) follows, and before the text
             [how many questions ago], [how many turns, and of each text and answer, with twice
             their length, plus 1 where packed]
answer       question, delivered (4 bytes, us), queued, to first token and to last (0.1 ms), tokens
             of prompt and answer, peak memory (MiB), [mJ], [start, digest (8 bytes)], text; flags:
             packed, finish reason (2 bits), rest, energy. Finish reason 3 is none: a byte with it
             and flags (thoughts, exposed, seen, called, model) follows, and before the text [the
             thoughts, as turns are], [how many things were seen, and of each its place among what
             was asked for, its age (ms), its size, its digest (4 bytes)], [until the last tool had
             answered (0.1 ms)], [which model, 2 bytes of its SHA-256]
part         question, start, text; flags: packed
refusal      question, delivered (4 bytes, us), until refused (0.1 ms), reason (1 byte), detail;
             flags: packed
health       CBOR; flags: with vitals
unreadable   question; flags: what
cancel       question

A question is its run (4 bytes) and its index. Decoding is strict and total: whatever is not exactly
one message is BadMessage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import cbor2

from dtn.ltp.sdnv import encode_sdnv
from roundtrip.bulk.wire import Bulk
from roundtrip.bulk.wire import decode as decode_bulk
from roundtrip.cbor import read_cbor
from roundtrip.errors import BadMessage, OtherRelease
from roundtrip.message import (
    DIGEST_BYTES,
    DIGEST_HEX,
    FINISH_REASONS,
    INDEX_BITS,
    MAX_MESSAGE_BYTES,
    MAX_SEE,
    MAX_SIGHTS,
    MAX_TEXT_BYTES,
    MODEL_BYTES,
    NAME_BYTES,
    REASONS,
    RUN_BITS,
    SIGHT_BYTES,
    TICK_US,
    UNREADABLE,
    Answer,
    Asked,
    Cancel,
    Health,
    Part,
    Question,
    Received,
    Refusal,
    Sent,
    Settings,
    Sight,
    Turn,
    Unreadable,
    Vitals,
    index_of,
)
from roundtrip.reading import PACKED, Reader
from roundtrip.settings import (
    Texts,
    decode_settings,
    encode_settings,
    ids,
    name_of,
    shown,
    whole,
    word,
)
from roundtrip.text.packing import pack, unpack

_QUESTION, _ANSWER, _PART, _REFUSAL, _HEALTH, _OLD, _UNREADABLE, _CANCEL = range(8)
"""`_OLD` is how the maps begin that the release before this one sent."""
_FLAGS = 5
_UPLOAD = 1
"""With the number of a cancel: it is of an upload."""
USUAL_MS = 120_000
_WITH_SETTINGS, _LEFT, _REST, _ENERGY = 8, 16, 8, 16
_LONGER, _AFTER, _TURNS = 3, 4, 8
_THOUGHTS, _EXPOSED, _SEEN, _CALLED, _MODEL = 4, 8, 16, 32, 64
_MIB = 1 << 20
MAX_VITALS = 64
_MAX_DETAIL = 1024
_VITALS = tuple(field.name for field in fields(Vitals))
"""Their order is their number on the wire: new ones go to the end."""


def encode(
    message: Sent,
    *,
    texts: Texts = None,
    named: bool = False,
    continued: bool = False,
    unpacks: tuple[int, ...] | None = None,
) -> bytes:
    """The message as bytes.

    Args:
        texts: how the other end can unpack texts; () for not at all.
        named: of a question: the other end has its settings, their name will do.
        continued: of a question: the other end has the one that it comes after, and its turns.
        unpacks: how this end can unpack texts, which goes along with settings.

    Raises:
        ValueError: a number does not fit, or a word is none of those known.
    """
    match message:
        case Question():
            settings = None if named else replace(message.settings, texts=unpacks)
            turns = () if continued and message.after is not None else message.turns
            return _of_question(message, settings, turns, texts)
        case Answer():
            return _of_answer(message, texts)
        case Part():
            flag, text = _packed(message.text, texts)
            start = encode_sdnv(message.start)
            return _first(_PART, flag) + _id(message.question_id) + start + text
        case Refusal():
            flag, text = _packed(message.detail, texts)
            return b"".join(
                (
                    _first(_REFUSAL, flag),
                    _id(message.question_id),
                    message.delivered_us.to_bytes(4, "big"),
                    encode_sdnv(message.refused_us // TICK_US),
                    bytes((REASONS.index(message.reason),)),
                    text,
                )
            )
        case Health():
            return _of_health(message)
        case Unreadable():
            what = UNREADABLE.index(message.what)
            return _first(_UNREADABLE, what) + _id(message.question_id)
        case Cancel():
            return _first(_CANCEL, 0) + _id(message.question_id)


def _of_question(
    question: Question, settings: Settings | None, turns: Sequence[Turn], texts: Texts
) -> bytes:
    flag, text = _packed(question.text, texts)
    used_ms = USUAL_MS - question.remaining_ms
    left = not 0 <= used_ms < USUAL_MS
    longer, said = _of_turns(question, turns, texts)
    flags = flag | (_LONGER if longer else question.priority) << 1 | left * _LEFT
    if settings is None:
        told = name_of(question.settings)
    else:
        whole = encode_settings(settings, texts)
        told = encode_sdnv(len(whole)) + whole
        flags |= _WITH_SETTINGS
    return b"".join(
        (
            _first(_QUESTION, flags),
            longer,
            told,
            _id(question.question_id),
            encode_sdnv(question.remaining_ms if left else used_ms),
            said,
            text,
        )
    )


def _of_turns(question: Question, turns: Sequence[Turn], texts: Texts) -> tuple[bytes, bytes]:
    """The second byte of a question in a conversation, and what was said; nothing of another."""
    parts, flags = [], question.priority
    if question.after is not None:
        flags |= _AFTER
        parts.append(encode_sdnv(question.question_id - question.after))
    if turns:
        flags |= _TURNS
        parts.append(encode_sdnv(len(turns)))
        parts += [_sized(text, texts) for turn in turns for text in (turn.text, turn.answer)]
    return (bytes((flags,)), b"".join(parts)) if parts else (b"", b"")


def _of_answer(answer: Answer, texts: Texts) -> bytes:
    flag, text = _packed(answer.text, texts)
    rest, energy, longer = bool(answer.start), bool(answer.spent_mj), b""
    reason = FINISH_REASONS.index(answer.finish_reason)
    more = (_THOUGHTS if answer.thoughts else 0) | answer.exposed * _EXPOSED
    more |= (_SEEN if answer.seen else 0) | (_CALLED if answer.called_us is not None else 0)
    more |= _MODEL if answer.model else 0
    if more:
        reason, longer = _LONGER, bytes((reason | more,))
    flags = flag | reason << 1 | rest * _REST | energy * _ENERGY
    stamps = (0, answer.started_us, answer.first_token_us, answer.finished_us)
    ticks = [stamp // TICK_US for stamp in stamps]
    numbers = [
        *(after - before for before, after in pairwise(ticks)),
        answer.prompt_tokens,
        answer.output_tokens,
        -(-answer.rss_peak_bytes // _MIB),
    ]
    numbers += [answer.spent_mj] if energy else []
    numbers += [answer.start] if rest else []
    return b"".join(
        (
            _first(_ANSWER, flags),
            longer,
            _id(answer.question_id),
            answer.delivered_us.to_bytes(4, "big"),
            *map(encode_sdnv, numbers),
            answer.digest,
            *([_sized(answer.thoughts, texts)] if answer.thoughts else []),
            *([_of_sights(answer.seen)] if answer.seen else []),
            *([] if answer.called_us is None else [encode_sdnv(answer.called_us // TICK_US)]),
            answer.model,
            text,
        )
    )


def _of_sights(seen: Sequence[Sight]) -> bytes:
    numbers = [len(seen)] + [n for one in seen for n in (one.what, one.age_ms, one.size)]
    return b"".join((*map(encode_sdnv, numbers), *(one.digest for one in seen)))


def _of_health(health: Health) -> bytes:
    body: list[Any] = [
        health.model,
        health.quantization,
        health.context,
        health.threads,
        health.engine_restarts,
        list(health.texts),
        bytes.fromhex(health.sha256),
    ]
    if health.vitals is not None:
        values = (getattr(health.vitals, name) for name in _VITALS)
        body.append({key: value for key, value in enumerate(values) if value is not None})
    return _first(_HEALTH, health.vitals is not None) + cbor2.dumps(body, canonical=True)


def _sized(text: str, texts: Texts) -> bytes:
    """A text behind twice its length, plus 1 where it is packed."""
    flag, value = _packed(text, texts)
    return encode_sdnv(len(value) << 1 | flag) + value


def _first(kind: int, flags: int) -> bytes:
    return bytes((kind << _FLAGS | flags,))


def _id(of: int) -> bytes:
    return (of >> INDEX_BITS).to_bytes(RUN_BITS // 8, "big") + encode_sdnv(index_of(of))


def _packed(text: str, texts: Texts) -> tuple[int, bytes]:
    value = pack(text, texts)
    return (PACKED, value) if isinstance(value, bytes) else (0, value.encode())


def decode(payload: bytes) -> Received | Bulk:
    """The message in `payload`.

    Raises:
        OtherRelease: the other end is of one that writes them otherwise.
        UnknownDictionary: it has a text that this end cannot unpack.
        BadMessage: the bytes are no message of ours; `key` names the offset or field.
    """
    if len(payload) > MAX_MESSAGE_BYTES:
        raise BadMessage("message", "length", f"at most {MAX_MESSAGE_BYTES}", str(len(payload)))
    reader = Reader(payload)
    first = reader.take(1)[0]
    kind, flags = first >> _FLAGS, first & (1 << _FLAGS) - 1
    if kind == _OLD:
        raise OtherRelease
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise BadMessage("message", "kind", f"one of {sorted(_DECODERS)}", str(kind))
    return decoder(flags, reader)


def question_in(payload: bytes) -> Question:
    """The question in a payload that has its settings with it.

    Raises:
        BadMessage: there is none.
    """
    asked = decode(payload)
    if not isinstance(asked, Asked) or asked.settings is None:
        raise BadMessage("message", "kind", "a question with its settings", type(asked).__name__)
    return asked.question(asked.settings)


def _flags(flags: int, allowed: int) -> None:
    if flags & ~allowed:
        raise BadMessage("message", "flags", f"within {allowed:#x}", f"{flags:#x}")


def _question(flags: int, reader: Reader) -> Asked:
    priority, longer = flags >> 1 & 3, 0
    if priority == _LONGER:
        longer = reader.take(1)[0]
        priority, longer = longer & 3, longer & ~3
        if longer & ~(_AFTER | _TURNS) or not longer:
            raise BadMessage("message", "flags", f"within {_AFTER | _TURNS:#x}", f"{longer:#x}")
    if priority > 2:
        raise BadMessage("message", "priority", "at most 2", str(priority))
    settings = None
    if flags & _WITH_SETTINGS:
        settings = decode_settings(reader.take(reader.number(MAX_MESSAGE_BYTES)))
        name = name_of(settings)
    else:
        name = reader.take(NAME_BYTES)
    asked = reader.question_id()
    left_ms = reader.number() if flags & _LEFT else USUAL_MS - reader.number(USUAL_MS - 1)
    if flags & _LEFT and 0 < left_ms <= USUAL_MS:
        raise reader.bad("what is used of 120 s", f"{left_ms} ms left")
    after = reader.earlier(asked) if longer & _AFTER else None
    values = reader.turns() if longer & _TURNS else ()
    return Asked(asked, name, settings, reader.value(flags), left_ms, priority, values, after)


def _answer(flags: int, reader: Reader) -> Answer:
    reason, more = flags >> 1 & 3, 0
    if reason == _LONGER:
        reason = reader.take(1)[0]
        more = reason & (_THOUGHTS | _EXPOSED | _SEEN | _CALLED | _MODEL)
        reason = reason ^ more if more else _LONGER
    finish_reason = word(FINISH_REASONS, reason, "finish reason")
    asked = reader.question_id()
    delivered_us = int.from_bytes(reader.take(4), "big")
    queued, prefill, decoding = (reader.number(1 << 40) for _ in range(3))
    prompt_tokens, output_tokens, rss_mib = (reader.number(1 << 32) for _ in range(3))
    spent_mj = reader.number() if flags & _ENERGY else 0
    start = reader.number(MAX_TEXT_BYTES) if flags & _REST else 0
    if (flags & _ENERGY and not spent_mj) or (flags & _REST and not start):
        raise reader.bad("a number above 0 where a flag announces it", "0")
    digest = reader.take(DIGEST_BYTES) if flags & _REST else b""
    thoughts = unpack(reader.sized(), MAX_TEXT_BYTES) if more & _THOUGHTS else ""
    if more & _THOUGHTS and not thoughts:
        raise reader.bad("thoughts", "none")
    seen = _sights(reader) if more & _SEEN else ()
    called = reader.number(queued + prefill) if more & _CALLED else None
    if called is not None and called < queued:
        raise reader.bad("tools that answer after the engine began", str(called * TICK_US))
    model = reader.take(MODEL_BYTES) if more & _MODEL else b""
    return Answer(
        asked,
        reader.text(flags),
        finish_reason,
        prompt_tokens,
        output_tokens,
        started_us=queued * TICK_US,
        first_token_us=(queued + prefill) * TICK_US,
        finished_us=(queued + prefill + decoding) * TICK_US,
        delivered_us=delivered_us,
        rss_peak_bytes=rss_mib * _MIB,
        spent_mj=spent_mj,
        start=start,
        digest=digest,
        thoughts=thoughts,
        exposed=bool(more & _EXPOSED),
        seen=seen,
        called_us=None if called is None else called * TICK_US,
        model=model,
    )


def _sights(reader: Reader) -> tuple[Sight, ...]:
    count = reader.number(MAX_SIGHTS)
    if not count:
        raise reader.bad("a number above 0 where a flag announces it", "0")
    numbers = [
        (reader.number(2 * MAX_SEE), reader.number(1 << 48), reader.number(1 << 40))
        for _ in range(count)
    ]
    return tuple(
        Sight(what, age_ms, reader.take(SIGHT_BYTES), size) for what, age_ms, size in numbers
    )


def _part(flags: int, reader: Reader) -> Part:
    _flags(flags, PACKED)
    return Part(reader.question_id(), reader.number(MAX_TEXT_BYTES), reader.text(flags))


def _refusal(flags: int, reader: Reader) -> Refusal:
    _flags(flags, PACKED)
    asked = reader.question_id()
    delivered_us = int.from_bytes(reader.take(4), "big")
    refused_us = reader.number(1 << 40) * TICK_US
    reason = word(REASONS, reader.take(1)[0], "reason")
    return Refusal(asked, reason, reader.text(flags, _MAX_DETAIL), refused_us, delivered_us)


def _health(flags: int, reader: Reader) -> Health:
    _flags(flags, 1)
    body = read_cbor(reader.rest(), "health")
    if type(body) is not list or len(body) != 7 + flags:
        raise BadMessage("health", "", f"an array of {7 + flags}", shown(body))
    if type(body[6]) is not bytes or len(body[6]) not in (0, DIGEST_HEX // 2):
        raise BadMessage("health", "sha256", f"{DIGEST_HEX // 2} bytes or none", shown(body[6]))
    return Health(
        _short("model", body[0], 256),
        _short("quantization", body[1], 64),
        whole("context", body[2]),
        whole("threads", body[3]),
        whole("engine_restarts", body[4]),
        _vitals(body[7]) if flags else None,
        ids("health", body[5]),
        body[6].hex(),
    )


def _vitals(value: Any) -> Vitals:
    """Vitals that this version does not know are left out, so that a node may say more than its
    ground understands."""
    if type(value) is not dict or len(value) > MAX_VITALS:
        raise BadMessage("health", "vitals", f"a map of at most {MAX_VITALS}", shown(value))
    known: dict[str, int] = {}
    for key, number in value.items():
        least = -(1 << 31) if key == _VITALS.index("temperature_mc") else 0
        if type(key) is not int or type(number) is not int or not least <= number < 1 << 64:
            raise BadMessage("health", "vitals", "integers by integers", shown(number))
        if 0 <= key < len(_VITALS):
            known[_VITALS[key]] = number
    return Vitals(**known)


def _unreadable(flags: int, reader: Reader) -> Unreadable:
    what = word(UNREADABLE, flags, "what is unreadable")
    found = Unreadable(reader.question_id(), what)
    reader.done()
    return found


def _cancel(flags: int, reader: Reader) -> Cancel | Bulk:
    _flags(flags, _UPLOAD)
    if flags:
        return decode_bulk(reader)
    found = Cancel(reader.question_id())
    reader.done()
    return found


_DECODERS: dict[int, Callable[[int, Reader], Received | Bulk]] = {
    _QUESTION: _question,
    _ANSWER: _answer,
    _PART: _part,
    _REFUSAL: _refusal,
    _HEALTH: _health,
    _UNREADABLE: _unreadable,
    _CANCEL: _cancel,
}


def _short(name: str, value: Any, most: int) -> str:
    if type(value) is not str or len(value.encode()) > most:
        raise BadMessage("health", name, f"text of at most {most} bytes", shown(value))
    return value
