"""A run in other forms: Markdown, CSV that can be scored again, a picture."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from ground.results import picture
from ground.results.formats import to_csv, to_markdown
from ground.results.loop_log import read_log
from ground.results.picture import write_picture
from ground.results.summary import summarise
from node.service_time import load_profile
from roundtrip.budget import Budget
from roundtrip.command import SHIPPED
from roundtrip.errors import EnvironmentFault
from roundtrip.scenario_file import load_scenario
from roundtrip.units import NS_PER_S
from testbed.world import World


@pytest.fixture(scope="module")
def run():
    return World(load_scenario(SHIPPED / "demo.toml"), 1, load_profile("builtin")).run()


def test_csv_is_a_log_that_gives_the_same_loops(run, tmp_path: Path) -> None:
    odd = replace(run.records[0].planned, text='one, "two"\nthree;=4')
    records = [replace(run.records[0], planned=odd), *run.records[1:]]
    path = tmp_path / "loops.csv"
    path.write_text(to_csv(records, "tiny"))
    log = read_log(path, Budget(120 * NS_PER_S, 600 * NS_PER_S, 0.95))
    assert [one.loop_ns for one in log.records] == [one.loop_ns for one in records]
    assert [one.outcome for one in log.records] == [one.outcome for one in records]
    assert [one.phases_ns for one in log.records] == [one.phases_ns for one in records]
    assert log.records[0].planned.text == odd.text
    assert (log.model, log.ignored) == ("tiny", [])


def test_markdown_has_sentence_verdict_and_tables(run) -> None:
    summary = summarise(run) | {"scenario": "a|b<c", "refused": {"too|long": 2}}
    text = to_markdown(summary)
    assert text.startswith("# a\\|b&lt;c\n\n" + summary["sentence"])
    assert "| too\\|long | 2 |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {3, 6}


def test_the_picture_is_a_png_of_its_size(run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "report.png"
    for records in (run.records, []):
        write_picture(records, summarise(replace(run, records=records)), path)
        head = path.read_bytes()[:24]
        assert head[:8] == b"\x89PNG\r\n\x1a\n"
        sizes = [int.from_bytes(head[at : at + 4], "big") for at in (16, 20)]
        assert sizes == [1600, 900]


def test_without_the_extra_it_says_which_one(run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'groundloop\[png\]'"):
        write_picture(run.records, summarise(run), tmp_path / "x.png")


def test_bars_of_phases_stand_on_each_other(answered) -> None:
    axes = MagicMock()
    records = [answered(0), answered(1)]
    picture._phases(axes, records)
    bars = [(list(call.kwargs["bottom"]), call.args[1]) for call in axes.bar.call_args_list]
    assert len(bars) > 2
    for (bottom, heights), (above, _) in itertools.pairwise(bars):
        assert above == pytest.approx([a + b for a, b in zip(bottom, heights, strict=True)])
    top = [a + b for a, b in zip(*bars[-1], strict=True)]
    assert top == pytest.approx([record.loop_ns / 1e9 for record in records])
