"""Trace of a virtual run: one line of canonical JSON per output, so that two runs can be compared
byte for byte."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from typing import Any, Protocol


class Trace(Protocol):
    """Takes every output of every machine."""

    def record(self, at_ns: int, machine: str, output: Any) -> None:
        """Note that `machine` put out `output` at `at_ns`."""


class LineTrace:
    """Keeps the trace in memory as lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def record(self, at_ns: int, machine: str, output: Any) -> None:
        """Append one line."""
        fields = {
            "at_ns": at_ns,
            "machine": machine,
            "output": type(output).__name__,
            "of": _plain(output),
        }
        self.lines.append(json.dumps(fields, sort_keys=True))

    def text(self) -> str:
        """The whole trace, one line an output."""
        return "".join(f"{line}\n" for line in self.lines)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes {hashlib.sha256(value).hexdigest()[:16]}"
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
