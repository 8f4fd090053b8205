"""Endpoint ids as text and as CBOR (RFC 9171 §4.2.5.1)."""

from __future__ import annotations

import pytest

from dtn.bpv7.eid import encode_eid, is_local_node, is_null, read_eid, read_eid_as_written
from dtn.errors import BundleError


@pytest.mark.parametrize(
    ("eid", "data"),
    [
        ("ipn:10.1", "8202820a01"),
        ("ipn:0.0", "8202820000"),
        (f"ipn:{2**64 - 1}.0", "8202821bffffffffffffffff00"),
        ("dtn:none", "820100"),
        ("dtn://node/", "8201672f2f6e6f64652f"),
        ("dtn://node/~group", "82016d2f2f6e6f64652f7e67726f7570"),
    ],
)
def test_both_ways(eid: str, data: str) -> None:
    raw = bytes.fromhex(data)
    assert encode_eid(eid) == raw
    assert read_eid(b"\x00" + raw, 1) == (eid, len(raw) + 1)


@pytest.mark.parametrize(
    "eid",
    [
        *["", "ipn:1", "ipn:1.", "ipn:01.1", "ipn:-1.2", f"ipn:{2**64}.1", "ipn:1.2.3"],
        *["http://x/", "dtn:", "dtn:node", "dtn://node", "dtn:///x", "dtn://node/a b"],
        *["dtn://nöde/x", "dtn://no[de/x", "dtn://no%2/x"],
    ],
)
def test_malformed_text_is_refused(eid: str) -> None:
    with pytest.raises(ValueError, match="endpoint id"):
        encode_eid(eid)


def test_indefinite_items_are_read() -> None:
    assert read_eid(bytes.fromhex("9f029f0a01ffff"), 0) == ("ipn:10.1", 7)
    assert read_eid(bytes.fromhex("82029f000a01ff"), 0) == ("ipn:10.1", 7)
    assert read_eid(bytes.fromhex("82017f632f2f61632f6263ff"), 0) == ("dtn://a/bc", 12)


def test_an_allocator_of_its_own_is_the_same_id() -> None:
    """RFC 9758 §6.1: the example of an id with allocator 977000, in two numbers and in three."""
    two = bytes.fromhex("8202821b000ee868000000641903e8")
    three = bytes.fromhex("8202831a000ee86818641903e8")
    eid = f"ipn:{977_000 << 32 | 100}.1000"
    assert read_eid_as_written(two, 0) == (eid, 2, len(two))
    assert read_eid_as_written(three, 0) == (eid, 3, len(three))
    assert (encode_eid(eid), encode_eid(eid, numbers=3)) == (two, three)


@pytest.mark.parametrize("eid", ["dtn:none", "ipn:0.0", "ipn:0.7"])
def test_null_endpoints(eid: str) -> None:
    assert is_null(eid)
    assert not is_null("ipn:1.0")


def test_local_node() -> None:
    assert is_local_node(f"ipn:{2**32 - 1}.5")
    assert not is_local_node(f"ipn:{2**32}.5")
    assert not is_local_node("ipn:1.5")


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        ("8203820a01", 1),  # unknown scheme
        ("820101", 2),  # dtn number other than 0
        ("8201646e6f6e65", 2),  # "none" as text
        ("8202810a", 2),  # one number
        ("8202840000010a", 2),  # four numbers
        ("82029f0000010aff", 2),
        ("8202831b0000000100000000010a", 2),  # an allocator of 33 bits
        ("8202820a", 4),
        ("9f02820a0100", 5),  # no break
    ],
)
def test_malformed_bytes_are_refused_where_they_are(data: str, offset: int) -> None:
    with pytest.raises(BundleError) as caught:
        read_eid(bytes.fromhex(data), 0)
    assert caught.value.offset == offset
