"""Which schemas are kept, and what a whole answer is checked against."""

from __future__ import annotations

import json

import pytest

from node.engine.schema import (
    MAX_DEPTH,
    MAX_REPEATS,
    MAX_SCHEMAS,
    NUMBER_LIMIT,
    BadSchema,
    Literals,
    fault,
    read_schema,
    shown,
)


def refusal(schema: object) -> str:
    """Why a schema is refused; empty where it is not."""
    text = schema if isinstance(schema, str) else json.dumps(schema)
    try:
        read_schema(text)
    except BadSchema as error:
        message = str(error)
        assert message.isprintable()
        assert len(message.encode()) < 400
        return message
    return ""


@pytest.mark.parametrize(
    "keyword",
    [
        "pattern", "format", "multipleOf", "uniqueItems", "contains", "minContains", "prefixItems",
        "additionalItems", "unevaluatedItems", "minProperties", "maxProperties", "propertyNames",
        "patternProperties", "dependentRequired", "dependencies", "if", "then", "else", "not",
        "oneOf", "allOf", "$dynamicRef", "$anchor", "contentEncoding", "nullable", "nonsense",
    ],
)  # fmt: skip
def test_a_keyword_that_is_not_kept_is_named_with_its_place(keyword) -> None:
    inner = {keyword: {}}
    assert refusal(inner) == f"{keyword} is not kept, at #"
    for outer, path in (
        ({"type": "object", "properties": {"a": inner}}, "#/properties/a"),
        ({"type": "array", "items": inner}, "#/items"),
        ({"additionalProperties": inner}, "#/additionalProperties"),
        ({"properties": {"b": {}}, "additionalProperties": inner}, "#/additionalProperties"),
        ({"anyOf": [{"type": "null"}, inner]}, "#/anyOf/1"),
        ({"$ref": "#/$defs/x", "$defs": {"x": inner}}, "#/$defs/x"),
        ({"enum": [1], **inner}, "#"),
    ):
        assert refusal(outer) == f"{keyword} is not kept, at {path}"


@pytest.mark.parametrize(
    "note", ["$schema", "$comment", "title", "description", "default", "examples", "$id"]
)
def test_what_has_no_effect_may_stand(note) -> None:
    assert refusal({"type": "null", note: "x"}) == ""


def test_an_id_further_down_would_move_references() -> None:
    assert refusal({"items": {"$id": "x"}}) == "$id is not kept, at #/items"


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[" * 5000 + "]" * 5000, "nested too deeply"),
        ('{"minimum": NaN}', "no JSON: NaN"),
        ('{"enum": [1e999]}', "no JSON"),
        ("[1]", "[1] is no schema"),
        ("3", "3 is no schema"),
        ('"\\ud800"', "is no schema"),
        ("null", "null is no schema"),
        ("false", "false is no schema"),
        ({"items": False}, "false is no schema that allows anything, at #/items"),
        ({"type": "nothing"}, "type: expected one of"),
        ({"type": []}, "type: expected one at least"),
        ({"type": [["string"]]}, "type: expected one of"),
        ({"type": 3}, "type: expected one of"),
        ({"type": "string", "minimum": 3}, "minimum does not go with type string"),
        ({"type": "integer", "minLength": 3}, "minLength does not go with type integer"),
        ({"type": "string", "maxLength": MAX_REPEATS + 1}, "maxLength: expected an integer"),
        ({"type": "array", "minItems": MAX_REPEATS + 1}, "minItems: expected an integer"),
        ({"maxItems": -1}, "maxItems: expected an integer"),
        ({"maxItems": True}, "maxItems: expected an integer"),
        ({"maxItems": 2.0}, "maxItems: expected an integer"),
        ({"maxItems": 1, "minItems": 2}, "minItems is above maxItems"),
        ({"minLength": None}, "minLength: expected an integer"),
        ({"minimum": "3"}, "minimum: expected a number"),
        ({"minimum": None}, "minimum: expected a number"),
        ({"exclusiveMinimum": True}, "exclusiveMinimum: expected a number"),
        ({"minimum": 2, "maximum": 1}, "no number is within the bounds"),
        ({"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2}, "no number"),
        ({"type": "integer", "minimum": 10**15}, "no number"),
        ({"type": "number", "minimum": NUMBER_LIMIT + 1}, "no number"),
        ('{"minimum": 1e400}', "no number"),
        ({"enum": []}, "no value is allowed"),
        ({"enum": "ab"}, "enum: expected an array"),
        ({"enum": ["a"], "type": "integer"}, "no value is allowed"),
        ({"enum": ["a"], "const": "b"}, "no value is allowed"),
        ({"enum": ["a\0"]}, "a string with U+0000"),
        ({"const": {"k": ["\ud800"]}}, "half a surrogate pair"),
        ({"properties": {"a\0b": {}}}, "a string with U+0000"),
        ({"properties": {"\udc00": {}}}, "half a surrogate pair"),
        ({"properties": []}, "properties: expected an object"),
        ({"required": "a"}, "required: expected an array"),
        ({"required": [1]}, "required: expected keys"),
        ({"properties": {"a": {}}, "required": ["v"]}, "required: v is not in properties"),
        ({"anyOf": {}}, "anyOf: expected an array"),
        ({"anyOf": []}, "anyOf: expected one at least"),
        ({"anyOf": [{}], "type": "string"}, "anyOf is kept only alone"),
        ({"$ref": "#/a", "a": 1}, "a is not kept"),
        ({"$ref": "#/$defs/a"}, "$ref #/$defs/a leads nowhere"),
        ({"$ref": "#/$defs/a", "$defs": 3}, "leads nowhere"),
        ({"$ref": "#anchor"}, "is none within the schema"),
        ({"$ref": "https://x.example/y"}, "is none within the schema"),
        ({"$ref": 3}, "$ref: expected text"),
        ({"$ref": "#"}, "leads back to itself"),
        ({"items": {"$ref": "#"}}, "leads back to itself, at #/items"),
        ({"properties": {"\ud800\n": {"not": {}}}}, "surrogate"),
        ({"\ud800\n" * 100: 1}, "is not kept, at #"),
    ],
)
def test_a_schema_that_cannot_be_kept_is_refused_in_one_line(schema, why) -> None:
    assert why in refusal(schema)


def test_size_and_depth_are_bounded() -> None:
    def deep(levels: int) -> object:
        schema: object = {"type": "null"}
        for _ in range(levels):
            schema = {"type": "array", "items": schema}
        return schema

    assert refusal(deep(MAX_DEPTH)) == ""
    assert f"more schemas than {MAX_DEPTH} within" in refusal(deep(MAX_DEPTH + 1))
    assert "within" in refusal({"$ref": "#/$defs/x", "$defs": {"x": deep(MAX_DEPTH)}})
    wide = {"anyOf": [{"const": number} for number in range(MAX_SCHEMAS - 1)]}
    assert refusal(wide) == ""
    wide["anyOf"].append({"const": -1})
    assert f"more schemas than {MAX_SCHEMAS}" in refusal(wide)
    doubling = {
        f"d{level}": {
            "properties": {key: {"$ref": f"#/$defs/d{level + 1}"} for key in "ab"},
        }
        for level in range(30)
    }
    doubling["d30"] = {"type": "null"}
    assert "more schemas than" in refusal({"$ref": "#/$defs/d0", "$defs": doubling})


def test_a_reference_may_be_followed_twice_but_not_in_a_circle() -> None:
    point = {"type": "integer"}
    twice = {"properties": {key: {"$ref": "#/$defs/p~1%71"} for key in "ab"}}
    assert refusal(twice | {"$defs": {"p/q": point}}) == ""
    assert refusal({"anyOf": [{"$ref": "#/anyOf/1"}, point]}) == ""
    circle = {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"items": {"$ref": "#/$defs/a"}}}
    assert "leads back to itself" in refusal({"$ref": "#/$defs/a", "$defs": circle})


BOTH = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]}},
    "required": ["a"],
}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer", "minimum": 0, "maximum": 100}, [0, 100], [-1, 101, 1.0, "1", True]),
        ({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 3}, [1, 2], [0, 3]),
        ({"type": "integer", "minimum": 0.5, "maximum": 2.5}, [1, 2], [0, 3]),
        ({"type": "number", "minimum": -1.5, "maximum": 2}, [-1.5, 2, 0.123], [-1.51, 2.001]),
        ({"exclusiveMinimum": 0, "exclusiveMaximum": 1}, [0.5, 0.000001], [0, 0.0, 1, 1.0, -0.0]),
        ({"minimum": 1e-310}, [0.001], [0]),
        ({"type": "string", "minLength": 1, "maxLength": 2}, ["a", "🚀🚀"], ["", "abc", 1]),
        ({"type": "boolean"}, [True, False], [1, None]),
        ({"type": "null"}, [None], [False, "null"]),
        ({"type": "array", "items": {"type": "null"}, "maxItems": 1}, [[], [None]], [[1], {}]),
        ({"minItems": 1}, [[1], ["x"]], [[], 3]),
        ({"type": ["integer", "null"], "minimum": 5}, [5, None], [4, "x"]),
        (BOTH, [{"a": 1}, {"a": 1, "b": None}], [{}, {"a": 1, "c": 1}, {"a": "1"}, []]),
        ({"additionalProperties": {"type": "null"}}, [{}, {"x": None}], [{"x": 1}]),
        ({"type": "object", "additionalProperties": False}, [{}], [{"x": 1}]),
        ({"enum": ["a\nb", 1, 1.5, None, {"k": [1]}]}, ["a\nb", 1, 1.5, {"k": [1]}], ["a", True]),
        ({"type": "string", "enum": ["a", 1]}, ["a"], [1]),
        ({"enum": [1, 2], "const": 2}, [2], [1]),
        ({"anyOf": [{"type": "integer"}, {"anyOf": [{"const": "x"}]}]}, [1, "x"], ["y"]),
        ({}, [1, "x", None, [[[[1]]]], {"a": {}}], []),
        (True, [1], []),
    ],
)
def test_what_keeps_to_a_schema(schema, good, bad) -> None:
    node = read_schema(json.dumps(schema))
    for value in good:
        assert fault(node, json.dumps(value)) == "", value
    for value in bad:
        assert fault(node, json.dumps(value)), value


def test_a_text_that_is_no_json_keeps_to_nothing() -> None:
    anything = read_schema("{}")
    for text in ("", "{", "NaN", "[" * 5000 + "]" * 5000, "1 2"):
        assert fault(anything, text) == "no JSON"


def test_strings_that_only_look_strange_are_kept() -> None:
    node = read_schema(json.dumps({"enum": ["C:\\u0000", "\\\\u0000", "\x7f", "\uffff", "\ue000"]}))
    assert isinstance(node, Literals)
    assert len(node.texts) == 5


def test_one_of_one_is_that_one() -> None:
    def kinds(schema: object) -> list[str]:
        node = read_schema(json.dumps(schema))
        return [type(one).__name__ for one in getattr(node, "options", [node])]

    null, boolean = {"type": "null"}, {"type": "boolean"}
    assert kinds({"anyOf": [null]}) == kinds(null) == ["Literals"]
    assert kinds({"anyOf": [{"anyOf": [null, boolean]}]}) == ["Literals", "Literals"]


@pytest.mark.parametrize(
    ("name", "line"),
    [("a" * 40, "a" * 40), ("a" * 41, "a" * 39 + "…"), ("a\x1b", "'a\\x1b'")],
)
def test_a_name_out_of_a_schema_is_shown_in_forty_characters(name: str, line: str) -> None:
    assert shown(name) == line
