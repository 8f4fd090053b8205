"""The short form of `make chaos`: a run, and a station that stands, in which everything fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.live import ChaosRun

pytestmark = pytest.mark.live


@pytest.mark.parametrize("seed", [1, 2])
def test_each_question_gets_one_outcome_whatever_fails(tmp_path: Path, seed: int) -> None:
    """`python -m tests.chaos --seed N --runs 1 --seconds 12` shows it."""
    verdict = ChaosRun(seed, tmp_path, 12, standing=seed % 2 == 0).run()
    assert verdict.broken == []
    assert sum(verdict.outcomes.values()) == verdict.questions
    assert sum(verdict.faults.values()) > 2
