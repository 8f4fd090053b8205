"""Reads `table.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).parent / "table.toml"


@dataclass(frozen=True, slots=True)
class Row:
    """One bundle or segment and what the standard says of it; the fields are those of the table."""

    id: str
    kind: str
    """"bundle" or "segment"."""
    verdict: str
    """"accept", "reject", or "either"."""
    rfc: str
    why: str
    data: bytes
    answer: str = ""
    before: tuple[bytes, ...] = ()
    keys: bool = False
    sending: bool = False
    effect: str = ""
    seen: str = ""
    ours: str = ""


def rows(path: Path = TABLE) -> list[Row]:
    """All rows, in their order."""
    return [
        Row(
            data=bytes.fromhex(entry.pop("hex")),
            before=tuple(bytes.fromhex(one) for one in entry.pop("before", ())),
            **entry,
        )
        for entry in tomllib.loads(path.read_text())["row"]
    ]
