"""The end of a JSON text that was cut. Pure."""

from __future__ import annotations

import json


def closed_json(text: str) -> str:
    """The text as valid JSON: what is open is closed, what is half written is taken back.

    A text that holds no JSON at all comes back as `null`. Keys that were not reached are missing.
    """
    kept = text.rstrip()
    while kept:
        candidate = _closed(kept)
        if candidate is not None:
            return candidate
        kept = kept[:-1].rstrip()
    return "null"


def _closed(text: str) -> str | None:
    """The text with its strings and brackets closed; None where that makes no JSON."""
    closers: list[str] = []
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "{[":
            closers.append("}" if character == "{" else "]")
        elif character in "}]" and (not closers or closers.pop() != character):
            return None
    if escaped:
        return None
    whole = text + ('"' if in_string else "") + "".join(reversed(closers))
    try:
        json.loads(whole)
    except ValueError:
        return None
    return whole
