"""A link's log as it is read back, cut off or spoilt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from roundtrip.errors import BadInput
from roundtrip.framelog import MAX_CUT_OFF, Fate, FrameFate, read_log, to_line

JUNK = "{"


FATE = FrameFate("uplink", 0, 40, 5, 6, 7, None, Fate.LOST, b"\x03")


@pytest.mark.parametrize(
    ("good", "bad", "is_log"),
    [
        (0, 0, True),
        (0, MAX_CUT_OFF, True),
        (0, MAX_CUT_OFF + 1, False),
        (MAX_CUT_OFF + 3, MAX_CUT_OFF + 3, True),
        (MAX_CUT_OFF + 3, MAX_CUT_OFF + 4, False),
    ],
)
def test_a_log_of_which_most_is_something_else_is_none(
    tmp_path: Path, good: int, bad: int, is_log: bool
) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_text("\n".join([to_line(FATE)] * good + [JUNK] * bad) + "\n\n")
    if is_log:
        assert list(read_log(path)) == [FATE] * good
    else:
        with pytest.raises(BadInput, match=f"{bad} lines of something else"):
            list(read_log(path))


def test_frames_of_uploads_are_marked(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    bulk = replace(FATE, bulk=True)
    path.write_text(f"{to_line(FATE)}\n{to_line(bulk)}\n")
    assert list(read_log(path)) == [FATE, bulk]
    assert "bulk" not in to_line(FATE)
