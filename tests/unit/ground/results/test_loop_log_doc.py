"""`docs/loop-log.md` and its JSON Schema say what the reader reads.

Where the format is meant to change, `GROUNDLOOP_GOLDEN=write pytest ...` writes both anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ground.results.loop_log import LoopLine
from ground.results.record import to_json

DOCS = Path(__file__).parents[4] / "docs"
WRITES = os.environ.get("GROUNDLOOP_GOLDEN") == "write"
BEGIN, END = "<!-- fields -->\n", "<!-- end of fields -->\n"


def schema() -> dict[str, object]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "groundloop-loop/1",
        **LoopLine.model_json_schema(by_alias=True),
    }


def kind_of(field: dict[str, object]) -> str:
    kinds = field.get("anyOf", [field])
    assert isinstance(kinds, list)
    names = {
        str(one.get("format") or one.get("type") or one.get("const") or "text") for one in kinds
    } - {"null"}
    if any("$ref" in one for one in kinds):
        return "word"
    words = {"date-time": "date", "string": "text", "integer": "whole number", "array": "list"}
    return ", ".join(sorted(words.get(name, name) for name in names))


def table() -> str:
    rows = ["| field | type | meaning |", "|---|---|---|"]
    properties = schema()["properties"]
    assert isinstance(properties, dict)
    for name, field in properties.items():
        meaning = " ".join(str(field["description"]).split())
        rows.append(f"| `{name}` | {kind_of(field)} | {meaning} |")
    return "\n".join(rows) + "\n"


def test_the_schema_is_that_of_the_reader() -> None:
    path = DOCS / "loop-log.schema.json"
    text = json.dumps(schema(), indent=1) + "\n"
    if WRITES:
        path.write_text(text)
    assert path.read_text() == text


def test_the_table_has_every_field() -> None:
    path = DOCS / "loop-log.md"
    before, _, rest = path.read_text().partition(BEGIN)
    shown, _, after = rest.partition(END)
    if WRITES:
        path.write_text(before + BEGIN + table() + END + after)
        return
    assert shown == table()


def test_a_line_of_ours_keeps_to_the_schema(answered) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    line = to_json(answered(3), "tiny")
    jsonschema.validate(line, schema())
    for broken in ({"question": "x"}, line | {"loop_ns": -1}, line | {"format": "other/1"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema())
