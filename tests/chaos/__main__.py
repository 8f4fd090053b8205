"""`make chaos`: live runs in which everything fails; 1 where a promise is broken.

python -m tests.chaos [--seed N] [--runs N] [--seconds S]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.chaos.live import ChaosRun


def main() -> int:
    """Do the runs, one after the other; a failing one prints the line that repeats it."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=45.0)
    options = parser.parse_args()
    faults: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    failed = questions = 0
    for seed in range(options.seed, options.seed + options.runs):
        with tempfile.TemporaryDirectory() as folder:
            run = ChaosRun(seed, Path(folder), options.seconds, standing=seed % 2 == 0)
            verdict = run.run()
        faults.update(verdict.faults)
        outcomes.update(verdict.outcomes)
        questions += verdict.questions
        failed += bool(verdict.broken)
        print(
            f"seed {seed}: {verdict.questions} questions, {dict(verdict.outcomes)}, "
            f"{sum(verdict.faults.values())} faults",
            flush=True,
        )
        for what in verdict.broken:
            print(
                f"  BROKEN: {what}; again with: python -m tests.chaos --seed {seed} --runs 1 "
                f"--seconds {options.seconds:g}",
                flush=True,
            )
    for name, number in sorted(faults.items()):
        print(f"{number:6d}  {name}")
    print(f"{options.runs} runs, {questions} questions, {dict(outcomes)}: {failed} runs broken")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
