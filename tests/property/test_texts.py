"""Texts: each comes back whole and never longer; junk is refused with its own error."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from roundtrip.errors import BadMessage
from roundtrip.text.packing import known, pack, unpack

MOST = 4096
WORDS = st.sampled_from(
    ["the ", "battery", " is ", "12.4 V", '{"a": ', "]", "电池", "，", "é", "🙂", "\0", "\n", "zq"]
)


@given(st.text() | st.lists(WORDS, max_size=60).map("".join))
@settings(max_examples=200, deadline=None)
def test_a_text_comes_back_whole_and_never_longer(text: str) -> None:
    value = pack(text)
    raw = text.encode()
    assert value == text or (isinstance(value, bytes) and len(value) < len(raw))
    assert unpack(value, len(raw)) == text


@given(st.binary(max_size=100), st.sampled_from([*known(), 0]))
@settings(max_examples=300, deadline=None)
def test_junk_is_refused_with_its_own_error(junk: bytes, first: int) -> None:
    for value in (junk, bytes([first]) + junk):
        with suppress(BadMessage):
            assert len(unpack(value, MOST).encode()) <= MOST


@given(st.lists(WORDS, min_size=8, max_size=30).map("".join), st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_text_is_refused_or_never_longer(text: str, data: st.DataObject) -> None:
    value = pack(text)
    if isinstance(value, bytes):
        at = data.draw(st.integers(0, len(value) - 1))
        bit = 1 << data.draw(st.integers(0, 7))
        damaged = value[:at] + bytes([value[at] ^ bit]) + value[at + 1 :]
        with suppress(BadMessage):
            assert len(unpack(damaged, MOST).encode()) <= MOST
