"""Changes to files as people, editors and disks make them: the same for the same random stream."""

from __future__ import annotations

import json
import random
import re
import tomllib
from collections.abc import Callable
from typing import Any

import tomli_w

NUMBERS = (
    "0", "-0", "-1", "1", "2", "1e-10", "1e-300", "5e-324", "1e-9", "1e-6", "0.001", "0.5",
    "0.999999", "63", "64", "65", "1e3", "1e6", "1e9", "1e12", "1e300", "1e308", "inf", "-inf",
    "nan", "true", "false", "9" * 20, "9" * 5000, "0x7fffffffffffffff", "9223372036854775807",
    "9223372036854775808", "-9223372036854775808", "20260601", "2026-06-01", "0001-01-01",
    "9999-12-31T23:59:59Z", "1979-05-27T07:32:00+14:00", "07:32:00", '""', '"x"', "[]", "{}",
    "[[]]", "null", '"\\u0000"', '"a\\nb"', '"../../x"', '"\\ud800"', "[1, 2]", "1_0",
)  # fmt: skip
ODD = (
    "\ufeff", "\xa0", "\u2028", "\x00", "\x7f", "\r", "\t", "\n", "é", "\U0001f6f0", "O", "l", "٣",
    "²", "\u202e", '"', "'", '"""', "\\", "#", "[", "]", "{", "}", "=", ".", ",", "..", "/",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    0, -1, 1, 2, 0.5, 1e-10, 5e-324, 1e-3, 1e6, 1e9, 1e300, 2**31, 2**63, 2**64, 10**30, True, "",
    "x", "builtin", "deadline", "both", "silent", "../x", "a\nb", "\0", "é" * 40, "2026-06-01", [],
    {}, [0], [[1, 2]], {"a": 1}, {"1": 2}, float("inf"), float("nan"),
)  # fmt: skip
NUMBER = re.compile(r"(?<![\w.])[+-]?\d[\d_]*(\.\d+)?([eE][+-]?\d+)?(?![\w.])")


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A file after one to four changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4))):
        data = rng.choice(_CHANGES)(data, rng)
    return data


def _flip(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return b"\x00"
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _cut_out(data: bytes, rng: random.Random) -> bytes:
    a = rng.randrange(len(data) + 1)
    return data[:a] + data[a + rng.randrange(1, 30) :]


def _lines(change: Callable[[list[bytes], random.Random], None]) -> Callable[..., bytes]:
    def changed(data: bytes, rng: random.Random) -> bytes:
        lines = data.split(b"\n")
        change(lines, rng)
        return b"\n".join(lines)

    return changed


@_lines
def _swap(lines: list[bytes], rng: random.Random) -> None:
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]


@_lines
def _double(lines: list[bytes], rng: random.Random) -> None:
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))


@_lines
def _drop(lines: list[bytes], rng: random.Random) -> None:
    del lines[rng.randrange(len(lines))]


def _number(data: bytes, rng: random.Random) -> bytes:
    text = data.decode(errors="surrogateescape")
    found = list(NUMBER.finditer(text))
    if not found:
        return data
    one = rng.choice(found)
    new = rng.choice(NUMBERS)
    return (text[: one.start()] + new + text[one.end() :]).encode(errors="surrogateescape")


def _value(data: bytes, rng: random.Random) -> bytes:
    """Whatever follows an equals sign or a colon."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    key, sign, _ = lines[at].partition(rng.choice((b"=", b":")))
    if sign:
        lines[at] = key + sign + b" " + rng.choice(NUMBERS).encode()
    return b"\n".join(lines)


def _leaf(data: bytes, rng: random.Random) -> bytes:
    """One value of a TOML file, or of a JSON text or line in it, for another; the rest stays
    right."""
    if rng.random() < 0.5:
        table = _parsed(lambda: tomllib.loads(data.decode()))
        return data if table is None else tomli_w.dumps(_with_another(table, rng)).encode()
    pieces = re.split(rb"(\n\x1e\n|\n(?=[{]))", data)
    at = rng.randrange(0, len(pieces), 2)
    value = _parsed(lambda: json.loads(pieces[at]))
    if value is not None:
        pieces[at] = json.dumps(_with_another(value, rng)).encode()
    return b"".join(pieces)


def _parsed(parse: Callable[[], Any]) -> dict[str, Any] | None:
    try:
        value = parse()
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and value else None


def _with_another(table: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    at: Any = table
    while True:
        key = rng.choice(list(at) if isinstance(at, dict) else range(len(at)))
        if not (isinstance(at[key], dict | list) and at[key]) or rng.random() < 0.1:
            break
        at = at[key]
    match rng.randrange(6):
        case 0:
            del at[key]
        case 1 if isinstance(at, dict):
            at[f"{key}x"] = at[key]
        case _:
            at[key] = rng.choice(VALUES)
    return table


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(ODD).encode() * rng.choice((1, 1, 1, 2, 50)) + data[at:]


def _replace(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + rng.choice(ODD).encode() + data[at + 1 :]


_CHANGES = (
    _flip, _cut, _cut_out, _swap, _double, _drop, _insert, _replace, _value, _value, _number,
    _number, _number, _leaf, _leaf, _leaf, _leaf,
)  # fmt: skip
