"""Bytes from outside that should be one CBOR value."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundtrip.cbor import read_cbor
from roundtrip.errors import BadMessage


def test_one_value_is_read() -> None:
    assert read_cbor(b"\x83\x01\x02\x43abc", "test") == [1, 2, b"abc"]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "test.*CBOR"),
        (b"\x83\x01", "test.*CBOR"),
        (b"\x62\xff\xff", "test.*CBOR"),
        (b"\x01\x02", "test.*offset 1.*more bytes"),
        (b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "test.*CBOR"),
    ],
)
def test_what_is_none_or_more_than_one_says_so(data: bytes, found: str) -> None:
    with pytest.raises(BadMessage, match=found):
        read_cbor(data, "test")


@given(st.binary(max_size=64))
def test_nothing_but_a_value_or_a_bad_message_comes_out(data: bytes) -> None:
    with contextlib.suppress(BadMessage):
        read_cbor(data, "test")
