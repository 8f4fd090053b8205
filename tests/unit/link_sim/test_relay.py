"""The link's log: what another run began is gone on from, on a line of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from link_sim.relay import _open_log
from roundtrip.errors import EnvironmentFault


def test_a_line_that_was_cut_off_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    for text, whole in (("", "new\n"), ("old", "old\nnew\n"), ("old\n", "old\n\nnew\n")):
        path.write_text(text)
        log = _open_log(path)
        assert log is not None
        log.write("new\n")
        log.close()
        assert path.read_text() == whole


def test_no_log_where_none_is_wanted(tmp_path: Path) -> None:
    assert _open_log(None) is None
    with pytest.raises(EnvironmentFault, match="give a folder"):
        _open_log(tmp_path / "none" / "frames.jsonl")
