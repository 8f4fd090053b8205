"""What a modem and its user say to each other, there and back, and what is none of it."""

from __future__ import annotations

from dataclasses import astuple, replace

import cbor2
import pytest

from dtn.ltp.notices import LEAST_MTU_BYTES
from roundtrip.errors import BadMessage
from roundtrip.modem import (
    RUN_BITS,
    Carrier,
    Hello,
    decode_carrier,
    decode_hello,
    encode_carrier,
    encode_hello,
)

MOST = (1 << 63) - 1
LAST_RUN = (1 << RUN_BITS) - 1
CUE = Carrier(3, True, False, 9600, 10_000, 6_000_000, 1400, 5, 7, "host", 9)


@pytest.mark.parametrize(
    "hello", [Hello(None, None), Hello(0, 0), Hello(1, None, 5), Hello(LAST_RUN, MOST, MOST)]
)
def test_a_greeting_survives_its_wire_format(hello: Hello) -> None:
    assert decode_hello(encode_hello(hello)) == hello


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        (None, "three fields"),
        ([1], "three fields"),
        ([1, None], "three fields"),
        ([1, None, 0, 0], "three fields"),
        ([-1, None, 0], "63 bits"),
        ([MOST + 1, None, 0], "63 bits"),
        ([True, None, 0], "63 bits"),
        ([1, -1, 0], "63 bits"),
        ([1, MOST + 1, 0], "63 bits"),
        ([1, None, None], "63 bits"),
        ([1, None, -1], "63 bits"),
    ],
)
def test_what_is_no_greeting_is_refused(fields: object, match: str) -> None:
    with pytest.raises(BadMessage, match=match):
        decode_hello(cbor2.dumps(fields))


def test_a_run_has_no_more_bits_than_a_run_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roundtrip.modem.RUN_BITS", 8)
    assert decode_hello(encode_hello(Hello(255, None))).run_id == 255
    assert decode_carrier(encode_carrier(replace(CUE, run_id=255))).run_id == 255
    with pytest.raises(BadMessage, match="a run of 8 bits"):
        decode_hello(encode_hello(Hello(256, None)))
    with pytest.raises(BadMessage):
        decode_carrier(encode_carrier(replace(CUE, run_id=256)))


@pytest.mark.parametrize(
    "cue",
    [
        CUE,
        Carrier(0, False, True, 1, 1, 0, LEAST_MTU_BYTES, -MOST, -MOST, "", 0),
        Carrier(LAST_RUN, True, True, MOST, MOST, MOST, MOST, MOST, MOST, "host", MOST),
    ],
)
def test_a_cue_survives_its_wire_format(cue: Carrier) -> None:
    assert decode_carrier(encode_carrier(cue)) == cue


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("run_id", -1),
        ("run_id", LAST_RUN + 1),
        ("tx_up", 1),
        ("tx_rate_bps", 0),
        pytest.param("tx_rate_bps", 1 << 20_000, id="huge"),
        ("rx_rate_bps", 0),
        ("rx_rate_bps", MOST + 1),
        ("one_way_ns", -1),
        ("mtu_bytes", 0),
        ("mtu_bytes", LEAST_MTU_BYTES - 1),
        ("elapsed_ns", MOST + 1),
        ("origin_ns", -MOST - 1),
        ("host", 5),
        ("dtn_epoch_ms", -1),
        ("dtn_epoch_ms", MOST + 1),
    ],
)
def test_a_cue_out_of_range_is_refused(field: str, value: object) -> None:
    with pytest.raises(BadMessage):
        decode_carrier(encode_carrier(replace(CUE, **{field: value})))


def test_a_cue_of_another_length_is_none() -> None:
    for fields in (astuple(CUE)[:-1], (*astuple(CUE), 0), None):
        with pytest.raises(BadMessage, match="eleven fields"):
            decode_carrier(cbor2.dumps(fields))
