"""The strict CBOR reader: shortest forms only, and the place of every refusal."""

from __future__ import annotations

import cbor2
import pytest

from dtn.bpv7 import cbor
from dtn.errors import BundleError


@pytest.mark.parametrize("value", [0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1])
def test_uint_is_as_short_as_cbor2s(value: int) -> None:
    data = cbor.uint(value)
    assert data == cbor2.dumps(value)
    assert cbor.read_uint(data, 0) == (value, len(data))


@pytest.mark.parametrize("value", [-1, -25, 2**64])
def test_what_is_no_64_bit_number_does_not_encode(value: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        cbor.uint(value)


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        ("1817", 0),
        ("1900ff", 0),
        ("1a0000ffff", 0),
        ("1b00000000ffffffff", 0),
        ("19ff", 0),
        ("20", 0),
        ("1c", 0),
        ("", 0),
    ],
)
def test_uint_refuses(data: str, offset: int) -> None:
    with pytest.raises(BundleError) as caught:
        cbor.read_uint(bytes.fromhex(data), 0)
    assert caught.value.offset == offset


def test_offsets_count_from_the_start_of_the_data() -> None:
    with pytest.raises(BundleError) as caught:
        cbor.read_uint(bytes.fromhex("0000001817"), 3)
    assert (caught.value.offset, caught.value.found) == (3, "23 in 1 bytes")


def test_strings_must_be_definite_and_whole() -> None:
    assert cbor.read_bytes(cbor.byte_string(b"x" * 300), 0) == (3, 303)
    assert cbor.read_text(cbor.text_string("//n/ä"), 0) == ("//n/ä", 7)
    for bad in ("5f4101ff", "4201", "6161", "5803"):
        with pytest.raises(BundleError):
            cbor.read_bytes(bytes.fromhex(bad), 0)
    with pytest.raises(BundleError) as caught:
        cbor.read_text(b"\x63ab\xff", 0)
    assert caught.value.offset == 3


def test_arrays() -> None:
    assert cbor.open_array(b"\x88", 0) == (8, 1)
    assert cbor.open_array(b"\x98\x18", 0) == (24, 2)
    assert cbor.open_array(b"\x9f", 0) == (cbor.INDEFINITE, 1)
    assert cbor.open_pair(b"\x9f", 0) == (True, 1)
    for bad in (b"\x83", b"\x98\x02", b"\x01", b""):
        with pytest.raises(BundleError):
            cbor.open_pair(bad, 0)
    with pytest.raises(BundleError):
        cbor.close_array(b"\x00", 0)
