"""Files of one folder on board: nothing outside it can be named."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class NotThere(Exception):
    """There is no such file to be read, and why; the text is for people and models."""


def file_in(folder: Path, name: str, most_bytes: int) -> bytes:
    """What a file holds.

    Args:
        folder: its own folder; links out of it are not followed.
        name: of the file, with slashes for folders within.
        most_bytes: it may have.

    Raises:
        NotThere: it is outside, no plain file, too large, or cannot be read.
    """
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder.resolve())
        if not name or "\0" in name or not inside:
            raise NotThere("no such file")
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise NotThere("no such file")
            with os.fdopen(handle, "rb", closefd=False) as file:
                data = file.read(most_bytes + 1)
        finally:
            os.close(handle)
    except (OSError, ValueError, RuntimeError):
        raise NotThere("no such file") from None
    if len(data) > most_bytes:
        raise NotThere(f"more than {most_bytes} bytes")
    return data


def names_in(folder: Path) -> list[str]:
    """The plain files of a folder, by name."""
    return sorted(one.name for one in folder.iterdir() if one.is_file() and not one.is_symlink())
