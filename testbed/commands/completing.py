"""`groundloop completion`: the shell completes commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from roundtrip.say import say_part


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands and options.

    Example: groundloop completion bash >> ~/.bashrc
    """
    found = get_completion_class(shell)
    assert found is not None
    root = ctx.find_root().command
    say_part(found(root, {}, "groundloop", "_GROUNDLOOP_COMPLETE").source())
