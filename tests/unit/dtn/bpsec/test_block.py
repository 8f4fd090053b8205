"""Abstract security blocks: the examples of RFC 9173, and what is refused, and where."""

from __future__ import annotations

import pytest

from dtn.bpsec.block import (
    BIB,
    COVER_ALL,
    SecurityBlock,
    covered,
    decode_security,
    encode_security,
    header,
    is_scope,
)
from dtn.bpv7.blocks import CanonicalBlock
from dtn.errors import BundleError

A1 = bytes.fromhex(
    "810101018202820201828201078203008181820158403bdc69b3a34a2b5d3a8554368bd1e808f606219d2a10a846eae"
    "3886ae4ecc83c4ee550fdfb1cc636b904e2f1a73e303dcd4b6ccece003e95e8164dcc89a156e1"
)
A3 = bytes.fromhex(
    "8200020101820282030082820105820300828182015820cac6ce8e4c5dae57988b757e49a6dd1431dc04763541b2845"
    "098265bc817241b81820158203ed614c0d97f49b3633627779aa18a338d212bf3c92b97759d9739cd50725596"
)
A4 = bytes.fromhex(
    "820301020182028202018382014c5477656c7665313231323132820203820407828182015022"
    "0ffc45c8a901999ecc60991dd78b2981820150d2c51cb2481792dae8b21d848cede99b"
)


@pytest.mark.parametrize("data", [A1, A3, A4])
def test_examples_come_back(data: bytes) -> None:
    assert encode_security(decode_security(data)) == data


def test_fields_of_an_example() -> None:
    block = decode_security(A4)
    assert block.targets == (3, 1)
    assert block.context == 2
    assert block.source == "ipn:2.1"
    assert block.parameters == ((1, b"Twelve121212"), (2, 3), (4, 7))
    assert [values[0][0] for values in block.results] == [1, 1]


def test_a_block_without_parameters() -> None:
    block = SecurityBlock((1,), 1, "dtn://a/", (), (((1, b"tag"),),))
    assert decode_security(encode_security(block)) == block
    assert encode_security(block)[3] == 0


def test_reserved_context_flags_are_ignored() -> None:
    raised = A1[:3] + b"\x03" + A1[4:]
    assert decode_security(raised) == decode_security(A1)


@pytest.mark.parametrize(
    ("data", "offset", "expected"),
    [
        (b"", 0, "array"),
        (b"\x80", 0, "array of 1 to 32"),
        (b"\x98\x21", 0, "array of 1 to 32"),
        (b"\x9f\x01\xff", 0, "definite-length array"),
        (b"\x82\x01\x01", 2, "each target once"),
        (b"\x81\x18\x01", 1, "shortest form of the number"),
        (A1[:2] + b"\x20" + A1[3:], 2, "unsigned integer"),
        (A1[:4] + b"\x82\x05" + A1[6:], 5, "endpoint id scheme 1 (dtn) or 2 (ipn)"),
        (A1[:4] + bytes.fromhex("9f02820201ff") + A1[9:], 4, "deterministic encoding"),
        (A1[:9] + b"\x80" + A1[16:], 9, "array of 1 to 16"),
        (A1[:10] + b"\x83" + A1[11:], 10, "array of 2"),
        (A1[:14] + b"\x01" + A1[15:], 14, "each id once"),
        (A1[:12] + b"\x61" + A1[13:], 12, "unsigned integer"),
        (A1[:16] + b"\x82" + A1[17:], 16, "results for 1 targets"),
        (A1[:-1], 20, "64 bytes"),
        (A1 + b"\x00", len(A1), "end of the security block"),
    ],
)
def test_refused_with_place_and_reason(data: bytes, offset: int, expected: str) -> None:
    with pytest.raises(BundleError) as caught:
        decode_security(data)
    assert (caught.value.offset, caught.value.expected) == (offset, expected)


@pytest.mark.parametrize("results", [(), ((), ())])
def test_every_target_has_its_results(results: tuple[tuple[()], ...]) -> None:
    with pytest.raises(ValueError, match="results for 1 targets"):
        encode_security(SecurityBlock((1,), 1, "ipn:1.1", (), results))


def test_reserved_flags_are_not_covered() -> None:
    block = CanonicalBlock(BIB, 3, b"", flags=0xFF)
    assert header(block) == b"\x0b\x03\x17"


def test_scope_counts_only_assigned_flags() -> None:
    block = CanonicalBlock(BIB, 3, b"")
    assert covered(0xFFFF, b"primary", block, block) == covered(COVER_ALL, b"primary", block, block)
    assert covered(0, b"primary", block, block) == b"\x00"
    assert covered(COVER_ALL, b"primary", None, block) == b"\x07\x0b\x03\x00"


def test_scope_flags_are_sixteen_bits() -> None:
    assert [is_scope(value) for value in (0, 0xFFFF, 0x10000, b"", b"\0")] == [
        True, True, False, False, False,
    ]  # fmt: skip
