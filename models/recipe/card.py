"""The builtin's card, from its record."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import Any

from models.triage.evaluate import Accuracy

_TEMPLATE = Path(__file__).parent / "CARD.md.in"
_OTHERS = ("F16", "Q4_K_M")


def card(record: dict[str, Any]) -> str:
    """The text of CARD.md.

    Args:
        record: what `record.json` holds.
    """
    sizes = {name.lower(): f"{size:,}" for name, size in record["files"].items()}
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        record,
        **sizes,
        size=f"{record['bytes']:,}",
        count=f"{record['parameters']:,}",
        steps_made=f"{record['steps']:,}",
        tokens_seen=f"{record['tokens'] / 1e6:.1f}",
        graded_n=str(record["graded_per_set"]),
        first=_table(record, "held out"),
        hard=_table(record, "held out, hard"),
        tools=_table(record, "tools"),
        began=_began(record),
    )


def _began(record: dict[str, Any]) -> str:
    if record["began_with"] is None:
        return ""
    mean = "; the weights are the mean of both" if record["mean_with_that"] else ""
    return (
        ". It began not with nothing but with the builtin before it (sha256 "
        f"`{record['began_with']}`), with the tokenizer of that one{mean}"
    )


def _table(record: dict[str, Any], name: str) -> str:
    shipped = record["quantization"]
    head = ["type", f"{shipped} (shipped)", "95 %", *_OTHERS]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for kind, (right, asked) in record["accuracy"][shipped][name].items():
        low, high = Accuracy(kind, right, asked).interval
        others = [record["accuracy"][other][name][kind] for other in _OTHERS]
        cells = [
            kind,
            f"{right} of {asked}, {right / asked:.1%}",
            f"{low:.1%} to {high:.1%}",
            *[f"{r / n:.1%}" for r, n in others],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
