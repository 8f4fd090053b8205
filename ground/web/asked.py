"""A question as a program asks it, from JSON; every wrong field is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request as HttpRequest

from ground.outputs import Asking, Request
from roundtrip.budget import Budget
from roundtrip.errors import BadInput
from roundtrip.message import MAX_NAME_BYTES, MAX_SEE, Turn
from roundtrip.units import s_to_ns

M = TypeVar("M", bound=BaseModel)
MAX_BODY_BYTES = 1 << 20
Names = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=MAX_NAME_BYTES)]], Field(max_length=MAX_SEE)
]
"""Of what a question wants to see, or may call; the node knows which there are."""
PRIORITIES = ("bulk", "normal", "expedited")


@dataclass(frozen=True, slots=True)
class Usual:
    """What questions have unless they say otherwise."""

    asking: Asking
    budget: Budget


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    text: Annotated[str, Field(min_length=1)]
    after: Annotated[str, Field(pattern="^[0-9a-f]{14,16}$")] | None = None
    system: str | None = None
    deadline_s: Annotated[float, Field(ge=1, le=86_400)] | None = None
    priority: Literal["bulk", "normal", "expedited"] = "normal"
    json_schema: dict[str, Any] | None = None
    think: Literal["off", "on", "auto"] | None = None
    thoughts: bool | None = None
    max_tokens: Annotated[int, Field(ge=1, le=32_768)] | None = None
    temperature: Annotated[float, Field(ge=0, le=10)] | None = None
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] | None = None
    see: Names | None = None
    tools: Names | None = None


def request_of(body: bytes, usual: Usual, said: Callable[[str], tuple[Turn, ...]]) -> Request:
    """The question in a body.

    Args:
        body: as it came.
        usual: what it has unless it says otherwise.
        said: up to a question that was answered; it may raise BadInput.

    Raises:
        BadInput: there is none; it names the field.
    """
    asked = parsed(_Asked, body)
    budget = None
    if asked.deadline_s is not None:
        loop_ns = s_to_ns(asked.deadline_s)
        budget = Budget(loop_ns, max(loop_ns, usual.budget.expire_ns), usual.budget.objective)
    request = request_like(
        usual.asking,
        asked.text,
        system=asked.system,
        max_tokens=asked.max_tokens,
        thinking=asked.think,
        thoughts=asked.thoughts,
        schema=None if asked.json_schema is None else schema_text(asked.json_schema),
        seed=asked.seed,
        temperature=asked.temperature,
        see=asked.see,
        tools=asked.tools,
    )
    if asked.after is not None:
        request = replace(request, turns=said(asked.after), after=int(asked.after, 16))
    return replace(request, budget=budget, priority=PRIORITIES.index(asked.priority))


def request_like(
    usual: Asking,
    text: str,
    *,
    system: str | None = None,
    max_tokens: int | None = None,
    thinking: str | None = None,
    thoughts: bool | None = None,
    schema: str | None = None,
    seed: int | None = None,
    turns: tuple[Turn, ...] = (),
    see: Sequence[str] | None = None,
    tools: Sequence[str] | None = None,
    **sampling: float | None,
) -> Request:
    """A question; what is None is as usual.

    Raises:
        BadInput: as `Request`.
    """
    said = {
        "system": system,
        "max_tokens": max_tokens,
        "thinking": thinking,
        "thoughts": thoughts,
        "schema": schema,
        "seed": seed,
        "see": None if see is None else tuple(see),
        "tools": None if tools is None else tuple(tools),
    }
    drawn = replace(usual.sampling, **_given(sampling))
    return Request(text, replace(usual, sampling=drawn, **_given(said)), turns=turns)


def _given(values: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def parsed(model: type[M], body: bytes) -> M:
    """What a body says, by a model.

    Raises:
        BadInput: it names the field.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise BadInput("request", "body", "JSON", str(first["ctx"]["error"])) from None
        field = ".".join(map(str, first["loc"])) or "body"
        raise BadInput("request", field, first["msg"], repr(first["input"])[:80]) from None


async def read_body(http: HttpRequest) -> bytes:
    """The body of a request.

    Raises:
        BadInput: it is too long.
    """
    body = b""
    async for chunk in http.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BadInput("body", "length", f"at most {MAX_BODY_BYTES} bytes", "more")
    return body


def schema_text(schema: object) -> str:
    """A JSON Schema as it goes up."""
    return json.dumps(schema, separators=(",", ":"), ensure_ascii=False)
