"""Text of others, and how things are named."""

from __future__ import annotations

import pytest

from roundtrip.words import between, count, duration, percent, printable, shown


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[/var/log/x] [red] :smile: \\n", "[/var/log/x] [red] :smile: \\n"),
        ("a\nb\r\tc\u2028d\u00a0e", "a b  c d e"),
        ("\x1b[2J\x00\x7f\x9b", r"\x1b[2J\x00\x7f\x9b"),
        ("\u202eevil\u2066\ufeff\u200b", r"\u202eevil\u2066\ufeff\u200b"),
        ("\ud800 \U000e0001", r"\ud800 \U000e0001"),
        ("température 🛰 „ü“ 温度", "température 🛰 „ü“ 温度"),
    ],
)
def test_text_of_others_is_one_printable_line(text: str, line: str) -> None:
    assert shown(text) == line
    assert shown(text).isprintable()


def test_what_is_cut_ends_in_an_ellipsis() -> None:
    assert shown("a  b\n\nc", 20) == "a b c"
    assert shown("abcdefgh", 8) == "abcdefgh"
    assert shown("abcdefgh", 5) == "abcd…"
    assert shown("", 5) == ""


def test_lines_of_our_own_stay_lines() -> None:
    assert printable("a\nb\x1b\n") == "a\nb\\x1b\n"


def test_nouns_are_counted_in_one_way() -> None:
    assert [count(n, "thread") for n in (0, 1, 2)] == ["0 threads", "1 thread", "2 threads"]
    assert count(1, "pass", "passes") == "1 pass"
    assert count(2048, "pass", "passes") == "2,048 passes"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.25, "250 µs"), (12.34, "12.3 ms"), (1500, "1.50 s")],
)
def test_durations_are_written_as_people_read_them(value: float | None, text: str) -> None:
    assert duration(value) == text


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (1, 2, "100.00%"),
        (0, 1, "0.0%"),
        (0.985, 1, "98.5%"),
        (0.9999, 1, "99.99%"),
        (0.99999, 2, "99.999%"),
        (0.00004, 1, "0.004%"),
    ],
)
def test_only_all_is_said_to_be_all(share: float, digits: int, text: str) -> None:
    assert percent(share, digits) == text


def test_an_interval_may_be_open() -> None:
    assert between("1 s", "2 s") == "1 s to 2 s"
    assert between("1 s", None) == "≥ 1 s"
    assert between(None, "2 s") == "≤ 2 s"
    assert between(None, None) == "–"
