"""Files from outside, whatever they hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from roundtrip.errors import LONGEST_LINE, BadConfig
from roundtrip.files import MAX_DEPTH, parse_json, parse_toml, read_text, read_toml


def test_a_byte_order_mark_is_dropped_and_only_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "it.txt"
    path.write_bytes("\ufeffone\ufefftwo".encode())
    assert read_text(path, "a file") == "one\ufefftwo"


def test_line_ends_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "it.txt").write_bytes(b"a\r\nb\rc\n")
    assert read_text(tmp_path / "it.txt", "a file") == "a\r\nb\rc\n"


def test_a_pipe_is_no_file_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(BadConfig, match=r"a profile that is a regular file, found something else"):
        read_text(tmp_path / "pipe.toml", "a profile")


@pytest.mark.parametrize("name", [".", "none", "x" * 300])
def test_what_cannot_be_read_says_why(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadConfig, match="a profile that"):
        read_text(tmp_path / name, "a profile")


def test_a_path_that_no_file_can_have(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="NUL"):
        read_text(tmp_path / "a\0b", "a profile")
    with pytest.raises(BadConfig, match="a path in UTF-8"):
        read_text(tmp_path / "a\udcffb", "a profile")


def test_the_limit_counts_bytes(tmp_path: Path) -> None:
    path = tmp_path / "it.txt"
    path.write_text("é" * 5)
    assert read_text(path, "a file", limit_bytes=10) == "é" * 5
    with pytest.raises(BadConfig, match="at most 9 bytes, found more"):
        read_text(path, "a file", limit_bytes=9)


def test_bytes_that_are_not_utf_8_are_named_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "it.txt"
    path.write_bytes(b"ab\xffc")
    with pytest.raises(BadConfig, match=r"expected UTF-8, found byte 0xff at offset 2"):
        read_text(path, "a file")


def nested(depth: int) -> list[str]:
    """TOML of a depth, by each of the ways there are to nest."""
    key = ".".join(["a"] * (depth + 1))
    return [
        f"x = {'[' * depth}{']' * depth}",
        f"x = {'{a = ' * depth}1{'}' * depth}",
        f"{key} = 1",
        f"x = {{ {key} = 1 }}",
        f'x = ["""\\"a"""", {{ {key} = 1 }}]',
    ]


@pytest.mark.parametrize("text", nested(MAX_DEPTH + 2) + nested(20_000))
def test_what_is_nested_too_deep_is_refused_at_once(text: str) -> None:
    with pytest.raises(BadConfig, match=r"x: line 2: expected at most 32 levels"):
        parse_toml(f"\n{text}\n", "x")


@pytest.mark.parametrize("text", nested(MAX_DEPTH - 3))
def test_less_is_read(text: str) -> None:
    assert parse_toml(text, "x")


@pytest.mark.parametrize(
    "value",
    [
        '"' + "[{." * 50 + '\\"' + "[" * 50 + '"',
        "'" + "[{." * 50 + "'",
        '"""' + "[{.\n" * 50 + '""' + "[" * 50 + '"""',
        "'''" + "[{.\n" * 50 + "''" + "[" * 50 + "'''",
        "1 # " + "[{." * 50,
        "[" + "1.5, " * 50 + "]",
        "[" + "[1.5],\n" * 50 + "]",
    ],
)
def test_marks_in_strings_and_comments_nest_nothing(value: str) -> None:
    assert "x" in parse_toml(f"x = {value}\ny.z = 1", "x")


@pytest.mark.parametrize(
    "text",
    ['"' * 500_001, '"\\' * 200_000, "'''" * 100_001, '"""\\' * 100_000, "x = '" + "a" * 500_000],
)
def test_no_text_takes_more_than_one_look(text: str) -> None:
    with pytest.raises(BadConfig, match="expected TOML"):
        parse_toml(text, "x")


@pytest.mark.parametrize("text", ["x = [" + "1," * 2_000_001 + "]", "\n" * 2_000_002])
def test_a_file_of_millions_of_values_is_not_parsed(text: str) -> None:
    with pytest.raises(BadConfig, match="at most 2,000,000 lines, keys and values, found more"):
        parse_toml(text, "x")


def test_a_number_of_5000_digits_is_no_toml() -> None:
    with pytest.raises(BadConfig, match="expected TOML, found too long a number"):
        parse_toml("seed = " + "9" * 5000, "x")


@pytest.mark.parametrize("text", ["[" * 100_000, "NaN", '"\\ud800"', "1" * 5000, "", "{} x"])
def test_strict_json(text: str) -> None:
    with pytest.raises(BadConfig, match="expected JSON"):
        parse_json(text, "x")


def test_an_error_is_one_line_of_printable_characters(tmp_path: Path) -> None:
    path = tmp_path / "a\nb.toml"
    path.write_text("x = ")
    with pytest.raises(BadConfig) as caught:
        read_toml(path, "a file")
    assert str(caught.value).isprintable()
    assert "a b.toml" in str(caught.value)
    assert len(str(BadConfig("x" * 9_000, "", "", ""))) == LONGEST_LINE
