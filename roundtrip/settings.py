"""What many questions have in common, as bytes and by name: CBOR that leaves out what is usual.

A map: 0 system prompt, 1 schema, 2 most tokens, 3 temperature, top_p, top_k and min_p, 4 seed,
5 thinking, 6 tokens of thinking, 7 how the ground can unpack texts, 8 whether the thoughts are to
come down, 9 what the model is to see, 10 what it may call. Decoding is strict and total.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache
from typing import Any

import cbor2

from roundtrip.cbor import read_cbor
from roundtrip.errors import BadMessage
from roundtrip.message import (
    MAX_NAME_BYTES,
    MAX_SEE,
    MAX_TEXT_BYTES,
    NAME_BYTES,
    THINKING,
    Sampling,
    Settings,
)
from roundtrip.text.packing import pack, unpack

_MAX_TOKENS = 1 << 20
_THOUGHTS, _SEE, _TOOLS = 8, 9, 10
_DEFAULTS = Settings("", "", 256, Sampling(), "off", 0)
Texts = Collection[int] | None
"""How the other end can unpack texts; None for as this one can."""


@lru_cache(maxsize=256)
def name_of(settings: Settings) -> bytes:
    """The short name of settings: a hash. How they were packed does not count."""
    whole = encode_settings(replace(settings, texts=None), ())
    return hashlib.sha256(whole).digest()[:NAME_BYTES]


def encode_settings(settings: Settings, texts: Texts) -> bytes:
    """Settings as bytes.

    Args:
        texts: how the other end can unpack texts.
    """
    s = settings.sampling
    body: dict[int, Any] = {
        0: pack(settings.system, texts),
        1: pack(settings.schema, texts),
        2: settings.max_tokens,
        3: [s.temperature, s.top_p, s.top_k, s.min_p],
        4: s.seed,
        5: THINKING.index(settings.thinking),
        6: settings.think_tokens,
    }
    usual = dict(zip(body, _DEFAULT_BODY, strict=True))
    body = {key: value for key, value in body.items() if value != usual[key]}
    if settings.texts is not None:
        body[7] = list(settings.texts)
    if settings.thoughts:
        body[_THOUGHTS] = True
    body |= {
        key: list(names) for key, names in ((_SEE, settings.see), (_TOOLS, settings.tools)) if names
    }
    return cbor2.dumps(body, canonical=True)


def decode_settings(data: bytes) -> Settings:
    """The settings in some bytes.

    Raises:
        UnknownDictionary: they have a text that this end cannot unpack.
        BadMessage: the bytes are no settings; `key` names the field.
    """
    body = read_cbor(data, "settings")
    if type(body) is not dict or any(
        type(key) is not int or not 0 <= key <= _TOOLS for key in body
    ):
        raise BadMessage("settings", "keys", f"a map with keys from 0 to {_TOOLS}", shown(body))
    system, schema, max_tokens, sampling, seed, thinking, think_tokens = (
        body.get(key, usual) for key, usual in enumerate(_DEFAULT_BODY)
    )
    thoughts = body.get(_THOUGHTS, False)
    if type(thoughts) is not bool:
        raise BadMessage("settings", "thoughts", "true or false", shown(thoughts))
    texts = body.get(7)
    if texts is not None:
        texts = ids("settings", texts)
    if type(sampling) is not list or len(sampling) != 4:
        raise BadMessage("settings", "key 3", "an array of 4", shown(sampling))
    temperature, top_p, top_k, min_p = sampling
    return Settings(
        _unpacked("system", system),
        _unpacked("schema", schema),
        whole("max_tokens", max_tokens, most=_MAX_TOKENS),
        Sampling(
            temperature=_ratio("temperature", temperature, most=10.0),
            top_p=_ratio("top_p", top_p),
            top_k=whole("top_k", top_k, most=1 << 20),
            min_p=_ratio("min_p", min_p),
            seed=whole("seed", seed, most=(1 << 32) - 1),
        ),
        word(THINKING, whole("thinking", thinking, most=len(THINKING) - 1), "thinking"),
        whole("think_tokens", think_tokens, most=_MAX_TOKENS),
        texts,
        thoughts,
        _names("see", body.get(_SEE, [])),
        _names("tools", body.get(_TOOLS, [])),
    )


def _names(name: str, value: Any) -> tuple[str, ...]:
    if type(value) is not list or len(value) > MAX_SEE:
        raise BadMessage("settings", name, f"an array of at most {MAX_SEE}", shown(value))
    if any(type(one) is not str or not 0 < len(one.encode()) <= MAX_NAME_BYTES for one in value):
        raise BadMessage("settings", name, f"texts of 1 to {MAX_NAME_BYTES} bytes", shown(value))
    return tuple(value)


_DEFAULT_BODY: tuple[Any, ...] = (
    _DEFAULTS.system,
    _DEFAULTS.schema,
    _DEFAULTS.max_tokens,
    [
        _DEFAULTS.sampling.temperature,
        _DEFAULTS.sampling.top_p,
        _DEFAULTS.sampling.top_k,
        _DEFAULTS.sampling.min_p,
    ],
    _DEFAULTS.sampling.seed,
    THINKING.index(_DEFAULTS.thinking),
    _DEFAULTS.think_tokens,
)
"""By key."""


def shown(value: Any) -> str:
    """A peer's value for an error: never longer than a few words, however large the value."""
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 1 << 64):
        return repr(value)
    return type(value).__name__


def whole(name: str, value: Any, *, most: int = (1 << 64) - 1) -> int:
    """A peer's integer.

    Raises:
        BadMessage: it is none, or out of range.
    """
    if type(value) is not int or not 0 <= value <= most:
        raise BadMessage("message", name, f"an integer from 0 to {most}", shown(value))
    return value


def _ratio(name: str, value: Any, *, most: float = 1.0) -> float:
    if type(value) not in (int, float) or not 0 <= value <= most:
        raise BadMessage("message", name, f"a number from 0 to {most}", shown(value))
    return float(value)


def _unpacked(name: str, value: Any) -> str:
    if type(value) not in (str, bytes):
        raise BadMessage("settings", name, "a text", shown(value))
    return unpack(value, MAX_TEXT_BYTES)


def word(words: tuple[str, ...], place: int, what: str) -> str:
    """The word with a number.

    Raises:
        BadMessage: there is none.
    """
    if place >= len(words):
        raise BadMessage("message", what, f"at most {len(words) - 1}", str(place))
    return words[place]


def ids(where: str, value: Any) -> tuple[int, ...]:
    """How a peer can unpack texts.

    Raises:
        BadMessage: the value does not say so.
    """
    if type(value) is not list or len(value) > 16:
        raise BadMessage(where, "texts", "an array of at most 16", shown(value))
    return tuple(whole("texts", one, most=255) for one in value)
