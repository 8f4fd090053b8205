"""Tools as a model is told of them, and its calls."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundtrip.tools import (
    BUILTIN,
    MAX_CALL_BYTES,
    Call,
    begins_call,
    call_text,
    calls_in,
    response_text,
    section,
)


def test_a_model_is_told_of_tools_as_qwens_template_does() -> None:
    said = section([BUILTIN["time.now"]])
    lines = said.split("\n")
    assert lines[0] == "# Tools"
    signature = json.loads(lines[lines.index("<tools>") + 1])
    assert signature["type"] == "function"
    assert signature["function"]["name"] == "time.now"
    assert signature["function"]["parameters"] == {"type": "object", "properties": {}}
    assert said.endswith(
        '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
    )


def test_a_call_is_read_as_it_is_written() -> None:
    said = call_text("telemetry.read", {"channels": ["EPS.VBAT"]})
    assert calls_in(said) == [Call("telemetry.read", {"channels": ["EPS.VBAT"]})]
    both = f"{said}\n{call_text('time.now', {})}"
    assert [call.name for call in calls_in(both)] == ["telemetry.read", "time.now"]


def test_arguments_may_be_left_out() -> None:
    assert calls_in('<tool_call>{"name": "a"}</tool_call>') == [Call("a", {})]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<tool_call>", "no end"),
        ('<tool_call>{"name": "a"}', "no end"),
        ("<tool_call>{</tool_call>", "no JSON"),
        ("<tool_call>" + "[" * 3000 + "</tool_call>", "no JSON"),
        ("<tool_call>[]</tool_call>", "an object with name"),
        ('<tool_call>{"name": 1}</tool_call>', "an object with name"),
        ('<tool_call>{"name": "a", "arguments": []}</tool_call>', "arguments are an object"),
        (f'<tool_call>"{"a" * MAX_CALL_BYTES}"</tool_call>', "at most 4096 bytes"),
    ],
)
def test_what_is_no_call_says_why(body: str, fault: str) -> None:
    (call,) = calls_in(body)
    assert fault in call.fault


def test_an_answer_that_only_speaks_of_calls_is_none() -> None:
    assert calls_in('I would write <tool_call>{"name": "a"}</tool_call>.') == []


@given(st.text())
def test_reading_calls_is_total(text: str) -> None:
    for call in calls_in(f"<tool_call>{text}"):
        assert call.fault or call.name is not None


def test_what_may_still_become_a_call_is_held_back() -> None:
    assert all(begins_call("<tool_call>\n{"[:size]) for size in range(13))
    assert not begins_call("<tool>")
    assert not begins_call("All is well.")


def test_what_came_back_is_shown_between_tags() -> None:
    assert response_text("SUN") == "<tool_response>\nSUN\n</tool_response>"
