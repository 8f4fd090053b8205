"""What both ends say of an upload, as bytes."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundtrip import codec
from roundtrip.bulk.wire import (
    MAX_RANGES,
    ORDERS,
    STATES,
    Bulk,
    Have,
    Offer,
    Piece,
    Shard,
    Told,
    encode,
    numbers_in,
    packed,
    ranges_of,
    unpacked,
)
from roundtrip.errors import BadMessage
from roundtrip.message import Cancel, question_id

ID = bytes(range(8))
MESSAGES: list[Bulk] = [
    Offer(b"manifest", bytes(32)),
    Offer(b"manifest", bytes(range(32)), 700_000),
    Piece(ID, 0, b"block", packed=False),
    Piece(ID, 5000, b"", packed=True),
    Shard(ID, 5000, True, 61_000, bytes(4) + bytes(range(64))),
    *(Told(ID, order) for order in ORDERS),
    *(Have(ID, state) for state in STATES),
    Have(ID, "taking", 6000, ((0, 1), (5, 700), (5999, 6000)), "piece 5: é", 77),
]


@pytest.mark.parametrize("message", MESSAGES, ids=repr)
def test_messages_read_back(message: Bulk) -> None:
    assert codec.decode(encode(message)) == message


def test_a_cancel_is_what_it_was() -> None:
    cancel = Cancel(question_id(1, 2))
    assert codec.decode(codec.encode(cancel)) == cancel


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (Offer(b"data", bytes(32)), "e100" + "00" * 32 + "00" + b"data".hex()),
        (Piece(ID, 3, b"b", packed=True), "e1010001020304050607" + "07" + b"b".hex()),
        (Shard(ID, 3, True, 200, bytes(12)), "e1040001020304050607" + "078148" + "00" * 12),
        (Told(ID, "confirm"), "e102000102030405060701"),
        (Have(ID, "taking", 9, ((2, 5),), "", 1), "e1030001020304050607" + "00010901" + "0203"),
    ],
)
def test_vectors(message: Bulk, expected: str) -> None:
    assert encode(message).hex() == expected


@given(st.binary(max_size=120))
def test_junk_is_a_bad_message_or_one_that_says_the_same_again(junk: bytes) -> None:
    try:
        found = codec.decode(b"\xe1" + junk)
    except BadMessage:
        return
    assert isinstance(found, Offer | Piece | Told | Have)
    assert codec.decode(encode(found)) == found


@pytest.mark.parametrize(
    "body",
    [
        "04" + "00" * 8,  # no such kind
        "02" + "00" * 8 + "09",  # no such order
        "02" + "00" * 8 + "0000",  # more than an order
        "03" + "00" * 8 + "0c000000",  # no such state
        "03" + "00" * 8 + "0000050105" + "03",  # pieces beyond those that are spoken of
        "03" + "00" * 8 + "000005" + "8401",  # more ranges than one message takes
        "00" + "00" * 31,  # half a signature
    ],
)
def test_what_is_none_is_refused(body: str) -> None:
    with pytest.raises(BadMessage):
        codec.decode(b"\xe1" + bytes.fromhex(body))


def test_more_ranges_than_a_message_takes_are_told_up_to_where_they_reach() -> None:
    odd = range(1, 4 * MAX_RANGES, 2)
    upto, ranges = ranges_of(odd, 9999)
    assert len(ranges) == MAX_RANGES
    assert upto == 2 * MAX_RANGES + 1
    assert numbers_in(ranges) == {number for number in odd if number < upto}
    assert ranges_of([3, 4, 5, 9, 10], 12) == (12, ((3, 6), (9, 11)))
    assert ranges_of([], 4) == (4, ())


def test_a_block_is_packed_where_that_saves_something() -> None:
    plain, noise = bytes(5000), random.Random(1).randbytes(5000)
    for block in (plain, noise):
        body, small = packed(block)
        assert (len(body) < len(block)) is small
        assert unpacked(Piece(ID, 0, body, small)) == block
    assert packed(noise) == (noise, False)


@pytest.mark.parametrize(
    "body", [b"junk", zlib.compress(bytes(1 << 20)), zlib.compress(b"x") + b"y", b""]
)
def test_what_is_no_packed_block_is_refused(body: bytes) -> None:
    with pytest.raises(BadMessage, match="piece 7"):
        unpacked(Piece(ID, 7, body, packed=True))
