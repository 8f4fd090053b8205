"""Bytes of a terminal to keys; keys to a line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ground.terminal.keys import Keys
from ground.terminal.line import Line


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        ("aé多".encode(), ["a", "é", "多"]),
        (b"\r\n\t\x7f\x08\x18", ["enter", "enter", "tab", "backspace", "backspace", "give up"]),
        (b"\x1b[A\x1bOB\x1b[1;5C\x1b[3~", ["up", "down", "word right", "delete"]),
        (b"\x1b[99;9u\x1b[Zx", ["x"]),
        (b"\x1b\rx", ["new line", "x"]),
        (b"\x1b[200~a\r\nb\x1b[31m\tc\x1b[201~d", [*"a", "new line", *"b[31m c", "d"]),
        (b"\xff", ["\ufffd"]),
        (b"\x00\x1c", []),
    ],
)
def test_keys_are_decoded_however_they_are_cut(data: bytes, keys: list[str]) -> None:
    assert Keys().feed(data) == keys
    slow = Keys()
    assert [key for byte in data for key in slow.feed(bytes((byte,)))] == keys


def test_an_escape_that_stands_alone_is_a_key_after_a_while() -> None:
    keys = Keys()
    assert keys.feed(b"\x1b") == []
    assert keys.flush() == ["escape"]
    assert keys.flush() == []
    assert keys.feed(b"[A") == ["[", "A"]


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_are_taken(chunks: list[bytes]) -> None:
    keys, line = Keys(), Line()
    for chunk in chunks:
        for key in [*keys.feed(chunk), *keys.flush()]:
            line.press(key)
            shown, cursor = line.shown(20)
            assert 0 <= cursor <= 20
            assert cell_len(shown) <= 20


def test_a_paste_without_an_end_is_not_kept_for_ever() -> None:
    keys = Keys()
    keys.feed(b"\x1b[" + b"1;" * 40_000)
    assert keys.feed(b"a") == ["a"]


def written(*keys: str) -> Line:
    line = Line()
    for key in keys:
        assert line.press(key)
    return line


@pytest.mark.parametrize(
    ("keys", "text", "cursor"),
    [
        (["a", "b", "left", "c"], "acb", 2),
        (["a", "b", "home", "delete", "end", "c"], "bc", 2),
        ([*"one two", "word left", "cut to end"], "one ", 4),
        ([*"one two ", "cut word"], "one ", 4),
        ([*"one two", "word left", "word left", "word right", "x"], "onex two", 4),
        ([*"one", "left", "cut to start"], "e", 0),
        ([*"one", "escape", "backspace", "left", "right"], "", 0),
        (["a", "new line", "b"], "a\nb", 3),
    ],
)
def test_a_line_is_edited(keys: list[str], text: str, cursor: int) -> None:
    line = written(*keys)
    assert (line.text, line.shown(80)[1]) == (text, cursor)


def test_a_key_of_somebody_else_is_left() -> None:
    assert not Line().press("page up")


def test_lines_before_are_found_again_and_the_new_one_too() -> None:
    line = Line()
    for text in ("one", "two", "two"):
        for character in text:
            line.press(character)
        assert line.take() == text
    line.press("n")
    seen = []
    for key in ("earlier", "earlier", "earlier", "later", "later", "later"):
        line.press(key)
        seen.append(line.text)
    assert seen == ["two", "one", "one", "two", "n", "n"]


def test_a_line_that_could_not_be_used_comes_back_unless_another_is_begun() -> None:
    line = written(*"why")
    line.put_back(line.take())
    assert line.text == "why"
    line.put_back("other")
    assert line.text == "why"


@pytest.mark.parametrize("width", [2, 3, 9, 40])
def test_what_is_shown_is_around_the_cursor(width: int) -> None:
    line = written(*"电池电压 is 7.1 V\n?")
    for _ in range(20):
        _, cursor = line.shown(width)
        assert cursor < width
        line.press("left")
    assert line.shown(9) == ("电池电压", 0)
    assert "⏎" in written("a", "new line").shown(9)[0]


def test_words_are_jumped_over_with_what_parts_them() -> None:
    line = written(*"one  two ")
    line.press("word left")
    line.press("x")
    assert line.text == "one  xtwo "
    line.press("home")
    line.press("word right")
    line.press("word right")
    line.press("y")
    assert line.text == "one  xtwoy "
    start = written(*"  a")
    for _ in range(3):
        start.press("word left")
    start.press("z")
    assert start.text == "z  a"
