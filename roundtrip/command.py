"""The edge of every command: errors become one line on stderr and an exit code, never a
traceback."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from roundtrip.errors import EXIT_FAILURE, GroundloopError


def run_command(command: click.Command) -> NoReturn:
    """Run a click command as a program, and exit.

    Usage errors exit with 2, as click has it; our own errors with their `exit_code`.
    """
    try:
        result = command.main(standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except GroundloopError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(EXIT_FAILURE)
