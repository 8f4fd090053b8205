"""Reads a run's folder back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ground.results.record import from_json
from ground.results.summary import SCHEMA_VERSION, Run, summarise
from roundtrip.errors import BadInput
from roundtrip.scenario_file import load_scenario


def load_run(folder: Path) -> tuple[Run, dict[str, Any]]:
    """The run in a folder, and its summary.

    Raises:
        BadInput: a file is missing, or not one that a run writes.
    """
    summary = _json(folder / "summary.json")
    if summary.get("schema_version") != SCHEMA_VERSION:
        found = repr(summary.get("schema_version"))
        source = str(folder / "summary.json")
        raise BadInput(source, "schema_version", str(SCHEMA_VERSION), found)
    path = folder / "loops.jsonl"
    records = [
        from_json(_parse(line, f"{path}: line {number}"), f"{path}: line {number}")
        for number, line in enumerate(_text(path).split("\n"), 1)
        if line
    ]
    scenario = load_scenario(folder / "scenario.toml")
    empty = {"seed": 0, "mode": "", "length_s": 0.0, "interrupted": False, "rejected": {}}
    known: dict[str, Any] = empty | summary
    run = Run(
        scenario,
        known["seed"],
        known["mode"],
        records,
        None,
        None,
        0,
        known["length_s"],
        known["interrupted"],
        known["rejected"],
        [
            (round(at_s * 1e9), round(share * 1000))
            for at_s, share in (known.get("energy") or {}).get("charge", [])
        ],
    )
    missing = sorted(summarise(run).keys() - summary.keys())
    if missing:
        raise BadInput(str(folder / "summary.json"), missing[0], "a value", "nothing")
    return run, summary


def _json(path: Path) -> dict[str, Any]:
    return _parse(_text(path), str(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(str(path), "", "a file of a run", type(error).__name__) from None


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadInput(source, "", "JSON", str(error)) from None
    if not isinstance(value, dict):
        raise BadInput(source, "", "a JSON object", type(value).__name__)
    return value
