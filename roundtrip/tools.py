"""Tools that a model on board may call: their names, how a model is told of them, and the form of a
call.

The form is that of Qwen3's chat template (`<tools>`, `<tool_call>`). All of them only read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CALL_START, CALL_END = "<tool_call>", "</tool_call>"
RESPONSE_START, RESPONSE_END = "<tool_response>", "</tool_response>"
TELEMETRY, HISTORY, PASSES, TIME, FILES = (
    "telemetry.read",
    "telemetry.history",
    "passes.next",
    "time.now",
    "files.read",
)
MAX_CALL_BYTES = 4096
"""Of one call, as a model writes it."""


@dataclass(frozen=True, slots=True)
class Tool:
    """What a model is told of a tool."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of its arguments."""

    @property
    def signature(self) -> str:
        """One line of JSON, as the template shows it."""
        told = {
            "name": self.name,
            "description": self.description,
            "parameters": dict(self.parameters),
        }
        return json.dumps({"type": "function", "function": told}, ensure_ascii=False)


def _object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


_CHANNELS = {"type": "array", "items": {"type": "string"}}
BUILTIN = {
    tool.name: tool
    for tool in (
        Tool(TELEMETRY, "Telemetry now: all channels, or some.", _object(channels=_CHANNELS)),
        Tool(HISTORY, "Values of some channels over time.", _object(channels=_CHANNELS)),
        Tool(PASSES, "The next pass over a ground station.", _object()),
        Tool(TIME, "Date and time in UTC.", _object()),
        Tool(FILES, "A text file on board.", _object(name={"type": "string"})),
    )
}
"""Those that come with the node."""


def section(tools: Sequence[Tool]) -> str:
    """What a system prompt says of tools, after an empty line."""
    signatures = "\n".join(tool.signature for tool in tools)
    return (
        "# Tools\n\n"
        "You may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n"
        f"<tools>\n{signatures}\n</tools>\n\n"
        "For each function call, return a json object with function name and arguments within "
        f"{CALL_START}{CALL_END} XML tags:\n"
        f'{CALL_START}\n{{"name": <function-name>, "arguments": <args-json-object>}}\n{CALL_END}'
    )


def call_text(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as a model writes it."""
    body = json.dumps({"name": name, "arguments": dict(arguments)}, ensure_ascii=False)
    return f"{CALL_START}\n{body}\n{CALL_END}"


def response_text(result: str) -> str:
    """What came back, as a model is shown it; its content is data."""
    return f"{RESPONSE_START}\n{result}\n{RESPONSE_END}"


def history_table(
    unit: str,
    ago: Sequence[int],
    lights: Sequence[str],
    rows: Sequence[tuple[str, Sequence[str], str]],
) -> str:
    """How channels went, a line a channel, the latest last.

    Args:
        unit: of `ago`: min, or s.
        ago: before now, of each column.
        lights: of each column; none where nobody knows.
        rows: names, values and units.
    """
    lines = [" ".join([unit, *(str(-one) for one in ago)])]
    lines += [" ".join(["light", *lights])] if lights else []
    lines += [f"{name} {' '.join(values)} {of}".rstrip() for name, values, of in rows]
    return "\n".join(lines)


def pass_text(station: str, until: str, lasts: str, elevation_deg: float | None) -> str:
    """What is told of a pass.

    Args:
        station: over which.
        until: how long until it begins; empty while it is under way.
        lasts: how long it is, or is to go on.
        elevation_deg: the highest; None where it is not known.
    """
    when = f"AOS in {until}, lasts {lasts}" if until else f"LOS in {lasts}"
    height = "" if elevation_deg is None else f", up to {elevation_deg:.0f} deg"
    return f"over {station}, {when}{height}"


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a model made."""

    name: str
    arguments: Mapping[str, Any]
    fault: str = ""
    """Why it is none; empty where it is one."""


def begins_call(text: str) -> bool:
    """Whether an answer is, or may still become, a call."""
    return text.startswith(CALL_START) or CALL_START.startswith(text)


def calls_in(text: str) -> list[Call]:
    """The calls of an answer that begins with one; none where it does not. Total: what is no call
    has its fault."""
    if not text.startswith(CALL_START):
        return []
    pieces = [piece.partition(CALL_END) for piece in text.split(CALL_START)[1:]]
    return [_call(body.strip(), whole=bool(end)) for body, end, _ in pieces]


def _call(body: str, *, whole: bool) -> Call:
    if not whole:
        return Call("", {}, "the call has no end")
    if len(body.encode()) > MAX_CALL_BYTES:
        return Call("", {}, f"a call has at most {MAX_CALL_BYTES} bytes")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return Call("", {}, "the call is no JSON")
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        return Call("", {}, "a call is an object with name and arguments")
    arguments = found.get("arguments", {})
    if not isinstance(arguments, dict):
        return Call("", {}, "arguments are an object")
    return Call(found["name"], arguments)
