from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ground.parts import Parts
from roundtrip.message import MAX_TEXT_BYTES, Answer, Part, digest_of


def answer(text: str, start: int = 0, whole: str = "") -> Answer:
    digest = digest_of(whole.encode()) if start else b""
    return Answer(1, text, "stop", 1, 1, 1, 2, 3, 4, 0, 0, start, digest)


def test_an_answer_that_is_all_there_needs_no_parts() -> None:
    assert Parts().whole(answer("Yes.")) == answer("Yes.")
    assert Parts([Part(1, 0, "No")]).whole(answer("Yes.")) == answer("Yes.")


@given(st.text(min_size=1), st.data())
def test_parts_in_any_order_make_the_whole_answer(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text)), min_size=1)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], cuts, strict=False)]
    starts = [len(text[:a].encode()) for a in [0, *cuts]]
    parts = [Part(1, start, piece) for start, piece in zip(starts, pieces, strict=False)]
    held = Parts(data.draw(st.permutations(parts)))
    assert held.text == text[: cuts[-1]]
    rest = answer(text[cuts[-1] :], starts[-1], text)
    assert held.whole(rest) == answer(text)


def test_after_a_gap_nothing_counts() -> None:
    assert Parts([Part(1, 0, "ab"), Part(1, 4, "ef")]).text == "ab"
    assert Parts([Part(1, 2, "cd")]).whole(answer("ef", 4, "abcdef")) is None


def test_parts_of_another_answer_do_not_make_this_one() -> None:
    assert Parts([Part(1, 0, "No")]).whole(answer("s", 2, "Yes")) is None


def test_a_cut_through_a_character_does_not_raise() -> None:
    data = "é".encode()[:1] + b"x"
    bad = Answer(1, "x", "stop", 1, 1, 1, 2, 3, 4, 0, 0, 1, digest_of(data))
    found = Parts([Part(1, 0, "é")]).whole(bad)
    assert found is not None
    assert found.text == "\ufffdx"


def test_a_node_cannot_fill_the_memory_with_parts() -> None:
    parts = Parts([Part(1, 0, "a")])
    for start in range(1, 100):
        parts.add(Part(1, start, "b" * (MAX_TEXT_BYTES - 1)))
    assert len(parts.text.encode()) == MAX_TEXT_BYTES


def test_parts_may_be_together_as_long_as_a_text() -> None:
    held = Parts([Part(1, 0, "ü" * 20_000)])
    held.add(Part(1, 40_000, "x" * 25_537))
    assert len(held.text) == 20_000, "one byte too many"
    held.add(Part(1, 40_000, "x" * 25_536))
    assert len(held.text.encode()) == 65_536
