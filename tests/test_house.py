"""House rules that no other tool checks: import layers, and who may touch clock and sockets."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = {
    "dtn": set(),
    "roundtrip": {"dtn"},
    "link_sim": {"dtn", "roundtrip"},
    "models": {"dtn", "roundtrip"},
    "node": {"dtn", "roundtrip", "models"},
    "ground": {"dtn", "roundtrip", "models"},
    "testbed": {"dtn", "roundtrip", "link_sim", "models", "node", "ground"},
}
"""Package to the packages of ours that it may import, besides itself."""

OUTSIDE_WORLD = {"time", "datetime", "socket", "zmq", "asyncio", "random", "secrets", "threading"}
MAY_TOUCH = {
    "roundtrip/drive/": OUTSIDE_WORLD,
    # Processes: they start, wait and stop, but read no clock and open no socket of their own.
    "link_sim/relay.py": {"asyncio", "zmq"},
    "link_sim/tun.py": {"asyncio"},
    "link_sim/__main__.py": {"asyncio"},
    "node/service.py": {"asyncio"},
    "node/engine/supervisor.py": {"asyncio"},
    "node/engine/http_child.py": {"socket", "threading"},
    "node/body/guard.py": {"asyncio"},
    "node/board/sandbox.py": {"asyncio"},
    "node/board/runner.py": {"asyncio"},
    "node/bulk/flight.py": {"asyncio"},
    "node/engine/bay.py": {"asyncio"},
    "node/__main__.py": {"asyncio"},
    "ground/station.py": {"asyncio"},
    "ground/__main__.py": {"asyncio"},
    "ground/desk.py": {"asyncio"},
    "ground/web/": {"asyncio"},
    "ground/terminal/full.py": {"asyncio"},
    "ground/web/server.py": {"socket"},
    "ground/web/ollama.py": {"datetime"},
    "testbed/commands/standing.py": {"asyncio"},
    "testbed/commands/showing.py": {"asyncio"},
    "testbed/commands/watching.py": {"asyncio", "socket"},
    "testbed/commands/node_bench.py": {"asyncio"},
    "testbed/live.py": {"asyncio"},
    "testbed/doctor.py": {"socket"},
    # Dates of orbits and of others' logs: given in files and options, never read from the clock.
    "ground/results/loop_log.py": {"datetime"},
    "roundtrip/config.py": {"datetime"},
    "roundtrip/orbit.py": {"datetime"},
    "testbed/commands/passes.py": {"datetime"},
    "testbed/passes_plot.py": {"datetime"},
    "testbed/commands/coverage.py": {"datetime"},
}
TYPE_ONLY = {"random"}
"""May be imported for `random.Random` as a type; drawing from the module itself is not allowed."""
MAY_BE_LONG = 500


def _sources() -> list[Path]:
    return [
        path
        for package in LAYERS
        for path in sorted((ROOT / package).rglob("*.py"))
        if "recipe" not in path.parts
    ]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for statement in ast.walk(ast.parse(path.read_text())):
        if isinstance(statement, ast.Import):
            found.update(alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            found.add(statement.module)
    return found


@pytest.mark.parametrize("path", _sources(), ids=_name)
def test_imports_only_lower_layers(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    ours = {name.split(".")[0] for name in _imports(path)} & set(LAYERS)
    assert ours <= LAYERS[package] | {package}


@pytest.mark.parametrize("path", _sources(), ids=_name)
def test_touches_the_outside_world_only_where_allowed(path: Path) -> None:
    allowed = TYPE_ONLY.union(
        *(names for prefix, names in MAY_TOUCH.items() if _name(path).startswith(prefix))
    )
    touched = {name.split(".")[0] for name in _imports(path)} & OUTSIDE_WORLD
    assert touched <= allowed


@pytest.mark.parametrize("path", _sources(), ids=_name)
def test_draws_no_unseeded_randomness(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "random"
        ):
            assert node.attr == "Random", f"line {node.lineno}: random.{node.attr}"


PRINTS = {"rich.console.Console", "click.echo", "click.secho", "print"}
"""Only `roundtrip/screen.py` may: what goes through it is text, without control characters."""


def _printers(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            found.add(ast.unparse(node.func))
    return found & PRINTS


@pytest.mark.parametrize("path", _sources(), ids=_name)
def test_prints_by_the_screen_alone(path: Path) -> None:
    if _name(path) not in ("roundtrip/say.py", "roundtrip/screen.py"):
        assert not _printers(path)


MARKUP = re.compile(r"\[(/|bold|dim|red|green|yellow)[a-z ]*\]")
PLURAL = re.compile(r"[a-z]\(e?s\)")


@pytest.mark.parametrize("path", _sources(), ids=_name)
def test_words_for_people_have_no_markup_and_one_form_for_one_thing(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not MARKUP.search(node.value), f"line {node.lineno}: markup is printed as it is"
            assert not PLURAL.search(node.value), f"line {node.lineno}: `count` says it"


def test_only_the_engine_imports_llama_cpp_on_the_node() -> None:
    users = {_name(p) for p in _sources() if any(i.startswith("llama_cpp") for i in _imports(p))}
    assert {name for name in users if name.startswith("node/")} == {"node/engine/llama.py"}


@pytest.mark.parametrize("path", _sources(), ids=_name)
def test_has_a_docstring_and_is_not_long(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), "no module docstring"
    assert text.count("\n") <= MAY_BE_LONG


def test_no_catch_all_modules() -> None:
    names = {path.stem for path in _sources()}
    assert not names & {"utils", "util", "common", "helpers", "misc"}


LIST_ITEM = re.compile(r"\s*([-*|>`#]|\d+\.|[\w`*.]+(, [\w`*.]+)*:( |$)|\S+  )")
DRAWING = frozenset("├└│─▶")


def _torn(line: str, following: str) -> bool:
    """A line in mid-paragraph that ends early although the next word would have fitted."""
    if not line.strip() or not following.strip() or following.strip() == '"""':
        return False
    if DRAWING & {*line, *following} or line.rstrip().endswith(":") or LIST_ITEM.match(following):
        return False
    if len(line) - len(line.lstrip()) != len(following) - len(following.lstrip()):
        return False
    used = len(line.rstrip())
    return used < 72 and used + 1 + len(following.split()[0]) < 100


@pytest.mark.parametrize("path", _sources(), ids=_name)
def test_docstrings_are_not_torn_by_rewrapping(path: Path) -> None:
    text = path.read_text()
    lines = text.split("\n")
    for statement in ast.walk(ast.parse(text)):
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
            continue
        first, last = statement.lineno - 1, (statement.end_lineno or 1) - 1
        for index in range(first, last):
            assert not _torn(lines[index], lines[index + 1]), f"line {index + 1}: {lines[index]!r}"
