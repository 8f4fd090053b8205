"""SDNVs: the examples of RFC 5326 §2.2, and the limits."""

from __future__ import annotations

import pytest

from dtn.errors import SegmentError
from dtn.ltp.sdnv import MAX_VALUE, encode_sdnv, read_sdnv, sdnv_bytes


@pytest.mark.parametrize(
    ("value", "data"),
    [(0xABC, "953c"), (0x1234, "a434"), (0x4234, "818434"), (0x7F, "7f"), (0, "00")],
)
def test_rfc_5326_examples(value: int, data: str) -> None:
    assert encode_sdnv(value) == bytes.fromhex(data)
    assert read_sdnv(bytes.fromhex("ff" + data), 1) == (value, 1 + len(data) // 2)


@pytest.mark.parametrize("bits", range(65))
def test_around_powers_of_two(bits: int) -> None:
    for value in (max(0, 2**bits - 2), 2**bits - 1):
        data = encode_sdnv(value)
        assert len(data) == sdnv_bytes(value)
        assert read_sdnv(data, 0) == (value, len(data))


def test_too_large() -> None:
    with pytest.raises(ValueError, match="64 bits"):
        encode_sdnv(MAX_VALUE + 1)
    with pytest.raises(SegmentError):
        read_sdnv(b"\x82" + b"\x80" * 8 + b"\x00", 0)
    with pytest.raises(SegmentError):
        read_sdnv(b"\x80" * 10 + b"\x00", 0)


def test_padding_is_read() -> None:
    assert read_sdnv(b"\x80\x80\x05", 0) == (5, 3)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff\xff"])
def test_cut_short(data: bytes) -> None:
    with pytest.raises(SegmentError) as caught:
        read_sdnv(data, 0)
    assert caught.value.offset == 0
