"""Whole outputs that are kept: what people read is compared to the last letter.

Where an output is meant to change, `GROUNDLOOP_GOLDEN=write pytest ...` writes the files anew; the
difference is then for the reviewer.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "data" / "golden"


def assert_as_kept(name: str, text: str) -> None:
    """Compare an output to the kept file, or keep it."""
    path = FOLDER / name
    if os.environ.get("GROUNDLOOP_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    kept = path.read_text(encoding="utf-8").split("\n")
    for number, (line, before) in enumerate(zip(text.split("\n"), kept, strict=False), 1):
        assert line == before, f"{name}, line {number}"
    assert len(text.split("\n")) == len(kept), name
