"""Scenario files: TOML, checked here once, frozen ever after.

An unknown key, a value out of range or contacts that overlap is a BadConfig naming file, key and
expectation.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from roundtrip.config import NAME_LENGTH, Direction, LinkConfig
from roundtrip.drive import clock
from roundtrip.errors import BadConfig
from roundtrip.files import bad_config, read_text, read_toml
from roundtrip.link_trace import read_trace
from roundtrip.node_config import NodeConfig
from roundtrip.onboard import MACHINE, SIMULATOR
from roundtrip.scenario import Scenario
from roundtrip.workload_config import QuestionConfig

PRESETS = Path(__file__).parent.parent / "link_sim" / "presets"
"""Links that a scenario may start from."""
NOW = "now"
MAX_QUESTIONS_BYTES = 8 << 20
"""Of a file of questions: some 10,000 with their frames."""


def load_scenario(path: Path, *, now: object = None) -> Scenario:
    """The scenario in a TOML file, its questions read in and its paths made absolute.

    Args:
        path: the file.
        now: what an `orbit.start` of "now" means; None: what the clock says.

    Raises:
        BadConfig: the file is missing, no TOML, or holds what a scenario may not.
    """
    table = _started(read_toml(path, "a scenario file"), now)
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
        raise bad_config(error, source) from None


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
    files = {
        "model": ".gguf", "draft": ".gguf", "adapter": ".gguf", "profile": ".toml", "document": "",
        "system": "",
    }  # fmt: skip
    named = {key: getattr(node, key) for key in files}
    node = node.model_copy(
        update={
            key: str((path.parent / name).resolve())
            for key, name in named.items()
            if name and name.endswith(files[key])
        }
    )
    node = _with_folders(node, path)
    link = _with_traces(scenario.link, path)
    return scenario.model_copy(
        update={
            "workload": workload,
            "node": node,
            "link": link,
            "name": scenario.name or _named_after(path),
        }
    )


def _with_traces(link: LinkConfig, path: Path) -> LinkConfig:
    """The link with the files of its traces, which are read once now."""
    ways: dict[str, Direction] = {}
    for name in ("uplink", "downlink"):
        direction: Direction = getattr(link, name)
        if direction.trace:
            file = str((path.parent / direction.trace).resolve())
            read_trace(file)
            ways[name] = direction.model_copy(update={"trace": file})
    return link.model_copy(update=ways)


def _with_folders(node: NodeConfig, path: Path) -> NodeConfig:
    """The node with absolute paths in its sections."""
    for name, key in (("telemetry", "source"), ("tools", "folder"), ("camera", "folder")):
        section = getattr(node, name)
        given = "" if section is None else getattr(section, key)
        if given and given not in (SIMULATOR, MACHINE):
            whole = section.model_copy(update={key: str((path.parent / given).resolve())})
            node = node.model_copy(update={name: whole})
    return node


def _started(table: dict[str, Any], now: object) -> dict[str, Any]:
    """The table with a date for an `orbit.start` of "now"."""
    orbit = table.get("orbit")
    if not isinstance(orbit, dict) or orbit.get("start") != NOW:
        return table
    return table | {"orbit": orbit | {"start": now or clock.utc(clock.unix_s())}}


def _named_after(path: Path) -> str:
    """A file's name, whatever characters it has, as the name of a scenario."""
    return "".join(c if c.isprintable() else "_" for c in path.stem[:NAME_LENGTH])


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
    preset = read_toml(path, "a preset")
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
        text = read_text(path, "a file of questions", limit_bytes=MAX_QUESTIONS_BYTES)
    except BadConfig as error:
        key = "workload.questions_file"
        raise BadConfig(str(scenario_path), key, error.expected, f"{path}: {error.found}") from None
    questions: list[QuestionConfig] = []
    for number, line in enumerate(text.split("\n"), 1):
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
        raise bad_config(error, source) from None
