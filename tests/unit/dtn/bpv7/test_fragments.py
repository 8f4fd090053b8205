from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dtn.bpv7.blocks import (
    BUNDLE_AGE,
    HOP_COUNT,
    MUST_NOT_FRAGMENT,
    REPLICATE_BLOCK,
    PrimaryBlock,
)
from dtn.bpv7.bundle import Bundle, decode, encode, make_bundle
from dtn.bpv7.fragments import Reassembly, fragment, whole_id
from dtn.bpv7.status import decode_status_report
from dtn.errors import BundleError

LATER_NS = 10**9


def bundle(payload: bytes, sequence: int = 1, flags: int = 0) -> Bundle:
    primary = PrimaryBlock("ipn:2.1", "ipn:1.1", 10**12, sequence, 60_000, flags=flags)
    return make_bundle(primary, payload, hop_limit=4, age_ms=7)


def test_fragments_are_bundles_whose_payloads_make_the_whole() -> None:
    whole = bundle(bytes(range(100)))
    pieces = [decode(encode(piece)) for piece in fragment(whole, payload_bytes=30)]
    assert [piece.primary.fragment_offset for piece in pieces] == [0, 30, 60, 90]
    assert {piece.primary.total_bytes for piece in pieces} == {100}
    assert b"".join(piece.payload for piece in pieces) == whole.payload
    assert {whole_id(piece.id) for piece in pieces} == {whole.id}


def test_blocks_that_ask_for_it_are_in_every_fragment() -> None:
    whole = bundle(bytes(50))
    hops = whole.block(HOP_COUNT)
    assert hops is not None
    unwished = replace(hops, flags=hops.flags & ~REPLICATE_BLOCK)
    whole = replace(whole, blocks=tuple(unwished if b is hops else b for b in whole.blocks))
    pieces = fragment(whole, payload_bytes=20)
    assert all(piece.block(BUNDLE_AGE) is not None for piece in pieces)
    assert [piece.block(HOP_COUNT) is not None for piece in pieces] == [True, False, False]


def test_what_must_not_be_fragmented_is_not() -> None:
    with pytest.raises(ValueError, match="must not be fragmented"):
        fragment(bundle(bytes(50), flags=MUST_NOT_FRAGMENT), payload_bytes=20)
    small = bundle(bytes(5))
    assert fragment(small, payload_bytes=20) == [small]


def test_any_order_overlap_and_repetition_gives_the_whole_once() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        whole = bundle(rng.randbytes(rng.randint(2, 500)))
        pieces = [
            smaller
            for size in (rng.randint(1, 200), rng.randint(1, 200))
            for piece in fragment(whole, payload_bytes=size)
            for smaller in fragment(piece, payload_bytes=rng.randint(1, 200))
            if piece.primary.fragment_offset is not None or smaller is not piece
        ]
        rng.shuffle(pieces)
        joined = []
        table = Reassembly()
        for piece in pieces:
            if joined:
                break
            found = table.add(piece, expires_ns=LATER_NS)
            joined += [found] if found is not None else []
        if pieces:
            assert joined == [whole], f"seed {seed}"
            assert len(table) == 0


def test_what_contradicts_or_is_too_large_is_refused() -> None:
    table = Reassembly(max_bytes=1000)
    first, second = fragment(bundle(bytes(100)), payload_bytes=50)
    assert table.add(first, expires_ns=LATER_NS) is None
    longer = replace(second, primary=replace(second.primary, total_bytes=101))
    with pytest.raises(ValueError, match="101 bytes, but 100 before"):
        table.add(longer, expires_ns=LATER_NS)
    huge = replace(second, primary=replace(second.primary, total_bytes=1 << 60, sequence=5))
    with pytest.raises(ValueError, match="bundle of"):
        table.add(huge, expires_ns=LATER_NS)
    with pytest.raises(ValueError, match="no fragment"):
        table.add(bundle(b"x"), expires_ns=LATER_NS)


def test_what_is_kept_is_bounded_and_forgotten_when_it_expires() -> None:
    table = Reassembly(max_bytes=250, max_bundles=3)
    for sequence in range(10):
        head = fragment(bundle(bytes(100), sequence), payload_bytes=90)[0]
        table.add(head, expires_ns=sequence)
    assert len(table) == 2
    gone = table.forget_expired(now_ns=8)
    assert [found.sequence for found in gone] == [8]
    assert [found.sequence for found in table.forget_expired(now_ns=9)] == [9]


GOOD = "8201848482f50a81f481f581f4058202820101821904d207"
OF_FRAGMENT = GOOD.replace("820184", "820186", 1) + "18641832"


def test_a_status_report_of_a_fragment_names_it() -> None:
    report = decode_status_report(bytes.fromhex(OF_FRAGMENT))
    assert report.bundle_id.fragment_offset == 100
    assert (report.asserted, report.reason) == ({"received": 10, "delivered": 0}, 5)


@pytest.mark.parametrize(
    "record",
    [
        GOOD.replace("8482f5", "8582f5").replace("058202", "81f5058202"),
        GOOD.replace("8201", "9f01", 1) + "ff",
        GOOD.replace("820184", "82019f", 1) + "ff",
        GOOD.replace("8482f5", "9f82f5").replace("058202", "ff058202"),
        GOOD.replace("82f50a", "9ff50aff").replace("81f481f5", "9ff4ff81f5"),
        GOOD.replace("821904d207", "9f1904d207ff"),
    ],
)
def test_a_fifth_status_item_and_indefinite_arrays_change_nothing(record: str) -> None:
    report = decode_status_report(bytes.fromhex(record))
    assert report == decode_status_report(bytes.fromhex(GOOD))


@pytest.mark.parametrize(
    ("record", "offset"),
    [
        (GOOD.replace("81f481f5", "82f40a81f5", 1), 9),  # a time beside false
        (GOOD.replace("8482f50a", "8382f50a", 1), 3),
        ("8202" + GOOD[4:], 2),
        ("8101", 0),
        (GOOD[:-2], 23),
        (GOOD + "00", 24),
        (GOOD.replace("81f4", "81f6", 1), 8),
        (GOOD.replace("820184", "820185", 1), 2),
        ("", 0),
    ],
)
def test_a_broken_status_report_says_where(record: str, offset: int) -> None:
    with pytest.raises(BundleError) as caught:
        decode_status_report(bytes.fromhex(record))
    assert caught.value.offset == offset


@pytest.mark.parametrize("lacks", ["fragment_offset", "total_bytes"])
def test_half_a_fragment_is_none(lacks: str) -> None:
    piece = fragment(bundle(bytes(100)), payload_bytes=30)[0]
    broken = replace(piece, primary=replace(piece.primary, **{lacks: None}))
    with pytest.raises(ValueError, match="no fragment"):
        Reassembly(max_bytes=1000, max_bundles=4).add(broken, expires_ns=LATER_NS)
