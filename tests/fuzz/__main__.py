"""`python -m tests.fuzz TARGET [SECONDS]`: search with atheris (libFuzzer), keep what is new in the
corpus. What it finds it writes to `crash-*` in the current folder.

Files are changed as `mutate.py` says, or as libFuzzer does; their corpus stays out of the
repository, since the tests make theirs anew.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["dtn", "roundtrip", "ground.results"]):
    from roundtrip.errors import BadInput
    from tests.fuzz.files import FILE_TARGETS, file_seeds
    from tests.fuzz.mutate import mutated
    from tests.fuzz.seeds import seeds, write_seeds
    from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
OF_FILES = Path(__file__).parents[2] / "build" / "fuzz"


def main() -> None:
    """Run one target."""
    name, seconds = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "600"
    folder = (OF_FILES if name in FILE_TARGETS else CORPUS) / name
    options = [f"-max_total_time={seconds}", "-timeout=60", "-rss_limit_mb=2048"]
    if name in FILE_TARGETS:
        write_seeds(file_seeds(name), folder)
        arguments = [sys.argv[0], str(folder), *options, "-max_len=65536"]
        atheris.Setup(arguments, _refusing(FILE_TARGETS[name]), custom_mutator=_changed)
    else:
        write_seeds(seeds(name), folder)
        arguments = [sys.argv[0], str(folder), *options, "-max_len=4096"]
        atheris.Setup(arguments, TARGETS[name])
    atheris.Fuzz()


def _refusing(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def use(data: bytes) -> None:
        with suppress(BadInput):
            target(data)

    return use


def _changed(data: bytes, max_size: int, seed: int) -> bytes:
    rng = random.Random(seed)
    if rng.random() < 0.2:
        return bytes(atheris.Mutate(data, max_size))
    return mutated(data, rng)[:max_size]


if __name__ == "__main__":
    main()
