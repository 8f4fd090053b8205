"""The table of commands, and what a command may import before it has anything to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from testbed.commands.cli import cli
from testbed.commands.deferred import Deferred

ROOT = Path(__file__).parents[4]
OF_A_MODEL = {"llama_cpp", "gguf", "huggingface_hub"}
OF_PROCESSES = {"asyncio", "zmq", "psutil", "sqlite3"}
OF_ORBITS = {"numpy", "sgp4"}
OF_THE_END = {"numpy", "rich", "jinja2", "hdrh"}
"""What a run's report and verdict take."""
OF_A_SCENARIO = {"pydantic", "cryptography", "cbor2", "crc32c", "tomli_w"}
SLOW = OF_A_MODEL | OF_PROCESSES | OF_ORBITS | OF_THE_END | OF_A_SCENARIO | {"joblib"}

PROGRAM = """
import sys
from roundtrip.drive.virtual import VirtualClock
from testbed.__main__ import main

def imported():
    print("imported:", *sys.modules, file=sys.stderr, flush=True)

run = VirtualClock.run

def first_event(*args, **options):
    imported()
    run(*args, **options)

VirtualClock.run = first_event
try:
    main()
finally:
    imported()
"""


def imports(*arguments: str | Path) -> list[set[str]]:
    """The packages that `groundloop` has imported: before the first event of a virtual run, where
    it is one, and at its end."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("imported:")]
    return [{name.partition(".")[0] for name in line.split()[1:]} for line in lines]


def deferred(group: click.Group = cli, *names: str) -> Iterator[tuple[str, Deferred]]:
    """Every command that is imported when called, with all that it is called by."""
    for name, command in group.commands.items():
        found = command.load() if isinstance(command, Deferred) else command
        if isinstance(command, Deferred):
            yield " ".join([*names, name]), command
        if isinstance(found, click.Group):
            yield from deferred(found, *names, name)


@pytest.mark.parametrize("command", [pytest.param(it, id=name) for name, it in deferred()])
def test_the_list_of_commands_says_what_the_commands_say(command: Deferred) -> None:
    loaded = command.load()
    assert loaded.name == command.name
    assert loaded.get_short_help_str(1000) == command.get_short_help_str(1000)


def test_help_imports_nothing_but_the_table() -> None:
    (found,) = imports("--help")
    assert "click" in found
    assert not found & SLOW


@pytest.mark.parametrize("words", [["node", "--help"], ["link", "--help"], ["models", "--help"]])
def test_a_part_of_a_run_does_not_import_the_others(words: list[str]) -> None:
    (found,) = imports(*words)
    assert not found & (OF_A_MODEL | OF_ORBITS | {"joblib", "jinja2", "hdrh"})


def test_a_virtual_run_imports_no_process_and_no_model(tmp_path: Path) -> None:
    begun, ended = imports("run", "leo-pass", "--virtual", "--out", tmp_path / "run")
    assert not begun & (SLOW - OF_A_SCENARIO)
    assert not ended & (SLOW - OF_A_SCENARIO - OF_THE_END)
    assert ended >= OF_THE_END


def test_the_engines_process_imports_no_transport_and_no_scenario() -> None:
    """It is started anew after every death of the engine."""
    code = (
        "import sys, node.engine.child as _; print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "psutil" in done.stdout.split()
    assert not {"pydantic", "cryptography", "zmq", "dtn"} & set(done.stdout.split())


def test_a_command_that_is_not_there_is_a_usage_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "testbed", "orbit"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "No such command 'orbit'" in done.stderr
