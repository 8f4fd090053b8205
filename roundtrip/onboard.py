"""`[node.telemetry]`, `[node.tools]` and `[node.camera]` of a scenario file: what the node has that
a question may ask to see, and what a model on board may call."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from roundtrip.config import Duration, Line, Name, Section
from roundtrip.message import MAX_NAME_BYTES, MAX_SEE
from roundtrip.tools import BUILTIN, FILES, PASSES, TELEMETRY

SIMULATOR, MACHINE = "simulator", "machine"
SEE_TELEMETRY, SEE_HISTORY, SEE_CAMERA = "telemetry", "telemetry.history", "camera/"
TOOL_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
MAX_FRAMES = 32


def _see(name: str) -> str:
    folder, slash, picture = name.partition("/")
    is_picture = folder + slash == SEE_CAMERA and picture and "/" not in picture
    if name not in (SEE_TELEMETRY, SEE_HISTORY) and not is_picture:
        raise ValueError(f"{SEE_TELEMETRY}, {SEE_HISTORY}, or {SEE_CAMERA} and a file's name")
    return name


def _tool(name: str) -> str:
    if not TOOL_NAME.fullmatch(name):
        raise ValueError("lower-case words with dots between them, such as telemetry.read")
    return name


def _source(text: str) -> str:
    if text not in (SIMULATOR, MACHINE) and not text.endswith((".csv", ".jsonl")):
        raise ValueError(f"{SIMULATOR}, {MACHINE}, or a file that ends with .csv or .jsonl")
    return text


_Short = Annotated[Line, Field(max_length=MAX_NAME_BYTES)]
See = Annotated[
    tuple[Annotated[_Short, AfterValidator(_see)], ...],
    Field(max_length=MAX_SEE),
]
ToolName = Annotated[_Short, AfterValidator(_tool)]
ToolNames = Annotated[tuple[ToolName, ...], Field(max_length=MAX_SEE)]


class TelemetryConfig(Section):
    """`[node.telemetry]`: a feed of frames that the node reads when a question is answered."""

    source: Annotated[Line, AfterValidator(_source)] = SIMULATOR
    """`simulator`: a made-up spacecraft that follows the run's sunlight, battery and work;
    `machine`: this computer's sensors; or a CSV or JSON-lines file that something else writes."""
    seed: int = Field(default=1, ge=0, lt=2**63)
    """Of the simulator."""
    every_s: Duration = 10.0
    """The simulator's and the machine's frames are so far apart."""
    stale_s: Duration = 300.0
    """An older frame is not shown: the question is refused with `not_seen`."""
    channels: tuple[Name, ...] = ()
    """Those that are shown, in this order; none: all that there are."""
    history_frames: int = Field(default=4, ge=2, le=MAX_FRAMES)
    """Frames of a history, at most."""
    history_s: Duration = 3600.0
    """How far back it goes; its frames are evenly apart."""


class CommandConfig(Section):
    """`[[node.tools.command]]`: a program on board as a tool; it gets the arguments as JSON on
    stdin, prints its result, and must only read."""

    name: ToolName
    """By which the model calls it; its own."""
    description: Annotated[Line, Field(min_length=1, max_length=500)]
    """What the model is told of it."""
    argv: Annotated[tuple[Line, ...], Field(min_length=1, max_length=64)]
    """The program and its arguments; no shell."""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object"})
    """JSON Schema of its arguments."""


class ToolsConfig(Section):
    """`[node.tools]`: what a model on board may call, if the question lets it. No question can add
    to it."""

    allow: ToolNames = (TELEMETRY, PASSES)
    """Of `telemetry.read`, `telemetry.history`, `passes.next`, `time.now`, `files.read` and the
    commands below."""
    folder: Line = ""
    """Of `files.read`; relative to the scenario file."""
    command: tuple[CommandConfig, ...] = ()
    """Programs on board."""
    timeout_s: Annotated[float, Field(ge=0.05, le=600)] = 5.0
    """Of one call; then it is killed."""
    max_bytes: int = Field(default=4096, ge=64, le=65_536)
    """Of a result; a longer one is none."""
    max_calls: int = Field(default=8, ge=1, le=32)
    """Of one question."""

    @model_validator(mode="after")
    def _known(self) -> ToolsConfig:
        own = [one.name for one in self.command]
        for name in own:
            if name in BUILTIN or own.count(name) > 1:
                raise ValueError(f"command.name of its own, not {name} again")
        known = [*BUILTIN, *own]
        for name in self.allow:
            if name not in known:
                raise ValueError(f"allow: of {', '.join(known)}, not {name}")
        if FILES in self.allow and not self.folder:
            raise ValueError(f"a folder, for {FILES}")
        return self


class CameraConfig(Section):
    """`[node.camera]`: images on board that a question may name. Experimental."""

    folder: Annotated[Line, Field(min_length=1)]
    """Where they are; relative to the scenario file."""
    max_tokens: int = Field(default=512, ge=16, le=16_384)
    """An image is made smaller until the engine needs no more for it."""
    pixels_per_token: int = Field(default=784, ge=16, le=65_536)
    """Of the engine; 28 times 28 for Qwen's vision models."""
