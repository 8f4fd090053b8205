"""The `keys` commands: make, show and rotate the keys that ground and node share.

Shows ids and fingerprints; a secret must never reach the terminal.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from roundtrip.drive.entropy import system_bytes
from roundtrip.errors import BadConfig
from roundtrip.keys import (
    SharedKeys,
    keys_path,
    new_keys,
    read_keys,
    rotated,
    write_keys,
)
from roundtrip.say import say

_FILE = click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Key file.  [default: $GROUNDLOOP_KEYS, else ~/.config/groundloop/keys.toml]",
)


@click.group("keys")
def keys() -> None:
    """Make, show and rotate the keys that sign and encrypt what goes over the link.

    Ground and node need the same key file. It is made at first use; on two machines, copy it from
    one to the other by a way you trust.
    """


@keys.command("new")
@_FILE
def new_command(path: Path | None) -> None:
    """Make a key file. One that exists is left alone.

    Example: groundloop keys new
    """
    path = path or keys_path(os.environ)
    made = new_keys(system_bytes)
    try:
        write_keys(path, made)
    except FileExistsError:
        remedy = "no file; `groundloop keys rotate` changes keys"
        raise BadConfig(str(path), "", remedy, "a file") from None
    _show(path, made)


@keys.command("show")
@_FILE
def show_command(path: Path | None) -> None:
    """Print ids and fingerprints, to compare the files of two machines.

    Example: groundloop keys show
    """
    path = path or keys_path(os.environ)
    _show(path, read_keys(path))


@keys.command("rotate")
@_FILE
def rotate_command(path: Path | None) -> None:
    """Take the next step of a rotation, without a moment in which the two ends disagree.

    First step: a new key is accepted besides the one in use. Second step: the new key is used, the
    old one still accepted. Copy the file to the other end and restart both after each step.

    Example: groundloop keys rotate
    """
    path = path or keys_path(os.environ)
    before = read_keys(path)
    after = rotated(before, system_bytes)
    write_keys(path, after, replace=True)
    _show(path, after)
    if after.sending == before.sending:
        say("copy the file to the other end, restart both, then `groundloop keys rotate`")
    else:
        say("copy the file to the other end and restart both")


def _show(path: Path, shared: SharedKeys) -> None:
    say(path)
    for key in shared.keys:
        use = "sends and is accepted" if key.key_id == shared.sending else "is accepted"
        say(f"{key.key_id}  {key.fingerprint}  {use}")
