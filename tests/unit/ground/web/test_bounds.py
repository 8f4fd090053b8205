"""What a number in a request may be at most and at least, at each of the doors."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from ground.web import asked, ollama, openai

TOKENS = (1, 32_768)
SEEDS = (0, 2**32 - 1)
MESSAGE = {"role": "user", "content": "?"}
BOUNDS: list[tuple[type[BaseModel], dict[str, Any], dict[str, tuple[float, float]]]] = [
    (
        asked._Asked,
        {"text": "?"},
        {"deadline_s": (1.0, 86_400.0), "max_tokens": TOKENS, "temperature": (0.0, 10.0)}
        | {"seed": SEEDS},
    ),
    (
        ollama._Options,
        {},
        {"num_predict": TOKENS, "temperature": (0.0, 10.0), "top_p": (0.0, 1.0)}
        | {"top_k": (0, 1_048_576), "seed": SEEDS},
    ),
    (
        openai._Chat,
        {"messages": [MESSAGE]},
        {"max_tokens": TOKENS, "max_completion_tokens": TOKENS, "temperature": (0.0, 2.0)}
        | {"top_p": (0.0, 1.0), "seed": SEEDS, "n": (1, 1)},
    ),
]


@pytest.mark.parametrize(
    ("model", "others", "field", "bounds"),
    [
        pytest.param(model, others, field, bounds, id=f"{model.__module__}.{field}")
        for model, others, fields in BOUNDS
        for field, bounds in fields.items()
    ],
)
def test_a_number_may_reach_its_bounds_and_not_pass_them(
    model: type[BaseModel], others: dict[str, Any], field: str, bounds: tuple[float, float]
) -> None:
    for bound, way in zip(bounds, (-1, 1), strict=True):
        assert getattr(model.model_validate(others | {field: bound}), field) == bound
        whole = isinstance(bound, int)
        beyond = bound + way if whole else math.nextafter(bound, way * math.inf)
        with pytest.raises(ValidationError, match=field):
            model.model_validate(others | {field: beyond})


@pytest.mark.parametrize(("model", "least"), [(ollama._Asked, 0), (openai._Chat, 1)])
def test_a_conversation_has_a_thousand_messages_at_most(model: type[BaseModel], least: int) -> None:
    for number in (least, 1000):
        model.model_validate({"messages": [MESSAGE] * number})
    for number in (least - 1, 1001):
        if number >= 0:
            with pytest.raises(ValidationError, match="messages"):
                model.model_validate({"messages": [MESSAGE] * number})


def test_what_is_left_out_is_left_to_the_station() -> None:
    bare = openai._Chat.model_validate({"messages": [MESSAGE]})
    assert (bare.n, bare.stream, bare.stops) == (1, False, [])
    options = ollama._Options.model_validate({})
    assert set(options.model_dump().values()) == {None}
    question = asked._Asked.model_validate({"text": "?"})
    given = question.model_dump(exclude_none=True)
    assert given == {"text": "?", "priority": "normal"}
    with pytest.raises(ValidationError, match="text"):
        asked._Asked.model_validate({"text": ""})
