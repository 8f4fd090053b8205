"""A question as a program asks it, from JSON; every wrong field is named."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request as HttpRequest

from ground.outputs import Asking, Request
from roundtrip.budget import Budget
from roundtrip.errors import BadInput
from roundtrip.message import MAX_TEXT_BYTES
from roundtrip.units import s_to_ns

M = TypeVar("M", bound=BaseModel)
MAX_BODY_BYTES = 1 << 20
PRIORITIES = ("bulk", "normal", "expedited")


@dataclass(frozen=True, slots=True)
class Usual:
    """What questions have unless they say otherwise."""

    asking: Asking
    budget: Budget


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    text: Annotated[str, Field(min_length=1)]
    system: str | None = None
    deadline_s: Annotated[float, Field(ge=1, le=86_400)] | None = None
    priority: Literal["bulk", "normal", "expedited"] = "normal"
    json_schema: dict[str, Any] | None = None
    think: Literal["off", "on", "auto"] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=32_768)] | None = None
    temperature: Annotated[float, Field(ge=0, le=10)] | None = None
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] | None = None


def request_of(body: bytes, usual: Usual) -> Request:
    """The question in a body.

    Raises:
        BadInput: there is none; it names the field.
    """
    asked = parsed(_Asked, body)
    schema = usual.asking.schema
    if asked.json_schema is not None:
        schema = checked_schema(asked.json_schema)
    for name, text in (("text", asked.text), ("system", asked.system)):
        _check_length(name, text or "")
    asking = usual.asking
    sampling = asking.sampling
    if asked.temperature is not None:
        sampling = replace(sampling, temperature=asked.temperature)
    own = replace(
        asking,
        system=asking.system if asked.system is None else asked.system,
        max_tokens=asked.max_tokens or asking.max_tokens,
        sampling=sampling,
        thinking=asked.think or asking.thinking,
        schema=schema,
        seed=asking.seed if asked.seed is None else asked.seed,
    )
    budget = None
    if asked.deadline_s is not None:
        loop_ns = s_to_ns(asked.deadline_s)
        budget = Budget(loop_ns, max(loop_ns, usual.budget.expire_ns), usual.budget.objective)
    return Request(asked.text, own, budget, PRIORITIES.index(asked.priority))


def parsed(model: type[M], body: bytes) -> M:
    """What a body says, by a model.

    Raises:
        BadInput: it names the field.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
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


def checked_schema(schema: object) -> str:
    """A JSON Schema as it goes up.

    Raises:
        BadInput: it is too long.
    """
    text = json.dumps(schema, separators=(",", ":"), ensure_ascii=False)
    _check_length("json_schema", text)
    return text


def _check_length(name: str, text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise BadInput("question", name, "Unicode text", "a lone surrogate") from None
    if size > MAX_TEXT_BYTES:
        raise BadInput("question", name, f"at most {MAX_TEXT_BYTES} bytes", str(size))
