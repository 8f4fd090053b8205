"""What the docs say to type is typed, in a folder of its own.

A block that is marked `<!-- not run: why -->` on the line before stands for itself.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"(?P<not><!-- not run: (?P<why>[^>]+) -->\n)?```sh\n(?P<text>.*?)```", re.S)
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
FOUND = [
    (path.name, number, match)
    for path in PAGES
    for number, match in enumerate(BLOCK.finditer(path.read_text()), 1)
]
RUN = [(page, number, match["text"]) for page, number, match in FOUND if not match["not"]]


def test_there_are_some_and_those_left_out_say_why() -> None:
    assert {page for page, _, _ in RUN} >= {"README.md", "how-to.md", "scenario.md"}
    assert all(len(match["why"]) > 5 for _, _, match in FOUND if match["not"])


@pytest.mark.parametrize(
    ("page", "number", "text"), RUN, ids=[f"{page}-{number}" for page, number, _ in RUN]
)
def test_a_block_of_commands_does_what_it_says(
    page: str, number: int, text: str, tmp_path: Path
) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "groundloop").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m testbed "$@"\n')
    (commands / "groundloop").chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", text],
        cwd=tmp_path,
        env=os.environ
        | {
            "PATH": f"{commands}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "GROUNDLOOP_KEYS": str(tmp_path / "keys.toml"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{page}, block {number}:\n{done.stdout}{done.stderr}"
