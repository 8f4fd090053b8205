"""`docs/scenario.md` has every key of a scenario file, as the reader reads it.

Where keys are meant to change, `GROUNDLOOP_GOLDEN=write pytest ...` writes its tables anew.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from roundtrip.scenario import Scenario

PAGE = Path(__file__).parents[3] / "docs" / "scenario.md"
WRITES = os.environ.get("GROUNDLOOP_GOLDEN") == "write"
BEGIN, END = "<!-- keys -->\n", "<!-- end of keys -->\n"
PLACES = {
    "BurstLoss": "[link.*.burst]",
    "Fade": "[link.*.fade]",
    "Handover": "[link.*.handover]",
    "Modcod": "[[link.*.budget.modcods]]",
    "LinkBudget": "[link.*.budget]",
    "Direction": "[link.uplink], [link.downlink]",
    "LinkConfig": "[link]",
    "ContactConfig": "[[contact]]",
    "OrbitConfig": "[orbit]",
    "SatelliteConfig": "[[satellite]]",
    "StationConfig": "[[station]]",
    "OutageConfig": "[[outage]]",
    "QuestionConfig": "workload.questions",
    "WorkloadConfig": "[workload]",
    "BudgetConfig": "[budget]",
    "EnergyConfig": "[node.energy]",
    "ThermalConfig": "[node.thermal]",
    "TelemetryConfig": "[node.telemetry]",
    "CommandConfig": "[[node.tools.command]]",
    "ToolsConfig": "[node.tools]",
    "CameraConfig": "[node.camera]",
    "RadiationConfig": "[node.radiation]",
    "NodeConfig": "[node]",
    "UploadConfig": "[upload]",
    "Scenario": "at the top",
}


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """What the text under each key of a section says."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for line, under in zip(tree.body, tree.body[1:], strict=False):
        if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name):
            continue
        if isinstance(under, ast.Expr) and isinstance(under.value, ast.Constant):
            found[line.target.id] = " ".join(str(under.value.value).split())
    for base in model.__bases__:
        if issubclass(base, BaseModel) and base.__module__ == model.__module__:
            found = meanings(base) | found
    return found


def parts_of(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) in (Union, UnionType, tuple, list, dict):
        for one in get_args(annotation):
            yield from parts_of(one)
    elif hasattr(annotation, "__metadata__"):
        yield from parts_of(get_args(annotation)[0])
    else:
        yield annotation


def sections(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A section, and those in it, the inner ones after it; each once."""
    found = [model]
    for key in model.model_fields:
        if (inner := inner_of(model, key)) is not None:
            found += [one for one in sections(inner) if one not in found]
    return found


def inner_of(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The section that a key holds."""
    kinds = parts_of(model.model_fields[key].annotation)
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)


def kind_of(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        kinds = [kind_of(one) for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "allOf" in schema or "$ref" in schema:
        return "table"
    if "enum" in schema or "const" in schema:
        words = schema.get("enum", [schema.get("const")])
        return ", ".join(f"`{word}`" for word in words)
    if schema.get("type") == "array":
        return f"list of {kind_of(schema['items'])}" if "items" in schema else "list"
    name = schema.get("format", schema.get("type", "value"))
    names = {"integer": "whole number", "string": "text", "boolean": "true or false"}
    shown = {"date-time": "date"}.get(name, names.get(name, name))
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    if least is None or most is None:
        return shown
    above = "above " if "exclusiveMinimum" in schema else ""
    below = " (below it)" if "exclusiveMaximum" in schema else ""
    return f"{shown}, {above}{number(least)} to {number(most)}{below}"


def number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e9 else f"{value:.6g}"


def table_of(model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    known = meanings(model)
    about = about_of(model)
    rows = [
        f"### {PLACES[model.__name__]}",
        "",
        *([about, ""] if about else []),
        "| key | value | default | meaning |",
        "|---|---|---|---|",
    ]
    for key, field in schema["properties"].items():
        default = "needed" if key in schema.get("required", ()) else shown_default(field)
        inner = inner_of(model, key)
        meaning = known.get(key) or (PLACES[inner.__name__] if inner is not None else "")
        rows.append(f"| `{key}` | {kind_of(field)} | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def about_of(model: type[BaseModel]) -> str:
    """What a section's docstring says besides its name."""
    text = " ".join((model.__doc__ or "").split())
    if not text.startswith("`["):
        return "" if model is Scenario else text
    _, _, said = text.partition("`: ")
    return said[:1].upper() + said[1:]


def shown_default(field: dict[str, Any]) -> str:
    default = field.get("default")
    if default in (None, "", [], ()) or isinstance(default, dict):
        return ""
    return f"`{json.dumps(default)}`"


def test_every_key_is_there_with_its_meaning() -> None:
    tables = "\n".join(table_of(one) for one in sections(Scenario))
    before, _, rest = PAGE.read_text().partition(BEGIN)
    shown, _, after = rest.partition(END)
    if WRITES:
        PAGE.write_text(before + BEGIN + tables + END + after)
        return
    assert shown == tables


def test_every_key_says_what_it_means() -> None:
    silent = [
        f"{PLACES[one.__name__]} {key}"
        for one in sections(Scenario)
        for key in one.model_fields
        if key not in meanings(one) and inner_of(one, key) is None
    ]
    assert silent == []
