"""Every input that a search has kept, and the seeds, through their targets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.forged import accepted
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_the_corpus_is_replayed(name: str) -> None:
    files = sorted((CORPUS / name).iterdir())
    assert len(files) > 20, "a corpus that a search has made"
    for path in files:
        TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_genuine_inputs_pass(name: str) -> None:
    for seed in seeds(name):
        TARGETS[name](seed)


def test_no_changed_compressed_bundle_is_taken() -> None:
    """A short form of `python -m tests.fuzz.forged`."""
    assert accepted(3000, 7) == []
