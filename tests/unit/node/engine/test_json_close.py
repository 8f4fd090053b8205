from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.engine.json_close import closed_json


@pytest.mark.parametrize(
    ("cut", "closed"),
    [
        ('{"a": 1', '{"a": 1}'),
        ('{"a": [1, 2', '{"a": [1, 2]}'),
        ('{"a": "x', '{"a": "x"}'),
        ('{"a": "x\\', '{"a": "x"}'),
        ('{"a": 1, "b', '{"a": 1}'),
        ('{"a": 1, "b": tr', '{"a": 1}'),
        ('{"a": 1, "b":', '{"a": 1}'),
        ("[", "[]"),
        ("", "null"),
        ("no json", "null"),
        ('{"a": 1}', '{"a": 1}'),
        ('{"a": 1}}', '{"a": 1}'),
        ('{"a": 1} and so on', '{"a": 1}'),
        ('[1, {"b": [tru', '[1, {"b": []}]'),
        ("[1,", "[1]"),
        ("[1 2", "[1]"),
        ("[1}", "[1]"),
        ("[1.", "[1]"),
        ("[1.5e", "[1.5]"),
        ("[-", "[]"),
        ("[01", "[0]"),
        ('["\\u12', '[""]'),
        ('["a\nb', '["a"]'),
        ('["\\x', '[""]'),
        ('{"a', "{}"),
        ('{"a"}', "{}"),
        ('{"a":1,"b\\', '{"a":1}'),
        ('{"a":{"b":', '{"a":{}}'),
        ('{"a":1,}', '{"a":1}'),
        ("{1", "{}"),
        (" [\n1 ,\t2 ", " [\n1 ,\t2]"),
        ("]", "null"),
        ('{"a":1},{"b":2}', '{"a":1}'),
        ("[1 2]", "[1]"),
        ("1, 2", "1"),
    ],
)
def test_what_is_open_is_closed(cut: str, closed: str) -> None:
    assert closed_json(cut) == closed


@pytest.mark.parametrize(
    "cut",
    [
        "[" * 60_000, '["' + "x" * 60_000, '{"' + "x" * 60_000, "[1," * 20_000, '{"a":' * 12_000,
        "1" * 60_000, '"' + "\\\\" * 30_000, " " * 60_000, "[" * 30_000 + "]" * 29_999,
        "[1,{}," * 12_000,
    ],
)  # fmt: skip
def test_a_long_or_deep_text_is_closed_in_one_pass(cut: str) -> None:
    begin = time.process_time()
    found = closed_json(cut)
    assert time.process_time() - begin < 2
    assert found.count("[") == found.count("]")
    assert found.count("{") == found.count("}")
    assert len(found) >= len(cut) / 2 or found in ("null", "{}")


@given(st.text(alphabet='[]{}",:\\/un0e1-.tr "', max_size=30))
def test_whatever_the_text_is_json_comes_back(text: str) -> None:
    json.loads(closed_json(text), strict=True)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(VALUES, st.integers(min_value=0))
def test_any_cut_gives_json_and_a_whole_text_stays(value: object, at: int) -> None:
    text = json.dumps(value)
    json.loads(closed_json(text[: at % (len(text) + 1)]))
    assert json.loads(closed_json(text)) == value
