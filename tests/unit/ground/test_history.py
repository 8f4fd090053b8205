"""The history: what is noted once, and found again by its words."""

from __future__ import annotations

from pathlib import Path

import pytest

from ground.history import MAX_QUERY_CHARS, MAX_WORDS, History
from roundtrip.errors import BadInput

ASKED = [
    ("Is the battery low?", "Yes, 7.1 V."),
    ("电池电压低吗?", "低"),
    ("Which wheel spins fastest?", 'RW-3 "spare" at 4\'200'),
    ("Is the battery of the lander low?", None),
]


@pytest.fixture
def history(tmp_path: Path) -> History:
    history = History(tmp_path / "history.sqlite")
    for number, (text, answer) in enumerate(ASKED):
        told = {"id": f"{number:014x}", "text": text, "answer": answer, "outcome": "on_time"}
        history.add(told, f"runs/{number}", 1_700_000_000 + number)
    return history


def found(history: History, query: str, count: int = 10) -> list[int]:
    return [int(one["id"], 16) for one in history.find(query, count)]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("battery", [3, 0]),
        ("BATT low", [3, 0]),
        ("battery lander", [3]),
        ("lander wheel", []),
        ("attery", []),
        ("7.1", [0]),
        ("电压", [1]),
        ("低 电池", [1]),
        ("电池 battery", []),
        ("rw-3", [2]),
        ('"spare"', [2]),
        ("4'200", [2]),
        ("?", [3, 2, 1, 0]),
        ("AND OR NOT", []),
        ("NEAR(", []),
        ("text:battery", []),
        ("", [3, 2, 1, 0]),
    ],
)
def test_all_words_must_be_there(history: History, query: str, numbers: list[int]) -> None:
    assert found(history, query) == numbers


def test_so_many_are_found_and_the_newest_first(history: History) -> None:
    assert found(history, "battery", 1) == [3]
    (one,) = history.find("wheel", 5)
    assert (one["run"], one["unix_s"], one["answer"]) == ("runs/2", 1_700_000_002, ASKED[2][1])


@pytest.mark.parametrize("query", ["x" * (MAX_QUERY_CHARS + 1), "x " * (MAX_WORDS + 1)])
def test_a_query_that_is_too_long_is_refused(history: History, query: str) -> None:
    with pytest.raises(BadInput, match="at most 16 words and 400 characters"):
        history.find(query, 5)
    assert found(history, query[:MAX_QUERY_CHARS].strip()[: 2 * MAX_WORDS - 1]) == []


def test_a_question_is_noted_once(history: History, tmp_path: Path) -> None:
    history.add({"id": f"{0:014x}", "text": "battery", "answer": "other"}, "runs/9", 5)
    assert len(history) == len(ASKED)
    history.close()
    again = History(tmp_path / "history.sqlite")
    assert again.one(f"{0:014x}")["answer"] == "Yes, 7.1 V."
    assert again.one("ffff") is None
    assert found(again, "battery") == [3, 0]
    again.close()


def test_pages_go_back_from_a_question(history: History) -> None:
    def page(count: int, before: str | None = None) -> list[int]:
        return [int(one["id"], 16) for one in history.latest(count, before)]

    assert page(3) == [3, 2, 1]
    assert page(3, f"{1:014x}") == [0]
    assert page(3, f"{0:014x}") == []
    assert page(2, "not one") == [3, 2]
