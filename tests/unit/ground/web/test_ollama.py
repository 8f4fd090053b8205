"""What Ollama's clients are told of how long something took."""

from __future__ import annotations

import pytest

from ground.web.ollama import _end

EVENT = {
    "phases_s": {"prefill": 0.25, "decode": 1.5}, "loop_s": 3.0, "finish_reason": "stop",
    "prompt_tokens": 9, "output_tokens": 4,
}  # fmt: skip


def test_durations_are_in_ns() -> None:
    assert _end(EVENT) == {
        "done": True, "done_reason": "stop", "total_duration": 3_000_000_000, "load_duration": 0,
        "prompt_eval_count": 9, "prompt_eval_duration": 250_000_000, "eval_count": 4,
        "eval_duration": 1_500_000_000,
    }  # fmt: skip


@pytest.mark.parametrize("loop_s", [None, 0.0])
def test_what_is_not_known_is_0(loop_s: float | None) -> None:
    found = _end(EVENT | {"phases_s": {"unattributed": 3.0}, "loop_s": loop_s})
    assert (found["total_duration"], found["prompt_eval_duration"], found["eval_duration"]) == (
        0, 0, 0,
    )  # fmt: skip
