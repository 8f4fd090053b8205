"""The link's log: what another run began is gone on from, on a line of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from link_sim.frame_log import HOUR_NS, FrameLog
from roundtrip.errors import EnvironmentFault
from roundtrip.framelog import Fate, FrameFate, to_line


def fate(index: int, handed_ns: int = 0) -> FrameFate:
    return FrameFate("uplink", index, 9, handed_ns, 0, 1, 2, Fate.DELIVERED, b"head")


def test_a_line_that_was_cut_off_is_ended(tmp_path: Path) -> None:
    path, line = tmp_path / "frames.jsonl", to_line(fate(1)) + "\n"
    for text, whole in (("", line), ("old", f"old\n{line}"), ("old\n", f"old\n\n{line}")):
        path.write_text(text)
        log = FrameLog(path)
        log.write(fate(1))
        log.close()
        assert path.read_text() == whole


def test_another_run_gets_a_file_beside(tmp_path: Path) -> None:
    log = FrameLog(tmp_path / "frames.jsonl")
    for run in range(3):
        log.write(fate(run))
        log.flush()
        log.next_run()
    log.close()
    for name, index in (("frames", 0), ("frames-2", 1), ("frames-3", 2)):
        line = (tmp_path / f"{name}.jsonl").read_text()
        assert json.loads(line)["index"] == index


def test_in_a_folder_it_has_a_file_an_hour(tmp_path: Path) -> None:
    log = FrameLog(tmp_path)
    for at in (0, 1, HOUR_NS, 3 * HOUR_NS, 3 * HOUR_NS - 1):
        log.write(fate(at, at))
    log.next_run()
    log.write(fate(7, 3 * HOUR_NS + 1))
    log.close()
    files = sorted(tmp_path.iterdir())
    assert [len(file.read_text().splitlines()) for file in files] == [2, 1, 3]


def test_where_it_cannot_be_written_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="give a folder"):
        FrameLog(tmp_path / "none" / "frames.jsonl")
