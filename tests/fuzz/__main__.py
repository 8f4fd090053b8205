"""`python -m tests.fuzz TARGET [SECONDS]`: search with atheris (libFuzzer), keep what is new in the
corpus. What it finds it writes to `crash-*` in the current folder."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["dtn"]):
    from tests.fuzz.seeds import write_seeds
    from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    """Run one target."""
    name, seconds = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "600"
    folder = CORPUS / name
    write_seeds(name, folder)
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=2048"]
    atheris.Setup([sys.argv[0], str(folder), *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
