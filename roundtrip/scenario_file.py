"""Scenario files: TOML, checked here once, frozen ever after.

An unknown key, a value out of range or contacts that overlap is a BadConfig naming file, key and
expectation.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from roundtrip.config import QuestionConfig
from roundtrip.errors import BadConfig
from roundtrip.scenario import Scenario

PRESETS = Path(__file__).parent.parent / "link_sim" / "presets"
"""Links that a scenario may start from."""


def load_scenario(path: Path) -> Scenario:
    """The scenario in a TOML file, its questions read in and its paths made absolute.

    Raises:
        BadConfig: the file is missing, no TOML, or holds what a scenario may not.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(str(path), "", "a readable scenario file", _reason(error)) from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(str(path), "", "TOML", str(error)) from None
    scenario = _with_files(check_scenario(_with_preset(table, str(path)), str(path)), path)
    if scenario.orbit is None or scenario.contact:
        return scenario
    from roundtrip.passes import contacts_of

    return scenario.model_copy(update={"contact": contacts_of(scenario, str(path))})


def check_scenario(table: dict[str, object], source: str) -> Scenario:
    """The scenario in a parsed TOML table; `source` names it in errors.

    Raises:
        BadConfig: as `load_scenario`.
    """
    try:
        return Scenario.model_validate(table)
    except ValidationError as error:
        raise _bad_config(error, source) from None


def _bad_config(error: ValidationError, source: str) -> BadConfig:
    """The first thing that pydantic found, in our words."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    expected = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if first["type"] == "wrong":
        context = first["ctx"]
        key, expected, found = context["key"], context["expected"], context["found"]
    elif first["type"] == "extra_forbidden":
        expected, found = "a known key", "an unknown one"
    elif first["type"] == "missing":
        found = "nothing"
    elif isinstance(first["input"], dict):
        found = "this section as it stands"
    else:
        found = repr(first["input"])[:80]
    return BadConfig(source, key, expected, found)


def _with_files(scenario: Scenario, path: Path) -> Scenario:
    workload = scenario.workload
    if bool(workload.questions) == bool(workload.questions_file):
        raise BadConfig(
            str(path),
            "workload",
            "either `questions` or `questions_file`",
            "both" if workload.questions else "neither",
        )
    if workload.questions_file:
        questions = _read_questions(path.parent / workload.questions_file, path)
        workload = workload.model_copy(update={"questions": questions, "questions_file": None})
    node = scenario.node
    files = {"model": ".gguf", "draft": ".gguf", "profile": ".toml", "document": ""}
    named = {key: getattr(node, key) for key in files}
    node = node.model_copy(
        update={
            key: str((path.parent / name).resolve())
            for key, name in named.items()
            if name and name.endswith(files[key])
        }
    )
    return scenario.model_copy(
        update={"workload": workload, "node": node, "name": scenario.name or path.stem}
    )


def _with_preset(table: dict[str, Any], source: str) -> dict[str, Any]:
    """The table with what `link.preset` names put under what it says itself."""
    link = table.get("link")
    if not isinstance(link, dict) or "preset" not in link:
        return table
    name = link["preset"]
    path = PRESETS / f"{name}.toml"
    known = sorted(p.stem for p in PRESETS.glob("*.toml") if p.stem != "stations")
    if name not in known:
        raise BadConfig(source, "link.preset", f"one of {', '.join(known)}", repr(name)[:80])
    preset = tomllib.loads(path.read_text(encoding="utf-8"))
    mine = {key: value for key, value in link.items() if key != "preset"}
    return table | {"link": _merged(preset, mine)}


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = dict(under)
    for key, value in over.items():
        deep = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = _merged(both[key], value) if deep else value
    return both


def to_toml(scenario: Scenario) -> str:
    """The scenario as TOML, with nothing left to look up."""
    return tomli_w.dumps(scenario.model_dump(exclude_none=True, mode="json"))


def _read_questions(path: Path, scenario_path: Path) -> tuple[QuestionConfig, ...]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(
            str(scenario_path),
            "workload.questions_file",
            "a readable text file",
            f"{path}: {_reason(error)}",
        ) from None
    questions: list[QuestionConfig] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            as_json = line if path.suffix == ".jsonl" else json.dumps(line.strip())
            questions.append(_parse_question(as_json, f"{path}: line {number}"))
    if not questions:
        raise BadConfig(str(path), "", "one question a line", "no question")
    return tuple(questions)


def _parse_question(line: str, source: str) -> QuestionConfig:
    try:
        return QuestionConfig.model_validate_json(line)
    except ValidationError as error:
        raise _bad_config(error, source) from None


def _reason(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "bytes that are not UTF-8"
