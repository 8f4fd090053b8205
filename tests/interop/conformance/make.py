"""`python -m tests.interop.conformance.make`: writes `table.toml` anew from the rows."""

from __future__ import annotations

import json

from tests.interop.conformance import (
    rows_primary,
    rows_security,
    rows_segments,
    rows_structure,
)
from tests.interop.conformance.parts import SEQUENCES, SESSIONS
from tests.interop.conformance.rows import Rows
from tests.interop.conformance.table import TABLE

PREFACE = (TABLE.parent / "preface.txt").read_text
SECTIONS = (
    rows_structure.outer_array,
    rows_structure.block_numbers,
    rows_structure.shortest_form,
    rows_structure.indefinite_lengths,
    rows_structure.types,
    rows_structure.checksums,
    rows_structure.extension_blocks,
    rows_primary.fields,
    rows_primary.endpoints,
    rows_primary.times,
    rows_primary.fragments,
    rows_primary.records,
    rows_security.security,
)


def table() -> str:
    """The table as text."""
    SEQUENCES.restart()
    SESSIONS.restart()
    bundles, segments = Rows("bundle"), Rows("segment")
    for section in SECTIONS:
        section(bundles.add)
    rows_segments.segments(segments.add)
    lines = [f"# {line}".rstrip() for line in PREFACE().splitlines()]
    for row in (*bundles.found, *segments.found):
        lines += ["", "[[row]]"]
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in row.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table())
