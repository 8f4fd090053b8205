"""Where made and fetched models are kept, and the making of one by whoever comes first.

A file in the cache is whole: it is made elsewhere and renamed. It must never be changed in place.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from roundtrip.errors import EnvironmentFault


def cache_dir() -> Path:
    """`$GROUNDLOOP_CACHE`, or `groundloop` below `$XDG_CACHE_HOME` or `~/.cache`."""
    own = os.environ.get("GROUNDLOOP_CACHE")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "groundloop"


def made_once(target: Path, make: Callable[[Path], object]) -> Path:
    """The file `target`, made first if it is not there; others who want it wait for the first.

    Args:
        target: a path in the cache.
        make: makes the file at the path given to it, whole or not at all.

    Raises:
        EnvironmentFault: the cache cannot be written.
    """
    if target.exists():
        return target
    lock = target.with_name(f".{target.name}.lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            if not target.exists():
                make(target)
    except OSError as error:
        raise EnvironmentFault(
            f"cache {target.parent}",
            error.strerror or str(error),
            "make it writable, or set GROUNDLOOP_CACHE to a folder that is",
        ) from error
    return target
