"""A file that is either wholly there or not at all.

It must never leave a half-written file under the target's name, nor a temporary one after a
failure.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from roundtrip.errors import EnvironmentFault


@contextlib.contextmanager
def atomic_target(target: Path) -> Iterator[Path]:
    """An empty file beside `target`, renamed to it at the end, removed on any failure.

    Raises:
        EnvironmentFault: the folder cannot be written, or the disk is full.
    """
    try:
        with temporary_beside(target) as temporary:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(target)
    except OSError as error:
        raise _unwritable(target, error) from error


@contextlib.contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """An empty temporary file in `target`'s folder, made if need be; removed at the end.

    Raises:
        EnvironmentFault: the folder cannot be written, or the disk is full.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(
            prefix=f".{target.name}.", suffix=".part", dir=target.parent
        )
        os.fchmod(descriptor, 0o644)
        os.close(descriptor)
    except OSError as error:
        raise _unwritable(target, error) from error
    temporary = Path(name)
    try:
        yield temporary
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _unwritable(target: Path, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        f"write {target}",
        error.strerror or str(error),
        "free the disk, or choose another place (--out, GROUNDLOOP_CACHE)",
    )
