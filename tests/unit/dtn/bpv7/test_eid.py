"""Endpoint ids as text and as CBOR (RFC 9171 §4.2.5.1)."""

from __future__ import annotations

import pytest

from dtn.bpv7.eid import encode_eid, read_eid
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
        "dtn://nöde/x",
    ],
)
def test_malformed_text_is_refused(eid: str) -> None:
    with pytest.raises(ValueError, match="endpoint id"):
        encode_eid(eid)


def test_indefinite_arrays_are_read() -> None:
    assert read_eid(bytes.fromhex("9f029f0a01ffff"), 0) == ("ipn:10.1", 7)


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        ("8203820a01", 1),  # unknown scheme
        ("820101", 2),  # dtn number other than 0
        ("8201646e6f6e65", 2),  # "none" as text
        ("82028301020a", 2),  # three numbers
        ("8202820a", 4),
        ("9f02820a0100", 5),  # no break
    ],
)
def test_malformed_bytes_are_refused_where_they_are(data: str, offset: int) -> None:
    with pytest.raises(BundleError) as caught:
        read_eid(bytes.fromhex(data), 0)
    assert caught.value.offset == offset
