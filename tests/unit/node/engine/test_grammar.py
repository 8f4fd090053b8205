"""Grammars of schemas: by themselves, and as llama.cpp keeps to them."""

from __future__ import annotations

import functools
import itertools
import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.resolve import resolve
from node.engine.batching import Batcher, answer_all
from node.engine.grammar import MAX_SIZE, MAX_WIDTH, _digits, grammar_of
from node.engine.llama import Engine, EngineSettings
from node.engine.prefixes import Prefixes
from node.engine.requests import Done, Refused, Request
from node.engine.schema import MAX_DEPTH, MAX_REPEATS, BadSchema, fault, read_schema
from roundtrip.drive.clock import monotonic_ns
from roundtrip.message import GREEDY, Sampling

TERM = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|[a-z][a-z0-9]*|\{[^}]*\}|[(){}|?*]')


def pattern_of(schema: object) -> re.Pattern[str]:
    """A schema's grammar as a regular expression: there is no recursion in it."""
    lines = grammar_of(read_schema(json.dumps(schema))).split("\n")
    rules = dict(line.split(" ::= ") for line in lines if line)

    @functools.cache
    def expanded(term: str) -> str:
        if term in rules:
            return f"(?:{''.join(map(expanded, TERM.findall(rules[term])))})"
        if term[0] == '"':
            return f"(?:{re.escape(unescaped(term[1:-1]))})"
        return term.replace(r"\U00110000-\U001FFFFF", "")

    return re.compile(expanded("root"))


def unescaped(text: str) -> str:
    return re.sub(
        r"\\(x..|U........|.)",
        lambda found: chr(int(found[1][1:], 16)) if len(found[1]) > 1 else found[1],
        text,
    )


BOUND = st.integers(-120, 120) | st.decimals(-12, 12, places=2).map(float)


@given(BOUND, BOUND, st.sampled_from(["integer", "number"]), st.booleans())
def test_numbers_are_written_if_and_only_if_they_are_within_bounds(one, other, kind, exclusive):
    low, high = min(one, other), max(one, other)
    keys = ("exclusiveMinimum", "exclusiveMaximum") if exclusive else ("minimum", "maximum")
    schema = {"type": kind, keys[0]: low, keys[1]: high}
    try:
        node = read_schema(json.dumps(schema))
    except BadSchema:
        step = 1 if kind == "integer" else 1e-5
        assert high - low <= step * 2
        return
    pattern = pattern_of(schema)
    hundredths = range(round(low * 100) - 150, round(high * 100) + 150, 1 if high - low < 9 else 7)
    for value in hundredths:
        texts = {f"{value / 100:.2f}"}
        if value % 100 == 0:
            texts |= {str(value // 100)}
        for text in texts - {"-0.00"}:
            wanted = fault(node, text) == ""
            if kind == "integer" and "." in text:
                wanted = False
            assert bool(pattern.fullmatch(text)) == wanted, (schema, text)


@pytest.mark.parametrize(
    "schema",
    [
        {"minimum": 0}, {"maximum": 7}, {"minimum": -3.25}, {"exclusiveMinimum": 0},
        {"type": "integer", "minimum": 100}, {"type": "integer", "maximum": -5},
        {"minimum": 1e-310}, {"type": "integer", "maximum": 2**64}, {"minimum": -1e300},
    ],
)  # fmt: skip
def test_numbers_with_one_bound(schema) -> None:
    node, pattern = read_schema(json.dumps(schema)), pattern_of(schema)
    wholes = [0, 1, 5, 7, 8, 99, 100, 101, 999, 1000, 123456]
    for whole, sign in itertools.product(wholes, ("", "-")):
        if not (sign and whole == 0):
            text = f"{sign}{whole}"
            assert bool(pattern.fullmatch(text)) == (fault(node, text) == ""), text


LITERALS = [
    "",
    "a",
    "ab",
    "abc",
    "b",
    "a\nb",
    "C:\\tmp",
    "🚀",
    "é",
    '"',
    "]",
    "\x7f",
    "\\n",
    "日本",
]


def test_values_are_written_as_they_are_and_no_others() -> None:
    pattern = pattern_of({"enum": [*LITERALS, 1, 11, 1.5, None, {"k": [True]}]})
    for text in LITERALS:
        assert pattern.fullmatch(json.dumps(text, ensure_ascii=False)), text
    for text in ("1", "11", "1.5", "null", '{"k":[true]}'):
        assert pattern.fullmatch(text)
    for text in ('"abcd"', '"a', "111", '"a\nb"', '"C:\tmp"', '"n"', "5", '"\\"'):
        assert not pattern.fullmatch(text), text


def test_members_stand_in_order_and_optional_ones_may_be_missing() -> None:
    kinds = {key: {"type": "null"} for key in "abc"}
    pattern = pattern_of({"properties": kinds, "required": ["b"]})
    for keys in ("b", "ab", "bc", "abc"):
        text = "{" + ",".join(f'"{key}":null' for key in keys) + "}"
        assert pattern.fullmatch(text), text
        assert pattern.fullmatch(text.replace(":", ": ").replace(",", ", "))
    for keys in ("", "a", "ac", "ba", "bb", "abcd"):
        text = "{" + ",".join(f'"{key}":null' for key in keys) + "}"
        assert not pattern.fullmatch(text), text
    optional = pattern_of({"properties": kinds})
    assert optional.fullmatch("{}")
    assert optional.fullmatch('{"c":null}')
    assert not optional.fullmatch('{,"c":null}')


def test_counts_of_items_and_characters() -> None:
    for least, most in ((0, 0), (0, 1), (0, 3), (1, 1), (2, 3), (0, None), (1, None), (3, None)):
        bounds = {"min": least} | ({} if most is None else {"max": most})
        items = pattern_of(
            {f"{key}Items": n for key, n in bounds.items()} | {"items": {"const": 1}}
        )
        text = pattern_of({f"{key}Length": n for key, n in bounds.items()})
        for count in range(6):
            wanted = least <= count <= (9 if most is None else most)
            assert bool(items.fullmatch("[" + ",".join("1" * count) + "]")) == wanted
            assert bool(text.fullmatch('"' + "é" * count + '"')) == wanted
            assert bool(text.fullmatch('"' + "\\n" * count + '"')) == wanted


def test_a_grammar_is_bounded_in_size_and_in_ways_to_go_on() -> None:
    def bad(schema: object) -> str:
        with pytest.raises(BadSchema) as error:
            grammar_of(read_schema(json.dumps(schema)))
        return str(error.value)

    many = {f"k{index}": {"type": "string", "maxLength": MAX_REPEATS} for index in range(26)}
    assert "larger than" in bad({"properties": many, "required": list(many)})
    assert "ways to go on" in bad({"enum": [chr(0x4E00 + n) for n in range(MAX_WIDTH + 1)]})
    assert "ways to go on" in bad({"properties": {f"k{n}": {} for n in range(MAX_WIDTH)}})
    doubling: object = {"type": "null"}
    for _ in range(6):
        one = {"type": "array", "items": doubling}
        doubling = {"anyOf": [one, one]}
    assert "ways to go on" in bad(doubling)
    assert grammar_of(read_schema(json.dumps({"enum": [f"{n:03}" for n in range(900)]})))


def test_a_grammar_may_have_as_many_characters_as_it_says() -> None:
    """Those of the text, its two quotes, and nothing else."""
    for length in (MAX_SIZE - 2, MAX_SIZE - 1):
        text = json.dumps({"const": "x" * length})
        if length == MAX_SIZE - 2:
            assert grammar_of(read_schema(text))
        else:
            with pytest.raises(BadSchema, match="larger than 50000 characters"):
                grammar_of(read_schema(text))


@pytest.mark.parametrize("sign", ["", "-"])
def test_numbers_that_begin_alike_are_ways_at_the_same_place(sign: str) -> None:
    digits = {"enum": [json.loads(f"{sign}{digit}") for digit in range(1, 10)]}

    def within(*further: object) -> str:
        return grammar_of(read_schema(json.dumps({"anyOf": [digits] * 9 + [*further]})))

    count = MAX_WIDTH - 9 * 9 - 4
    more = [{"enum": list(range(100, 100 + 10 * ways, 10))} for ways in (9, count - 9 + 1)]
    fitting = [more[0], {"enum": list(range(200, 200 + 10 * (count - 9), 10))}]
    assert within({"type": "integer"}, *fitting)
    with pytest.raises(BadSchema, match="ways to go on"):
        within({"type": "integer"}, *more)


def first_letters(count: int) -> object:
    """A schema of texts that go on in so many ways."""
    return {"enum": [chr(0x4E00 + n) for n in range(count)]}


@pytest.mark.parametrize(
    ("frame", "more"),
    [
        ({"type": "array", "items": None}, 2),
        ({"type": "object", "additionalProperties": None}, 2),
        ({"type": "object", "properties": {"a": None}, "required": ["a"]}, 2),
        ({"anyOf": [None, {"type": "boolean"}]}, 0),
        ({"anyOf": [None, {"type": "string"}]}, 3),
    ],
)
def test_no_more_ways_to_go_on_are_counted_than_what_is_around_adds(frame: dict, more: int) -> None:
    def within(count: int) -> str:
        text = json.dumps(frame).replace("null", json.dumps(first_letters(count)))
        return grammar_of(read_schema(text))

    assert within(MAX_WIDTH - more)
    with pytest.raises(BadSchema, match="ways to go on"):
        within(MAX_WIDTH - more + 1)


def test_members_that_may_be_left_out_are_so_many_ways_to_go_on() -> None:
    def members(optional: int) -> str:
        keys = {f"k{n}": {"const": n} for n in range(optional)}
        table = {**keys, "last": {"const": 0}, "x": {"const": 1}}
        return grammar_of(read_schema(json.dumps({"properties": table, "required": ["last"]})))

    assert members(MAX_WIDTH - 2)
    with pytest.raises(BadSchema, match="ways to go on"):
        members(MAX_WIDTH - 1)


@pytest.fixture(scope="module")
def engine() -> Engine:
    settings = EngineSettings(context=512, threads=1, sequences=4, use_extra_bufts=False)
    return Engine(str(resolve("tiny")), settings)


def answers(engine: Engine, schema: object, draws: int = 4, **changes) -> list[Done | Refused]:
    """To a question without sense by a model without sense: only the schema gives it form."""
    batcher = Batcher(engine, prefixes=Prefixes(None, ""), clock_ns=monotonic_ns)
    known = {"text": "Well?", "system": "", "max_tokens": 200, "thinking": False}
    requests = [
        Request(
            number,
            **(known | changes),
            sampling=Sampling(1.0, 1.0, 0, 0.0, number) if number else GREEDY,
            schema=json.dumps(schema),
        )
        for number in range(draws)
    ]
    found = answer_all(batcher, requests)
    return [found[number] for number in range(draws)]


STATUS = {
    "type": "object",
    "properties": {
        "status": {"enum": ["nominal", "alarm"]},
        "volts": {"type": "number", "minimum": 22, "maximum": 29.5},
        "count": {"type": "integer", "minimum": -5, "exclusiveMaximum": 300},
        "note": {"type": "string", "maxLength": 5},
        "list": {"type": "array", "items": {"type": ["boolean", "null"]}, "maxItems": 3},
    },
    "required": ["status", "volts", "count"],
}


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": ["a\nb"]}, {"enum": ["C:\\tmp"]}, {"const": "🚀"}, {"const": "é\t\x7f\u2028日"},
        {"enum": LITERALS}, {"type": "integer", "minimum": 100, "maximum": 105}, STATUS,
        {"type": "string", "minLength": 3, "maxLength": 6}, {"type": "boolean"},
        {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 4, "maxItems": 4},
        {"anyOf": [STATUS, {"type": "null"}]}, {"type": "number", "exclusiveMinimum": 0},
    ],
)  # fmt: skip
def test_llama_cpp_writes_what_keeps_to_the_schema(engine: Engine, schema) -> None:
    node = read_schema(json.dumps(schema))
    for done in answers(engine, schema):
        assert isinstance(done, Done)
        assert done.finish_reason == "stop"
        assert fault(node, done.text) == "", done.text
        assert "\ufffd" not in done.text


@pytest.mark.parametrize("schema", [{"type": "array"}, {}, {"additionalProperties": True}])
def test_open_schemas_are_not_deep_and_closed_when_cut(engine: Engine, schema) -> None:
    for done in answers(engine, schema, max_tokens=60):
        assert isinstance(done, Done)
        json.loads(done.text)


LARGEST = {
    "long": {"type": "string", "maxLength": MAX_REPEATS},
    "least": {"type": "string", "minLength": MAX_REPEATS},
    "items": {"minItems": MAX_REPEATS, "items": {"type": "string", "maxLength": 500}},
    "texts": {"enum": ["x" * 2000 + chr(97 + n) * 100 for n in range(20)]},
    "chain": {"enum": ["1" * n for n in range(1, 300)]},
    "keys": {"properties": {f"k{n}": {"const": n} for n in range(MAX_WIDTH - 6)}},
    "required": {
        "properties": {f"k{n}": {"type": "null"} for n in range(900)},
        "required": [f"k{n}" for n in range(900)],
    },
    "numbers": {"anyOf": [{"minimum": -n, "maximum": n + 0.5} for n in (7, 30)]},
}


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_grammars_are_read_and_kept_to_quickly(engine: Engine, name) -> None:
    begin = time.process_time()
    for done in answers(engine, LARGEST[name], draws=2, max_tokens=12):
        assert isinstance(done, Done)
    assert time.process_time() - begin < 5


def test_the_deepest_schema(engine: Engine) -> None:
    schema: object = {"const": 1}
    for level in range(MAX_DEPTH):
        schema = {"items": schema, "minItems": 1, "maxItems": 1} if level % 2 else {
            "properties": {"k": schema}, "required": ["k"]
        }  # fmt: skip
    (done,) = answers(engine, schema, draws=1)
    assert isinstance(done, Done)
    assert fault(read_schema(json.dumps(schema)), done.text) == ""


def test_ranges_of_digits_are_written_short() -> None:
    assert _digits("10", "29") == [["[1-2]", "[0-9]"]]
    assert _digits("10", "28") == [['"1"', "[0-9]"], ['"2"', "[0-8]"]]
    assert _digits("11", "29") == [['"1"', "[1-9]"], ['"2"', "[0-9]"]]
