"""`[upload]` of a scenario file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from roundtrip.bulk.manifest import MAX_BYTES
from roundtrip.config import Line, Seconds, Section


class UploadConfig(Section):
    """`[upload]`: a model goes up while questions are asked; in virtual time its content is made
    up."""

    name: Line = "model"
    """What it is called."""
    size_bytes: Annotated[int, Field(gt=0, le=MAX_BYTES)]
    """Of the file."""
    at_s: Seconds = 0.0
    """When it begins."""
    activate: bool = True
    """It flies as soon as it is whole and has passed its self-test."""
