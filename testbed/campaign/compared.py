"""What is read of a summary to compare it with another, checked here, so that comparing need
not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from roundtrip.files import bad_config, parse_json, read_text

Number = Annotated[float, Field(allow_inf_nan=False)]
Interval = Annotated[tuple[Number | None, ...], Field(max_length=3)]
"""A value with its bounds, or the bounds alone; None where one is open."""


class _Point(BaseModel):
    """A point of a campaign, or a run."""

    model_config = ConfigDict(extra="ignore")

    point: str = "all"
    goodput: Number
    goodput_95: Interval = ()
    loop_ms: dict[str, Number | Annotated[Interval, Field(min_length=1)] | None]


class _Campaign(BaseModel):
    model_config = ConfigDict(extra="ignore")

    points: tuple[_Point, ...] = Field(min_length=1)


class _Any(BaseModel):
    model_config = ConfigDict(extra="ignore")

    schema_version: int
    kind: str = ""


def load_summary(folder: Path) -> dict[str, Any]:
    """The summary of a run's or a campaign's folder.

    Raises:
        BadConfig: there is none, or it is not one that can be compared.
    """
    path = folder / "summary.json"
    summary: dict[str, Any] = parse_json(read_text(path, "a summary"), str(path))
    try:
        kind = _Any.model_validate(summary).kind
        (_Campaign if kind == "campaign" else _Point).model_validate(summary)
    except ValidationError as error:
        raise bad_config(error, str(path)) from None
    return summary
