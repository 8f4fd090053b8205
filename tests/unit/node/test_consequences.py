"""What the node's machine is told of its engine."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from node.consequences import command_of
from node.engine.events import (
    EngineDone,
    EngineFirstToken,
    EngineRefused,
    EngineStarted,
    EngineWrote,
    InferenceResult,
    JobEvent,
    ToolsCalled,
)

RESULT = InferenceResult("Yes.", "stop", 3, 2, 0)


@pytest.mark.parametrize(
    ("event", "name", "arguments"),
    [
        (EngineStarted(5, 100), "inference_started", (5, 93)),
        (EngineFirstToken(5, 101), "first_token", (5, 94)),
        (ToolsCalled(5, 102), "tools_called", (5, 95)),
        (EngineWrote(5, "Y"), "wrote", (5, "Y")),
        (EngineDone(5, 103, RESULT), "inference_done", (5, RESULT, 96)),
        (EngineRefused(5, "a", "b"), "inference_refused", (5, "a", "b")),
    ],
)
def test_times_are_told_from_the_zero_of_the_plan(
    event: JobEvent, name: str, arguments: tuple[object, ...]
) -> None:
    told: list[tuple[object, ...]] = []
    machine = SimpleNamespace(**{name: lambda *them: told.append(them)})
    command_of(event, machine, origin_ns=7)()
    assert told == [arguments]
