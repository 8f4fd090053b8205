"""Prompts that are not tried a third time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node import quarantine
from node.quarantine import Quarantine
from roundtrip.message import Turn


def test_a_prompt_is_known_with_its_system_prompt_and_schema_whatever_the_question(ask) -> None:
    kept, first = Quarantine(), ask(1, "Why?")
    kept.add(first)
    assert first in kept
    assert replace(first, question_id=2, max_tokens=3) in kept
    for change in ({"text": "Why"}, {"system": "x"}, {"schema": "{}"}):
        assert replace(first, **change) not in kept
    moved = replace(first, system="Why?", text="")
    assert moved not in kept, "each by itself, not all as one text"


def test_the_oldest_is_forgotten_where_they_are_too_many(
    ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "MAX_KEPT", 2)
    kept = Quarantine()
    for number in range(3):
        kept.add(ask(1, f"{number}?"))
        assert ask(1, f"{number}?") in kept
        assert (ask(1, "0?") in kept) == (number < 2)
    assert ask(1, "1?") in kept


def test_what_was_said_before_counts_too(ask) -> None:
    kept, alone = Quarantine(), ask(1, "Why?")
    kept.add(replace(alone, turns=(Turn("a", "b"),)))
    assert replace(alone, question_id=9, turns=(Turn("a", "b"),)) in kept
    assert alone not in kept
    assert replace(alone, turns=(Turn("b", "a"),)) not in kept
