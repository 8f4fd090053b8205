"""Every number of scenarios and profiles has bounds, and whatever lies within them runs."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from pydantic import ValidationError

from node.service_time import Profile, load_profile
from roundtrip.errors import BadConfig
from roundtrip.files import bad_config
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import check_scenario
from testbed.effort import check_effort
from tests.fuzz.files import FULL, ORBIT, run_a_little

EVENTS = 60
TRIED: tuple[Any, ...] = (
    0, -1, 1, 5e-324, 1e-310, 1e-6, 1e300, 2**63, 10**4000, float("inf"), float("nan"), "x", [],
)  # fmt: skip
"""Besides the bounds themselves."""


def numbers(schema: dict[str, Any], model: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """Every number in a JSON schema, with where it is: lists have index 0, tables key 1."""
    if "$ref" in model:
        yield from numbers(schema, schema["$defs"][model["$ref"].rsplit("/", 1)[1]], path)
    for one in model.get("anyOf", ()):
        yield from numbers(schema, one, path)
    if model.get("type") in ("number", "integer"):
        yield path, model
    for name, inner in model.get("properties", {}).items():
        yield from numbers(schema, inner, f"{path}.{name}".lstrip("."))
    for name in ("items", "additionalProperties"):
        if isinstance(model.get(name), dict):
            yield from numbers(schema, model[name], f"{path}.{0 if name == 'items' else 1}")


def all_numbers(model: type[Scenario] | type[Profile]) -> list[tuple[str, Any]]:
    schema = model.model_json_schema()
    found = dict(numbers(schema, schema, ""))
    assert len(found) > 20
    return sorted(found.items())


@pytest.mark.parametrize(
    ("path", "schema"),
    [*all_numbers(Scenario), *all_numbers(Profile)],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_every_number_has_a_lower_and_an_upper_bound(path: str, schema: dict[str, Any]) -> None:
    assert {"minimum", "exclusiveMinimum"} & schema.keys(), schema
    assert {"maximum", "exclusiveMaximum"} & schema.keys(), schema


def table_for(path: str) -> dict[str, Any]:
    """A scenario with everything that a setting needs beside it."""
    table, orbit = tomllib.loads(FULL), tomllib.loads(ORBIT)
    up, down = table["link"]["uplink"], table["link"]["downlink"]
    table["link"] = {name: copy.deepcopy(down | up) for name in ("uplink", "downlink")}
    if ".budget." in path:
        for way in table["link"].values():
            way["budget"] = copy.deepcopy(orbit["link"]["uplink"]["budget"])
    if path.split(".")[0] in ("orbit", "satellite", "station"):
        del table["contact"]
        orbit["satellite"].reverse()
        table |= {name: orbit[name] for name in ("orbit", "satellite", "station")}
    if path.startswith("node.camera."):
        table["node"] |= {"engine": "http://127.0.0.1:1", "camera": {"folder": "."}}
    if path.endswith(("bits_per_symbol", "esn0_db")):
        for way in table["link"].values():
            way["budget"]["modcods"].reverse()
    return table


def tried(schema: dict[str, Any]) -> list[Any]:
    """Numbers at the bounds, and far outside."""
    bounds = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    return [*TRIED, *(schema[name] for name in bounds if name in schema)]


def put(table: dict[str, Any], path: str, value: Any) -> None:
    at: Any = table
    *above, last = path.split(".")
    for part in above:
        at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
    at[int(last) if isinstance(at, list) else last] = value


@pytest.mark.parametrize(("path", "schema"), all_numbers(Scenario))
def test_a_setting_is_refused_or_runs(path: str, schema: dict[str, Any]) -> None:
    accepted, refused = 0, []
    for value in tried(schema):
        table = table_for(path)
        put(table, path, value)
        try:
            scenario = check_scenario(table, "it")
            profile = load_profile(scenario.node.profile)
            check_effort(scenario, profile, "it")
            accepted += 1
            run_a_little(scenario, profile, EVENTS)
        except BadConfig as error:
            refused.append(error)
    assert accepted, "no value is right"
    assert all(one.source == "it" and one.key and len(str(one)) < 400 for one in refused)


@pytest.mark.parametrize(("path", "schema"), all_numbers(Profile))
def test_a_figure_of_a_profile_is_refused_or_runs(path: str, schema: dict[str, Any]) -> None:
    scenario = check_scenario(tomllib.loads(FULL), "it")
    accepted, refused = 0, []
    for value in tried(schema):
        table = load_profile("rpi5-8gb").model_dump(mode="json")
        if path.endswith("tok_s.1"):
            table[path.removesuffix(".1")] = {}
        if path == "answer_tokens.0":
            table["answer_tokens"] = [0, 1]
        put(table, path, value)
        try:
            profile = Profile.model_validate(table)
        except ValidationError as error:
            refused.append(bad_config(error, "it"))
            continue
        with suppress(BadConfig):
            check_effort(scenario, profile, "it")
            accepted += 1
            run_a_little(scenario, profile, EVENTS)
    assert accepted, "no value is right"
    assert all(one.key and len(str(one)) < 400 for one in refused)
