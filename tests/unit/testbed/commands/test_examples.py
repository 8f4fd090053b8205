"""Each command's help has an example, and each example is one that the command takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from testbed.commands.cli import COMMANDS, cli


def commands(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    command = command.load() if hasattr(command, "load") else command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, (*words, name))
    else:
        yield " ".join(words), command


ALL = [pair for one in COMMANDS for pair in commands(one, (one.name or "",))]


@pytest.mark.parametrize(("name", "command"), ALL, ids=[name for name, _ in ALL])
def test_help_has_an_example_that_the_command_takes(name: str, command: click.Command) -> None:
    found = re.findall(r"Example: (groundloop [^\n]*(?:\n[^\n]+)*)", command.help or "")
    assert found, f"no example in `groundloop {name} --help`"
    for example in found:
        words = shlex.split(example.partition(" >> ")[0])
        assert words[1 : 1 + len(name.split())] == name.split()
        context = click.Context(command, info_name=name)
        command.make_parser(context).parse_args(args=words[1 + len(name.split()) :])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_learns_the_commands(shell: str) -> None:
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0
    assert f"_GROUNDLOOP_COMPLETE={shell}_complete" in done.output
    words = {"COMP_WORDS": "groundloop sta", "COMP_CWORD": "1"}
    words["_GROUNDLOOP_COMPLETE"] = "bash_complete"
    offered = CliRunner().invoke(cli, [], prog_name="groundloop", env=words).output
    assert offered.split() == ["plain,station", "plain,status"]
