"""The grammar of the JSON texts that keep to a schema, in llama.cpp's notation (GBNF). Pure.

llama.cpp's own converters drop keywords in silence, escape wrongly and grow without bound, and its
parser ends the process over some of what they make. What comes from here is without recursion,
within `MAX_SIZE`, and never has more than `MAX_WIDTH` ways to go on at once: llama.cpp tries each
of them with every token of the vocabulary. Source: grammars/README.md of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR
from typing import assert_never

from node.engine.schema import (
    FRACTION_DIGITS,
    Array,
    BadSchema,
    Either,
    Literals,
    Mapping,
    Node,
    Number,
    Object,
    Text,
    as_json,
)

MAX_SIZE = 50_000
"""Characters of literals and repeats, together."""
MAX_WIDTH = 96
"""Ways to go on at once."""
USUAL_DIGITS = 3
"""After the point of a number with bounds, at most, where there is a number with so few."""

_PREAMBLE = r"""
space ::= " "?
char ::= [^"\\\x00-\x1F\x7F\uD800-\uDFFF\U00110000-\U001FFFFF] | "\\" ["\\/bfnrt]
integer ::= "-"? whole
whole ::= "0" | [1-9] [0-9]{0,14}
number ::= integer ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?
"""
"""No hexadecimal escapes: they are never needed, and could write half a surrogate pair."""


def grammar_of(schema: Node) -> str:
    """The grammar of a schema; its root is `root`.

    Raises:
        BadSchema: it is too large.
    """
    if _width(schema) > MAX_WIDTH:
        raise BadSchema(f"more than {MAX_WIDTH} ways to go on at once", "#")
    writer = _Writer()
    writer.rules["root"] = writer.name(schema)
    return "\n".join(f"{name} ::= {rule}" for name, rule in writer.rules.items()) + _PREAMBLE


class _Writer:
    """Makes rules."""

    def __init__(self) -> None:
        self.rules: dict[str, str] = {}
        self._names: dict[Node, str] = {}
        self._size = 0

    def name(self, node: Node) -> str:
        """The rule that a node is."""
        known = self._names.get(node)
        if known is None:
            known = self._names[node] = self._rule(node)
        return known

    def _new(self, rule: str, size: int = 1) -> str:
        self._size += size
        if self._size > MAX_SIZE:
            raise BadSchema(f"larger than {MAX_SIZE} characters and repeats", "#")
        name = f"r{len(self.rules)}"
        self.rules[name] = rule
        return name

    def _rule(self, node: Node) -> str:
        match node:
            case Literals(texts):
                return self._literals(texts)
            case Number(whole, None, None):
                return "integer" if whole else "number"
            case Number():
                ways = _between(node)
                return self._new(" | ".join(ways), len(ways))
            case Text(least, most):
                repeats = _repeats("char", least, most)
                return self._new(f'"\\"" {repeats} "\\""', most or least)
            case Array(items, least, most):
                return self._list("[", self.name(items), "]", least, most)
            case Mapping(values):
                pair = self._new(f'"\\"" char* "\\":" space {self.name(values)}')
                return self._list("{", pair, "}", 0, None)
            case Object():
                return self._object(node)
            case Either(options):
                return self._new(" | ".join(self.name(option) for option in options), len(options))
            case _:
                assert_never(node)

    def _list(self, start: str, item: str, end: str, least: int, most: int | None) -> str:
        if most == 0:
            return self._new(f'"{start}{end}"')
        further = self._new(f'"," space {item}')  # a rule, for groups llama.cpp repeats less often
        more = _repeats(further, max(least - 1, 0), None if most is None else most - 1)
        some = f"{item} {more}"
        inside = some if least else f"({some})?"
        return self._new(f'"{start}" {inside} "{end}"', most or least)

    def _object(self, node: Object) -> str:
        """Rules from the last member to the first: what follows after something, or at once."""
        after = first = '"}"'
        for member in reversed(node.members):
            key = _literal(as_json(member.key))
            pair = self._new(f'{key} ":" space {self.name(member.value)}', len(member.key))
            skip_after, skip_first = ("", "") if member.required else (f" | {after}", f" | {first}")
            first = self._new(f"{pair} {after}{skip_first}")
            after = self._new(f'"," space {pair} {after}{skip_after}')
        return self._new(f'"{{" {first}')

    def _literals(self, texts: Sequence[str]) -> str:
        """One of some texts, what they begin with in common written once."""
        root = self._new("", sum(len(text) for text in texts))
        left = [(root, sorted(texts))]
        while left:
            name, group = left.pop()
            ways: list[str] = []
            for prefix, rests in _branches(group):
                if rests == [""]:
                    ways.append(_literal(prefix))
                    continue
                below = self._new("")
                left.append((below, rests))
                ways.append(f"{_literal(prefix)} {below}")
            self.rules[name] = " | ".join(ways)
        return root


def _branches(texts: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Sorted texts by what they begin with, and how each goes on."""
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(text[:1], []).append(text)
    found: list[tuple[str, list[str]]] = []
    for group in groups.values():
        length = _in_common(group[0], group[-1])
        found.append((group[0][:length], [text[length:] for text in group]))
    return found


def _in_common(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _repeats(what: str, least: int, most: int | None) -> str:
    if most is None:
        return f"{what}*" if least == 0 else f"{what}{{{least},}}"
    return f"{what}{{{least},{most}}}" if most else ""


def _literal(text: str) -> str:
    """A text as GBNF writes it."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    code = ord(character)
    if 0x20 <= code < 0x7F:
        return character
    return f"\\x{code:02X}" if code < 0x100 else f"\\U{code:08X}"


# -- numbers within bounds -------------------------------------------------------------------------


def _between(number: Number) -> list[str]:
    """Ways to write the numbers within its bounds: with few digits after the point, or with as many
    as it takes that there is one."""
    assert number.least is not None
    assert number.most is not None
    ways: list[str] = []
    for digits in range(1 if number.whole else FRACTION_DIGITS + 1):
        if digits > USUAL_DIGITS and ways:
            break
        low = int(number.least.scaleb(digits).to_integral_value(ROUND_CEILING))
        high = int(number.most.scaleb(digits).to_integral_value(ROUND_FLOOR))
        if low < 0:
            ways += _written(max(1, -high), -low, digits, "-")
        ways += _written(max(0, low), high, digits, "")
    return ways


def _written(low: int, high: int, digits: int, sign: str) -> list[str]:
    """Ways to write `low` to `high`, both at least 0, the last `digits` of them after the point."""
    ways: list[list[str]] = []
    while low <= high:
        width = max(len(str(low)), digits + 1)
        widest = len(str(high + 1)) - 1
        if low == 10 ** (width - 1) and width <= widest:  # all of one width, or several
            end = 10**widest - 1
            head = ["[1-9]", f"[0-9]{{{width - digits - 1},{widest - digits - 1}}}"]
            ways.append([*head, *_part(["[0-9]"] * digits)])
        else:
            end = min(high, 10**width - 1)
            ways += [
                [*way[: width - digits], *_part(way[width - digits :])]
                for way in _digits(f"{low:0{width}}", f"{end:0{width}}")
            ]
        low = end + 1
    return [" ".join([*([f'"{sign}"'] if sign else []), *way]) for way in ways]


def _part(digits: list[str]) -> list[str]:
    return ['"."', *digits] if digits else []


def _digits(low: str, high: str) -> list[list[str]]:
    """Ways to write the digits from `low` to `high`, which are as many; a class for each place."""
    if not low:
        return [[]]
    if low[0] == high[0]:
        return [[f'"{low[0]}"', *rest] for rest in _digits(low[1:], high[1:])]
    nines, zeros = "9" * (len(low) - 1), "0" * (len(low) - 1)
    first, last = int(low[0]), int(high[0])
    ways: list[list[str]] = []
    if low[1:] != zeros:
        ways += [[f'"{low[0]}"', *rest] for rest in _digits(low[1:], nines)]
        first += 1
    below: list[list[str]] = []
    if high[1:] != nines:
        below = [[f'"{high[0]}"', *rest] for rest in _digits(zeros, high[1:])]
        last -= 1
    if first <= last:
        ways.append(
            [f"[{first}-{last}]" if first < last else f'"{first}"', *["[0-9]"] * len(nines)]
        )
    return ways + below


# -- how many ways there are at once ---------------------------------------------------------------


def _width(node: Node) -> int:
    """No fewer than the ways in which a text may go on at any place."""
    match node:
        case Literals(texts):
            return _widest(texts)
        case Number():
            return 4 if node.least is None else len(_between(node))
        case Text():
            return 3
        case Array(items):
            return 2 + _width(items)
        case Mapping(values):
            return 2 + _width(values)
        case Object(members):
            widest = optional = 0
            for member in members:
                optional = 0 if member.required else optional + 1
                widest = max(widest, optional + 2, 2 + _width(member.value))
            return widest
        case Either(options):
            starts = [(_starts(option), _width(option)) for option in options]
            return max(
                len(starts),
                *(sum(w for begins, w in starts if c in begins) for c in '{["tfn0'),
            )
        case _:
            assert_never(node)


def _widest(texts: Sequence[str]) -> int:
    left, widest = [sorted(texts)], 1
    while left:
        branches = _branches(left.pop())
        widest = max(widest, len(branches))
        left += [rests for _, rests in branches if len(rests) > 1]
    return widest


def _starts(node: Node) -> str:
    """What its texts may begin with; `0` stands for any number."""
    match node:
        case Literals(texts):
            return "".join({"0" if text[0] in "-0123456789" else text[0] for text in texts})
        case Number():
            return "0"
        case Text():
            return '"'
        case Array():
            return "["
        case Mapping() | Object():
            return "{"
        case Either(options):
            return "".join(map(_starts, options))
        case _:
            assert_never(node)
