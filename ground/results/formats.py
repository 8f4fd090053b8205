"""A run's results in other forms than the report: Markdown and CSV.

The CSV is a log of loops as `docs/loop-log.md` has it, so that it can be scored again.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from ground.results.record import LoopRecord, to_json
from roundtrip.stages import STAGES
from roundtrip.words import duration, percent, shown

COLUMNS = (
    "format", "index", "question_id", "outcome", "reason", "detail",
    *(f"stamps_ns.{stage.value}" for stage in STAGES),
    "loop_ns", "in_contact_ns", "settled_ns", "expected_at_ns", "split", "split_uncertainty_ns",
    "question", "expected", "answer", "correct",
    "gen_ai.request.model", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens",
)  # fmt: skip


def to_csv(records: Sequence[LoopRecord], model: str) -> str:
    """The loops, one a row; empty where something is not known."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for record in records:
        line = to_json(record, model)
        stamps = {f"stamps_ns.{name}": at_ns for name, at_ns in line["stamps_ns"].items()}
        if isinstance(line.get("correct"), bool):
            line["correct"] = json.dumps(line["correct"])
        writer.writerow(line | stamps)
    return text.getvalue()


def to_markdown(summary: dict[str, Any]) -> str:
    """What `summary.json` says, as tables."""
    verdict = "MET" if summary["objective_met"] else "MISSED"
    lines = [
        f"# {_cell(summary['scenario']) or 'run'}",
        "",
        _cell(summary["sentence"]),
        "",
        f"**{verdict}**: {percent(summary['goodput'])} of {summary['questions']} within "
        f"{summary['budget_s']:g} s, objective {percent(summary['objective'])}.",
        "",
        *_table(
            ("", "p50", "p90", "p99", "max"),
            [
                (name, *(duration(value) for value in summary[key].values()))
                for name, key in (
                    ("loop", "loop_ms"),
                    ("uncorrected", "uncorrected_ms"),
                    ("in contact", "in_contact_ms"),
                )
            ]
            + [
                (name.replace("_", " "), *(duration(value) for value in quantiles.values()))
                for name, quantiles in summary["phases_ms"].items()
            ],
        ),
        "",
        *_table(
            ("outcome", "questions"),
            [(name.replace("_", " "), str(n)) for name, n in summary["outcomes"].items()],
        ),
    ]
    for kind in ("refused", "expired"):
        if summary[kind]:
            rows = [(_cell(reason), str(n)) for reason, n in summary[kind].items()]
            lines += ["", *_table((kind, "questions"), rows)]
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _cell(text: str) -> str:
    return shown(text, 400).replace("|", "\\|").replace("<", "&lt;")
