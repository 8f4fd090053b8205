"""Sweeps: `--set link.downlink.loss=0,0.05` makes one scenario for each combination of values."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from roundtrip.errors import BadConfig
from roundtrip.files import parse_toml
from roundtrip.scenario import Scenario
from roundtrip.scenario_file import check_scenario


@dataclass(frozen=True, slots=True)
class Point:
    """One combination of values."""

    settings: tuple[tuple[str, Any], ...]
    scenario: Scenario

    @property
    def name(self) -> str:
        """As it is shown; "all" where nothing is swept."""
        return " ".join(f"{key}={value}" for key, value in self.settings) or "all"


def points_of(scenario: Scenario, sets: tuple[str, ...]) -> list[Point]:
    """Every combination, in the order given.

    Args:
        scenario: what is changed.
        sets: "KEY=VALUE,VALUE,..." with dotted keys; numbers of a list count from 0.

    Raises:
        BadConfig: no such key, or a value that it may not have.
    """
    axes = [_axis(text) for text in sets]
    points: list[Point] = []
    for values in itertools.product(*(values for _, values in axes)):
        settings = tuple(zip((key for key, _ in axes), values, strict=True))
        table = scenario.model_dump(exclude_none=True, mode="json")
        for key, value in settings:
            _put(table, key, value)
        shown = " ".join(f"--set {key}={value}" for key, value in settings)
        checked = check_scenario(table, shown) if settings else scenario
        points.append(Point(settings, checked))
    return points


def _axis(text: str) -> tuple[str, list[Any]]:
    key, equals, values = text.partition("=")
    if not equals or not key or not values:
        raise BadConfig(f"--set {text}", "", "KEY=VALUE,VALUE,...", "something else")
    return key, [_value(one) for one in values.split(",")]


def _value(text: str) -> Any:
    try:
        return parse_toml(f"it = {text}", text)["it"]
    except BadConfig:
        return text


def _put(table: dict[str, Any], key: str, value: Any) -> None:
    at: Any = table
    *path, last = key.split(".")
    known = True
    for name in path:
        at, known = _inside(at, name)
        if not known:
            break
    if isinstance(at, list):
        known = known and last.isdigit() and int(last) < len(at)
        if known:
            at[int(last)] = value
    elif known:
        at[last] = value  # an unknown key is found by the check of the whole
    if not known:
        raise BadConfig(f"--set {key}", key, "a key of the scenario", "an unknown one")


def _inside(at: Any, name: str) -> tuple[Any, bool]:
    if isinstance(at, list) and name.isdigit() and int(name) < len(at):
        return at[int(name)], True
    if isinstance(at, dict) and isinstance(at.get(name), dict | list):
        return at[name], True
    return at, False
