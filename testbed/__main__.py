"""`groundloop`, also `python -m testbed`."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point."""
    try:
        from roundtrip.command import run_command
        from testbed.commands.cli import cli
    except KeyboardInterrupt:
        sys.exit("stopped")
    run_command(cli)


if __name__ == "__main__":
    main()
