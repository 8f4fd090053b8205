"""Bundles: the vectors of RFC 9173 Appendix A, and a refusal for each way to be wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cbor2
import pytest

from dtn.bpv7.blocks import (
    BUNDLE_AGE,
    HOP_COUNT,
    IS_ADMIN_RECORD,
    MUST_NOT_FRAGMENT,
    PAYLOAD,
    CanonicalBlock,
    PrimaryBlock,
    age_block,
    encode_canonical,
    encode_primary,
    hop_count_block,
    previous_node_block,
)
from dtn.bpv7.bundle import (
    MAX_BLOCKS,
    Bundle,
    BundleId,
    decode,
    decode_all,
    encode,
    make_bundle,
    without_unknown,
)
from dtn.bpv7.crc import CRC_16, CRC_32C, CRC_NONE, crc, crc_16_x25
from dtn.errors import BundleError

VECTORS = Path(__file__).parents[3] / "data" / "rfc9173_vectors.hex"
PRIMARY = PrimaryBlock("ipn:20.1", "ipn:10.1", 800_000_000_000, 7, 60_000)
PAYLOAD_BLOCK = CanonicalBlock(PAYLOAD, 1, b"hello")


def vectors() -> dict[str, bytes]:
    lines = VECTORS.read_text().splitlines()
    return {name: bytes.fromhex(data) for name, data in (line.split() for line in lines)}


def wire(*blocks: bytes, primary: PrimaryBlock = PRIMARY) -> bytes:
    return b"\x9f" + encode_primary(primary) + b"".join(blocks) + b"\xff"


def refused(data: bytes) -> BundleError:
    with pytest.raises(BundleError) as caught:
        decode(data)
    return caught.value


@pytest.mark.parametrize("name", ["A1", "A2", "A3", "A4"])
def test_rfc_9173_vectors(name: str) -> None:
    data = vectors()[name]
    bundle = decode(data)
    assert encode(bundle) == data
    assert bundle.id == BundleId("ipn:2.1", 0, 40)
    assert bundle.destination == "ipn:1.2"
    assert bundle.primary.report_to == "ipn:2.1"
    assert bundle.lifetime_ms == 1_000_000


def test_rfc_9173_a1_payload_and_a3_age() -> None:
    assert decode(vectors()["A1"]).payload == b"Ready to generate a 32-byte payload"
    assert decode(vectors()["A3"]).age_ms == 300


def test_rfc_9173_original_bundle() -> None:
    """Appendix A.1.1.3: primary and payload block alone, no CRC."""
    data = bytes.fromhex(
        "9f88070000820282010282028202018202820201820018281a000f4240"
        "85010100005823526561647920746f2067656e657261746520612033322d62797465207061796c6f6164ff"
    )
    bundle = decode(data)
    assert bundle.payload == b"Ready to generate a 32-byte payload"
    assert encode(bundle) == data


def test_crc_16_check_value() -> None:
    assert crc_16_x25(b"123456789") == 0x906E


@pytest.mark.parametrize("crc_type", [CRC_NONE, CRC_16, CRC_32C])
def test_round_trip_with_each_crc(crc_type: int) -> None:
    bundle = Bundle(
        replace(PRIMARY, crc_type=crc_type, report_to="dtn://ground/reports"),
        (
            replace(previous_node_block("ipn:9.0", 4), crc_type=crc_type),
            replace(hop_count_block(30, 2, 2), crc_type=crc_type),
            replace(age_block(123_456, 3), crc_type=crc_type),
            CanonicalBlock(193, 5, b"\x00\x01", flags=1, crc_type=crc_type),
            replace(PAYLOAD_BLOCK, crc_type=crc_type),
        ),
    )
    again = decode(encode(bundle))
    assert again == bundle
    assert (again.age_ms, again.hops, again.previous_node) == (123_456, (30, 2), "ipn:9.0")
    assert cbor2.loads(encode(bundle))[0][0] == 7


def test_fragment_fields() -> None:
    primary = replace(PRIMARY, flags=1, fragment_offset=100, total_bytes=105)
    bundle = decode(wire(encode_canonical(PAYLOAD_BLOCK), primary=primary))
    assert bundle.id.fragment_offset == 100
    assert str(bundle.id) == "ipn:10.1/800000000000/7+100"
    assert bundle.primary == primary
    beyond = replace(primary, total_bytes=104)
    assert "104" in refused(wire(encode_canonical(PAYLOAD_BLOCK), primary=beyond)).expected


def test_our_bundles_carry_a_crc_on_every_block() -> None:
    for limit in (1, 255):
        sent = make_bundle(PRIMARY, b"hello", hop_limit=limit)
        assert decode(encode(sent)).hops == (limit, 0)
    for limit in (0, 256):
        with pytest.raises(ValueError, match=r"not in 1\.\.255"):
            hop_count_block(limit, 0, 2)
    bundle = make_bundle(PRIMARY, b"hello", hop_limit=4)
    data = encode(bundle)
    assert data[0] == 0x9F
    assert [block.crc_type for block in bundle.blocks] == [CRC_32C] * 3
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        with pytest.raises(BundleError):
            decode(bytes(damaged))


def test_every_cut_is_refused_within_the_data() -> None:
    data = encode(make_bundle(PRIMARY, b"hello", hop_limit=4))
    for size in range(len(data)):
        assert refused(data[:size]).offset <= size


def test_trailing_bytes() -> None:
    data = encode(make_bundle(PRIMARY, b"hello"))
    error = refused(data + b"\x00")
    assert (error.offset, error.expected) == (len(data), "end of data")


def test_concatenated_bundles() -> None:
    one = make_bundle(PRIMARY, b"one")
    two = make_bundle(replace(PRIMARY, sequence=8), b"two")
    assert decode_all(encode(one) + encode(two)) == [one, two]
    for bad in (b"", encode(one) + b"\x00"):
        with pytest.raises(BundleError):
            decode_all(bad)


def test_crc_error_says_where() -> None:
    head = encode_primary(PRIMARY)
    data = bytearray(wire(encode_canonical(PAYLOAD_BLOCK)))
    data[len(head)] ^= 1  # the last byte of the primary block's CRC
    error = refused(bytes(data))
    assert error.offset == 1 + len(head) - 4
    assert error.expected.startswith("CRC ")


def test_a_definite_outer_array_is_read_if_its_count_is_right() -> None:
    whole = wire(encode_canonical(PAYLOAD_BLOCK))
    assert decode(b"\x82" + whole[1:-1]) == decode(whole)
    error = refused(b"\x83" + whole[1:-1])
    assert (error.offset, error.expected, error.found) == (0, "array of 2", "array of 3")
    assert refused(b"\x82" + whole[1:]).expected == "end of data"


def test_indefinite_inner_arrays_are_read() -> None:
    payload = bytes.fromhex("9f010100004568656c6c6fff")
    assert decode(wire(payload)).payload == b"hello"
    no_crc = encode_primary(replace(PRIMARY, crc_type=CRC_NONE))
    data = b"\x9f\x9f" + no_crc[1:] + b"\xff" + encode_canonical(PAYLOAD_BLOCK) + b"\xff"
    assert decode(data).primary == replace(PRIMARY, crc_type=CRC_NONE)


def test_a_crc_covers_the_break_of_an_indefinite_block() -> None:
    body = b"\x9f\x01\x01\x00\x02\x45hello\x44"
    field = crc(CRC_32C, body + bytes(4) + b"\xff")
    assert decode(wire(body + field + b"\xff")).payload == b"hello"
    refused(wire(body + crc(CRC_32C, body + bytes(4)) + b"\xff"))


def malformed() -> list[tuple[str, bytes, str]]:
    """Name, bytes, and what the error must say was expected."""
    payload = encode_canonical(PAYLOAD_BLOCK)
    age = encode_canonical(age_block(1, 2))
    admin_with_report = replace(PRIMARY, flags=IS_ADMIN_RECORD | 0x40000)
    return [
        ("version 6", b"\x9f\x88\x06" + wire(payload)[3:], "version 7"),
        ("CRC type 3", bytes.fromhex("9f890704038201"), "CRC type"),
        ("array count", b"\x9f\x8a" + wire(payload)[2:], "array of 9"),
        ("no payload", wire(age), "array"),
        ("nothing", b"\x9f\xff", "array"),
        ("block after payload", wire(payload, age), "break"),
        ("two payloads", wire(payload, payload), "break"),
        ("payload numbered 2", wire(encode_canonical(replace(PAYLOAD_BLOCK, number=2))), "number"),
        ("age numbered 1", wire(encode_canonical(age_block(1, 1)), payload), "number 1 on"),
        ("number twice", wire(encode_canonical(CanonicalBlock(200, 2, b"")), age, payload), "own"),
        ("number 0", wire(encode_canonical(CanonicalBlock(200, 0, b"")), payload), "own"),
        ("two ages", wire(age, encode_canonical(age_block(1, 3)), payload), "one such"),
        ("age not minimal", wire(_block(BUNDLE_AGE, b"\x18\x01"), payload), "shortest"),
        ("age too long", wire(_block(BUNDLE_AGE, b"\x01\x02"), payload), "fills"),
        ("age empty", wire(_block(BUNDLE_AGE, b""), payload), ""),
        ("hop limit 0", wire(_block(HOP_COUNT, b"\x82\x00\x00"), payload), "hop limit"),
        ("hop limit 256", wire(_block(HOP_COUNT, b"\x82\x19\x01\x00\x00"), payload), "hop limit"),
        ("anonymous, may fragment", wire(payload, primary=_from("dtn:none", 0)), "must-not"),
        ("anonymous, reports", wire(payload, primary=_from("dtn:none", 0x4004)), "no status"),
        ("admin record, reports", wire(payload, primary=admin_with_report), "no status"),
        ("CRC missing", wire(b"\x85\x01\x01\x00\x02\x41x"), "array of 6"),
        ("CRC too much", wire(b"\x86\x01\x01\x00\x00\x41x\x42\x00\x00"), "array of 5"),
        ("CRC of 2 for 4", wire(b"\x86\x01\x01\x00\x02\x41x\x42\x00\x00"), "byte string of 4"),
        ("payload in chunks", wire(b"\x85\x01\x01\x00\x00\x5f\x41x\xff"), "definite-length"),
    ]


def _block(type_code: int, data: bytes) -> bytes:
    return encode_canonical(CanonicalBlock(type_code, 2, data))


def _from(source: str, flags: int) -> PrimaryBlock:
    return replace(PRIMARY, source=source, flags=flags)


@pytest.mark.parametrize(("name", "data", "expected"), malformed())
def test_malformed(name: str, data: bytes, expected: str) -> None:
    error = refused(data)
    assert expected in error.expected, name
    assert 0 < error.offset <= len(data)


def test_anonymous_bundle_that_must_not_fragment_is_fine() -> None:
    primary = _from("dtn:none", MUST_NOT_FRAGMENT)
    assert decode(wire(encode_canonical(PAYLOAD_BLOCK), primary=primary)).primary == primary


def test_too_many_blocks() -> None:
    blocks = [encode_canonical(CanonicalBlock(200, n, b"")) for n in range(2, MAX_BLOCKS + 2)]
    payload = encode_canonical(PAYLOAD_BLOCK)
    assert len(decode(wire(*blocks[1:], payload)).blocks) == MAX_BLOCKS
    assert "at most" in refused(wire(*blocks, payload)).expected


def test_huge_claimed_length_costs_nothing() -> None:
    error = refused(wire(b"\x85\x01\x01\x00\x00\x5b" + b"\xff" * 8))
    assert "bytes" in error.expected


@pytest.mark.parametrize(
    "blocks",
    [
        (),
        (age_block(1, 2),),
        (PAYLOAD_BLOCK, PAYLOAD_BLOCK),
        (age_block(1, 2), hop_count_block(4, 0, 2), PAYLOAD_BLOCK),
        (age_block(1, 0), PAYLOAD_BLOCK),
        (CanonicalBlock(PAYLOAD, 2, b""), PAYLOAD_BLOCK),
    ],
)
def test_what_must_be_refused_is_not_sent(blocks: tuple[CanonicalBlock, ...]) -> None:
    with pytest.raises(ValueError, match="block"):
        encode(Bundle(PRIMARY, blocks))


def test_flags_of_unknown_blocks() -> None:
    keep = CanonicalBlock(193, 2, b"", flags=0x01)
    discard = CanonicalBlock(194, 3, b"", flags=0x10)
    delete = CanonicalBlock(195, 4, b"", flags=0x04 | 0x10)
    plain = Bundle(PRIMARY, (age_block(1, 9), PAYLOAD_BLOCK))
    assert without_unknown(plain) is plain
    assert without_unknown(Bundle(PRIMARY, (keep, discard, PAYLOAD_BLOCK))) == Bundle(
        PRIMARY, (keep, PAYLOAD_BLOCK)
    )
    assert without_unknown(Bundle(PRIMARY, (delete, PAYLOAD_BLOCK))) is None
