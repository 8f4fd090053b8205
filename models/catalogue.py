"""Published models, pinned by size and sha256: `catalogue.toml`, checked when it is read."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from roundtrip.errors import BadConfig

CATALOGUE = Path(__file__).parent / "catalogue.toml"


class Published(BaseModel):
    """One file somebody publishes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9._-]+$")
    """What `models pull` and `--model` call it."""
    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str
    file: str = Field(pattern=r"^[\w.-]+\.gguf$")
    bytes: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    licence: str
    downloaded: bool
    """Whether we have fetched it ourselves; else size and checksum are as published."""


def load_catalogue(path: Path = CATALOGUE) -> dict[str, Published]:
    """The entries by name.

    Raises:
        BadConfig: the file is not what it should be.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadConfig(str(path), "", "a readable TOML file", str(error)) from None
    entries: dict[str, Published] = {}
    for number, fields in enumerate(table.get("model", [])):
        try:
            entry = Published.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in ("model", number, *first["loc"]))
            raise BadConfig(str(path), key, first["msg"], repr(first["input"])[:80]) from None
        if entry.name in entries:
            raise BadConfig(str(path), f"model.{number}.name", "a name of its own", entry.name)
        entries[entry.name] = entry
    return entries
