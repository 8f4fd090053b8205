from __future__ import annotations

import json

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
    ],
)
def test_what_is_open_is_closed(cut: str, closed: str) -> None:
    assert closed_json(cut) == closed


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
