"""JSON Schemas that answers keep to: which keywords are kept, and what a whole answer is checked
against. Pure.

A schema is read into nodes; `grammar.py` makes of them the grammar that the model writes by. Every
keyword is either kept, or without effect (`description`), or refused by its name: none is dropped
in silence. The nodes may allow less than the schema does (no keys beside its `properties`, no
number beyond `WHOLE_LIMIT`), never more.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, assert_never
from urllib.parse import unquote

MAX_DEPTH = 32
"""Schemas within schemas."""
MAX_SCHEMAS = 2000
"""In one, each counted as often as it is referred to."""
MAX_REPEATS = 2000
"""The highest `maxLength`, `maxItems` and so on: llama.cpp makes a rule for each."""
ANY_DEPTH = 4
"""Arrays and objects within each other where a schema leaves open what comes."""
WHOLE_LIMIT = 10**15 - 1
"""Integers are at most so far from 0: a float holds them exactly."""
NUMBER_LIMIT = 10**9
FRACTION_DIGITS = 6
"""Of numbers with bounds, at most."""
_STRANGE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000|[\ud800-\udfff]")
"""In JSON, as `as_json` writes it."""
_STEP = Decimal(1).scaleb(-FRACTION_DIGITS)

_NOTES = ("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly")
_WITHOUT_EFFECT = frozenset({"$schema", "$comment", "$defs", "definitions", *_NOTES})
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_BY_TYPE: dict[str, tuple[str, ...]] = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "minItems", "maxItems"),
    "string": ("minLength", "maxLength"),
    "integer": _BOUNDS,
    "number": _BOUNDS,
    "boolean": (),
    "null": (),
}
_ALONE = ("$ref", "anyOf")
"""Keywords beside which no other that has an effect is kept."""
_KEPT = frozenset({"type", "enum", "const", *_ALONE, *(k for ks in _BY_TYPE.values() for k in ks)})


class BadSchema(ValueError):
    """A schema that cannot be kept to.

    Args:
        what: is wrong, the keyword first.
        path: where, as a JSON pointer.
    """

    def __init__(self, what: str, path: str) -> None:
        self.what = what
        self.path = path
        super().__init__(f"{what}, at {path}")


# Nodes are told apart by identity, so that `ANYTHING` is one rule wherever it stands.


@dataclass(frozen=True, slots=True, eq=False)
class Literals:
    """One of some values."""

    texts: tuple[str, ...]
    """As JSON, each once."""


@dataclass(frozen=True, slots=True, eq=False)
class Number:
    """A number, `least` and `most` included; None where any will do."""

    whole: bool
    least: Decimal | None = None
    most: Decimal | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """A string of so many characters."""

    least: int = 0
    most: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """So many items."""

    items: Node
    least: int = 0
    most: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A key of an object, and what stands there."""

    key: str
    value: Node
    required: bool


@dataclass(frozen=True, slots=True, eq=False)
class Object:
    """These members in this order."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Mapping:
    """Any keys."""

    values: Node


@dataclass(frozen=True, slots=True, eq=False)
class Either:
    """One of several; none of them an `Either`."""

    options: tuple[Node, ...]


Node = Literals | Number | Text | Array | Object | Mapping | Either


def read_schema(text: str) -> Node:
    """The schema in a JSON text.

    Raises:
        BadSchema: it is no JSON Schema, or asks for what is not kept.
    """
    try:
        document = json.loads(text, parse_constant=_no_constant)
        return _Reader(document).node(document, "#", 0)
    except BadSchema:
        raise
    except RecursionError:
        raise BadSchema("nested too deeply", "#") from None
    except ValueError as error:
        raise BadSchema(f"no JSON: {error}", "#") from None


def fault(node: Node, text: str) -> str:
    """Why a text does not keep to a schema; empty where it does."""
    try:
        value = json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return "no JSON"
    return "" if keeps(node, value) else "another value than the schema allows"


def keeps(node: Node, value: Any) -> bool:
    """Whether a value keeps to a schema; its floats may be floats or decimals."""
    match node:
        case Literals(texts):
            return as_json(value) in texts
        case Number(whole, least, most):
            kinds = (int,) if whole else (int, float, Decimal)
            return (
                type(value) in kinds
                and (least is None or value >= least)
                and (most is None or value <= most)
            )
        case Text(least, most):
            return isinstance(value, str) and _within(len(value), least, most)
        case Array(items, least, most):
            return (
                isinstance(value, list)
                and _within(len(value), least, most)
                and all(keeps(items, item) for item in value)
            )
        case Mapping(values):
            return isinstance(value, dict) and all(keeps(values, item) for item in value.values())
        case Object(members):
            return (
                isinstance(value, dict)
                and value.keys() <= {member.key for member in members}
                and all(
                    keeps(member.value, value[member.key])
                    if member.key in value
                    else not member.required
                    for member in members
                )
            )
        case Either(options):
            return any(keeps(option, value) for option in options)
        case _:
            assert_never(node)


def _within(count: int, least: int, most: int | None) -> bool:
    return least <= count and (most is None or count <= most)


def as_json(value: Any) -> str:
    """The one way in which a value is written."""
    return json.dumps(
        value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=float
    )


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def shown(name: str) -> str:
    """A name out of a schema, for one line of a message."""
    short = name if len(name) <= 40 else name[:39] + "…"
    return short if short.isprintable() else ascii(short)


_SCALARS = (Literals(("true", "false", "null")), Number(whole=False), Text())


def _anything(depth: int) -> Node:
    inner: Node = Either(_SCALARS)
    for _ in range(depth):
        inner = Either((*_SCALARS, Array(inner), Mapping(inner)))
    return inner


ANYTHING = _anything(ANY_DEPTH)
"""Any JSON value."""


class _Reader:
    """Reads one document.

    Args:
        document: where references lead.
    """

    def __init__(self, document: Any) -> None:
        self._document = document
        self._schemas = 0
        self._followed: list[str] = []
        """References that are being read."""
        self._by_type: dict[str, Callable[[dict[str, Any], str, int], Node]] = {
            "object": self._object,
            "array": self._array,
            "string": _text,
            "integer": _integer,
            "number": _number,
            "boolean": lambda *_: Literals(("true", "false")),
            "null": lambda *_: Literals(("null",)),
        }

    def node(self, schema: Any, path: str, depth: int) -> Node:
        """What a schema at `path` asks for."""
        if schema is True:
            return ANYTHING
        if not isinstance(schema, dict):
            raise BadSchema(f"{shown(as_json(schema))} is no schema that allows anything", path)
        self._schemas += 1
        if depth > MAX_DEPTH or self._schemas > MAX_SCHEMAS:
            most = f"{MAX_DEPTH} within each other" if depth > MAX_DEPTH else f"{MAX_SCHEMAS}"
            raise BadSchema(f"more schemas than {most}", path)
        keywords = [key for key in schema if key not in _WITHOUT_EFFECT]
        for key in keywords:
            if key not in _KEPT and (key != "$id" or depth):
                raise BadSchema(f"{shown(key)} is not kept", path)
        for key in _ALONE:
            if key in schema and len(keywords) > 1:
                raise BadSchema(f"{key} is kept only alone", path)
        if "$ref" in schema:
            return self._reference(schema["$ref"], path, depth)
        if "anyOf" in schema:
            options = _a("anyOf", schema["anyOf"], list, "an array", path)
            return _either(
                [
                    self.node(option, f"{path}/anyOf/{index}", depth + 1)
                    for index, option in enumerate(options)
                ],
                "anyOf",
                path,
            )
        if "enum" in schema or "const" in schema:
            return self._values(schema, path, depth)
        return self._typed(schema, path, depth)

    def _reference(self, reference: Any, path: str, depth: int) -> Node:
        target = _a("$ref", reference, str, "text", path)
        if target in self._followed:
            raise BadSchema(f"$ref {shown(target)} leads back to itself", path)
        found = self._document
        if target[:1] != "#" or target[1:2] not in ("", "/"):
            raise BadSchema(f"$ref {shown(target)} is none within the schema (#/…)", path)
        for step in target.split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                raise BadSchema(f"$ref {shown(target)} leads nowhere", path)
        self._followed.append(target)
        node = self.node(found, shown(target), depth + 1)
        self._followed.pop()
        return node

    def _values(self, schema: dict[str, Any], path: str, depth: int) -> Node:
        """The values of `enum` and `const` that the other keywords allow."""
        values = _a("enum", schema.get("enum", [schema.get("const")]), list, "an array", path)
        others = {key: schema[key] for key in schema if key not in ("enum", "const")}
        if not _WITHOUT_EFFECT.issuperset(others):
            rest = self._typed(others, path, depth)
            values = [value for value in values if keeps(rest, value)]
        texts = dict.fromkeys(as_json(value) for value in values)
        if "const" in schema:
            texts = {text: None for text in texts if text == as_json(schema["const"])}
        if not texts:
            raise BadSchema("no value is allowed", path)
        for text in texts:
            _writable(text, path)
        return Literals(tuple(texts))

    def _typed(self, schema: dict[str, Any], path: str, depth: int) -> Node:
        """What `type` and the keywords of single types ask for."""
        given = [key for key in schema if any(key in kept for kept in _BY_TYPE.values())]
        named = schema.get("type")
        if named is None:
            types = [kind for kind, kept in _BY_TYPE.items() if set(given) & set(kept)]
            if not types:
                return ANYTHING
            types = [kind for kind in types if kind != "integer"]
        else:
            types = named if isinstance(named, list) else [named]
        for kind in types:
            if not isinstance(kind, str) or kind not in _BY_TYPE:
                raise BadSchema(f"type: expected one of {', '.join(_BY_TYPE)}", path)
        for key in given:
            if not any(key in _BY_TYPE[kind] for kind in types):
                raise BadSchema(f"{key} does not go with type {', '.join(types)}", path)
        return _either([self._by_type[kind](schema, path, depth) for kind in types], "type", path)

    def _array(self, schema: dict[str, Any], path: str, depth: int) -> Node:
        least, most = _counts(schema, "minItems", "maxItems", path)
        items = self.node(schema.get("items", True), f"{path}/items", depth + 1)
        return Array(items, least, most)

    def _object(self, schema: dict[str, Any], path: str, depth: int) -> Node:
        properties = _a("properties", schema.get("properties", {}), dict, "an object", path)
        required = _a("required", schema.get("required", []), list, "an array", path)
        others = schema.get("additionalProperties", True)
        below = f"{path}/additionalProperties"
        for key in [*properties, *required]:
            _writable(as_json(_a("required", key, str, "keys", path)), path)
            if key not in properties:
                raise BadSchema(f"required: {shown(key)} is not in properties", path)
        values = None if others is False else self.node(others, below, depth + 1)
        wanted = set(required)
        if not properties and values is not None:
            return Mapping(values)
        return Object(
            tuple(
                Member(
                    key,
                    self.node(value, f"{path}/properties/{shown(key)}", depth + 1),
                    key in wanted,
                )
                for key, value in properties.items()
            )
        )


def _a(key: str, value: Any, kind: type, called: str, path: str) -> Any:
    if not isinstance(value, kind):
        raise BadSchema(f"{key}: expected {called}", path)
    return value


def _writable(text: str, path: str) -> None:
    """What is to be written must be Unicode that every consumer can read."""
    if _STRANGE.search(text):
        raise BadSchema("a string with U+0000 or half a surrogate pair", path)


def _either(nodes: list[Node], key: str, path: str) -> Node:
    flat = list(_flat(nodes))
    if not flat:
        raise BadSchema(f"{key}: expected one at least", path)
    return flat[0] if len(flat) == 1 else Either(tuple(flat))


def _flat(nodes: list[Node]) -> Iterator[Node]:
    for node in nodes:
        if isinstance(node, Either):
            yield from node.options
        else:
            yield node


def _counts(schema: dict[str, Any], low: str, high: str, path: str) -> tuple[int, int | None]:
    for key in (low, high):
        value = schema.get(key, 0)
        if type(value) is not int or not 0 <= value <= MAX_REPEATS:
            raise BadSchema(f"{key}: expected an integer from 0 to {MAX_REPEATS}", path)
    least, most = schema.get(low, 0), schema.get(high)
    if most is not None and least > most:
        raise BadSchema(f"{low} is above {high}", path)
    return least, most


def _text(schema: dict[str, Any], path: str, _: int) -> Node:
    return Text(*_counts(schema, "minLength", "maxLength", path))


def _integer(schema: dict[str, Any], path: str, _: int) -> Node:
    return _bounded(schema, path, whole=True, limit=WHOLE_LIMIT, step=Decimal(1))


def _number(schema: dict[str, Any], path: str, _: int) -> Node:
    return _bounded(schema, path, whole=False, limit=NUMBER_LIMIT, step=_STEP)


def _bounded(schema: dict[str, Any], path: str, *, whole: bool, limit: int, step: Decimal) -> Node:
    """A number whose bounds are drawn in to multiples of `step`, at most `limit` from 0."""
    if not any(key in schema for key in _BOUNDS):
        return Number(whole)
    least, most = Decimal(-limit), Decimal(limit)
    for key in _BOUNDS:
        value = schema.get(key)
        if value is None and key not in schema:
            continue
        if type(value) not in (int, float) or (isinstance(value, float) and math.isnan(value)):
            raise BadSchema(f"{key}: expected a number", path)
        assert value is not None
        bound = Decimal(repr(max(-2 * limit, min(2 * limit, value))))
        beyond = step if key.startswith("exclusive") else Decimal(0)
        if key.lower().endswith("minimum"):
            drawn = bound.quantize(step, ROUND_CEILING)
            least = max(least, drawn + (beyond if drawn == bound else 0))
        else:
            drawn = bound.quantize(step, ROUND_FLOOR)
            most = min(most, drawn - (beyond if drawn == bound else 0))
    if least > most:
        raise BadSchema("no number is within the bounds", path)
    return Number(whole, least, most)
