"""A model is loaded as a node is told to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models.resolve import resolve
from node.engine.loading import loaded
from node.engine.wire import Load
from roundtrip.errors import BadModel

LOAD = Load(
    str(resolve("tiny")), 256, 2, 1, "f16", False, False, "", "", use_extra_bufts=False,
    fixed_width=True,
)  # fmt: skip


def nothing(line: str) -> None:
    raise AssertionError(line)


def test_threads_and_sequences_are_those_that_are_told() -> None:
    found = loaded(LOAD, [], nothing)
    assert (found.choice.threads, found.engine.settings.sequences, found.files) == (1, 2, None)
    assert found.batcher.width == 2
    assert not found.batcher.drafting
    assert found.batcher.prefill_ns == found.choice.prefill_ns > 0
    assert found.batcher.step_ns == found.choice.step_ns


def test_threads_are_tried_where_none_are_told(tmp_path: Path) -> None:
    load = replace(LOAD, threads=0, drafts=True, states=str(tmp_path))
    assert loaded(load, [1], nothing).choice.threads == 1
    assert len(list(tmp_path.glob("*.json"))) == 1
    assert loaded(load, [1], nothing).batcher.drafting


def test_a_model_that_is_scrubbed_is_kept_twice(tmp_path: Path) -> None:
    load = replace(LOAD, private=True, scrub=True, states=str(tmp_path))
    found = loaded(load, [], nothing)
    assert found.files is not None
    (second,) = tmp_path.glob("*.gguf")
    assert second.read_bytes() == resolve("tiny").read_bytes()


def test_a_draft_has_to_have_the_same_vocabulary(tmp_path: Path) -> None:
    same = loaded(replace(LOAD, drafts=True, draft=LOAD.path), [], nothing)
    assert same.batcher.drafting
    with pytest.raises(BadModel, match=r"node\.draft"):
        loaded(replace(LOAD, drafts=True, draft=str(resolve("builtin"))), [], nothing)
