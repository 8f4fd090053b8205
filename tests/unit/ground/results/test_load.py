"""A run's folder that was damaged: one line that says where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ground.results.load import load_run
from roundtrip.errors import BadInput
from tests.fuzz.files import BETWEEN, file_seeds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = ("summary.json", "loops.jsonl", "scenario.toml")
    for name, content in zip(names, file_seeds("folder")[0].split(BETWEEN), strict=True):
        (tmp_path / name).write_bytes(content)
    return tmp_path


def damage(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / name
    first, *others = path.read_text().split("\n") if name == "loops.jsonl" else [path.read_text()]
    fields = json.loads(first)
    change(fields)
    path.write_text("\n".join([json.dumps(fields), *others]))


def answered(line: dict[str, Any]) -> None:
    line["outcome"] = "on_time"
    line["stamps_ns"].pop("answered", None)


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("summary.json", lambda s: s.pop("goodput"), "summary.json: goodput: expected a value"),
        ("summary.json", lambda s: s.update(goodput="x"), "goodput: expected a number, fou"),
        (
            "summary.json",
            lambda s: s.update(goodput=None),
            "goodput: expected a number, fou",
        ),
        ("summary.json", lambda s: s.update(loop_ms=[]), "loop_ms: expected a table"),
        ("summary.json", lambda s: s["loop_ms"].pop("p50"), r"loop_ms\.p50: expected a value"),
        ("summary.json", lambda s: s["phases_ms"].update(x={}), r"phases_ms\.x"),
        ("summary.json", lambda s: s["outcomes"].update(late="1"), r"outcomes\.late: expected a n"),
        ("summary.json", lambda s: s.update(scenario=5), "scenario: expected a text, found 5"),
        ("summary.json", lambda s: s.update(schema_version=99), "schema_version"),
        ("summary.json", lambda s: s.update(seed=-1), "seed"),
        ("summary.json", lambda s: s.update(interrupted=None), "interrupted"),
        ("summary.json", lambda s: s.update(link=[]), "link"),
        ("summary.json", lambda s: s["link"]["uplink"].update(frames="x"), r"link\.uplink\.frames"),
        ("summary.json", lambda s: s.update(node={"model": [1]}), r"node\.model"),
        ("summary.json", lambda s: s.update(rejected={"x": "y"}), r"rejected\.x"),
        ("summary.json", lambda s: s.update(air=[]), "air"),
        ("summary.json", lambda s: s["air"].pop("down"), r"air\.down"),
        ("summary.json", lambda s: s["air"]["up"].pop("repeats"), r"air\.up\.repeats"),
        ("summary.json", lambda s: s["air"]["up"].update(text=-1), r"air\.up\.text"),
        (
            "summary.json",
            lambda s: s["energy"].update(charge=[[1e9, 1]]),
            r"energy\.charge\.0\.0",
        ),
        ("summary.json", lambda s: s["energy"].update(charge=[[1, 2]]), r"energy\.charge\.0\.1"),
        ("summary.json", lambda s: s.update(length_s=1e300), "length_s"),
        ("summary.json", lambda s: s.update(seed=2**63), "seed"),
        ("loops.jsonl", lambda r: r.update(index="x"), "loops.jsonl: line 1: index"),
        ("loops.jsonl", lambda r: r.pop("split"), "line 1: split: expected a value, found nothing"),
        ("loops.jsonl", lambda r: r.update(outcome="fine"), "line 1: expected a loop of ours"),
        ("loops.jsonl", lambda r: r.update(question_id="x"), "line 1: question_id"),
        ("loops.jsonl", lambda r: r["stamps_ns"].update(answered=2**62), r"stamps_ns\.answered"),
        ("loops.jsonl", lambda r: r["stamps_ns"].update(answered=0), "in the order of the stages"),
        (
            "loops.jsonl",
            lambda r: r["stamps_ns"].pop("intended"),
            "line 1: expected a loop of ours",
        ),
        ("loops.jsonl", lambda r: r["stamps_ns"].update(x=0), r"stamps_ns\.x"),
        ("loops.jsonl", lambda r: r.update(node_ns=[1, 2]), r"node_ns"),
        ("loops.jsonl", lambda r: r.update(node_delivered_us="x"), r"node_delivered_us"),
        ("loops.jsonl", lambda r: r.update(node_delivered_us=-1), r"node_delivered_us"),
        ("loops.jsonl", lambda r: r.update(detail=[1]), r"detail"),
        ("loops.jsonl", answered, "when it was answered"),
    ],
)
def test_what_is_wrong_is_named(
    folder: Path, name: str, change: Callable[[dict[str, Any]], object], match: str
) -> None:
    load_run(folder)
    damage(folder, name, change)
    with pytest.raises(BadInput, match=match) as caught:
        load_run(folder)
    assert str(folder / name) in caught.value.source


@pytest.mark.parametrize("name", ["summary.json", "loops.jsonl", "scenario.toml"])
@pytest.mark.parametrize("content", [b"\xff", b"[" * 100_000, b"[]", b'{"a": "\\ud800"}', b"{"])
def test_what_is_none_of_a_run(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(BadInput) as caught:
        load_run(folder)
    assert str(folder / name) in caught.value.source


def test_files_may_begin_with_a_byte_order_mark(folder: Path) -> None:
    before, _ = load_run(folder)
    for path in folder.iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    after, _ = load_run(folder)
    assert after == before


def test_a_charge_is_kept_in_thousandths(folder: Path) -> None:
    damage(folder, "summary.json", lambda s: s["energy"].update(charge=[[1.5, 1], [2, 0.25]]))
    assert load_run(folder)[0].charge == [(1_500_000_000, 1000), (2_000_000_000, 250)]


def test_the_largest_seed_is_one(folder: Path) -> None:
    damage(folder, "summary.json", lambda s: s.update(seed=2**63 - 1))
    load_run(folder)
