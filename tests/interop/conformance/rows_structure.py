"""Rows about the shape of bundles: outer array, numbers, CBOR, checksums, extension blocks."""

from __future__ import annotations

from tests.interop.conformance.parts import (
    AGE,
    CREATED_MS,
    PAYLOAD,
    REPORTS,
    TEXT,
    array,
    block,
    bundle,
    item,
    plain,
    primary,
    string,
)
from tests.interop.conformance.rows import ACCEPT, EITHER, REJECT, Add


def outer_array(add: Add) -> None:
    """RFC 9171 §4.1."""
    s = "9171 §4.1"
    add("plain", ACCEPT, s, "the correct bundle that the others differ from in one thing", plain())
    add("outer-definite", EITHER, s, "a definite-length outer array may be discarded, or accepted",
        bundle(primary(), AGE, PAYLOAD, head=b"\x83", tail=b""))  # fmt: skip
    add("outer-no-break", REJECT, s, "the outer array ends with a break",
        bundle(primary(), AGE, PAYLOAD, tail=b""))  # fmt: skip
    add("outer-empty", REJECT, s, "a bundle has at least two blocks", bundle())
    add("outer-map", REJECT, s, "a bundle is an array, not a map",
        bundle(primary(), AGE, head=b"\xbf"))  # fmt: skip
    add("outer-string", REJECT, s, "a bundle is an array, not a byte string around one",
        string(plain()))  # fmt: skip
    add("outer-tagged", REJECT, s, "a bundle begins with its array, not with CBOR's own tag",
        b"\xd9\xd9\xf7" + plain())  # fmt: skip
    add("version-6-format", REJECT, s, "a block of BPv6 (RFC 5050) is no bundle of version 7",
        bytes.fromhex("06810010020101010101000000000000000a0100010104") + b"text")  # fmt: skip
    add("primary-alone", REJECT, s, "a payload block is missing", bundle(primary()))
    add("payload-missing", REJECT, s, "the last block must be a payload block",
        bundle(primary(), AGE))  # fmt: skip
    add("primary-missing", REJECT, s, "the first block must be a primary block",
        bundle(AGE, PAYLOAD))  # fmt: skip
    add("primary-twice", REJECT, s, "a bundle has exactly one primary block",
        bundle(primary(), primary(), AGE, PAYLOAD))  # fmt: skip
    add("primary-second", REJECT, s, "the primary block is the first one",
        bundle(AGE, primary(), PAYLOAD))  # fmt: skip
    add("payload-not-last", REJECT, s, "nothing may follow the payload block",
        bundle(primary(), PAYLOAD, AGE), seen="dtn7/bp7-rs#5")  # fmt: skip
    add("payload-twice", REJECT, s, "a bundle has exactly one payload block",
        plain(block(1, 3, TEXT)))  # fmt: skip
    add("cut-in-payload", REJECT, s, "the data ends within the payload", plain()[:-4])
    add("bytes-behind", REJECT, s, "bytes behind the bundle belong to none", plain() + b"\x00")
    add("two-in-a-row", EITHER, s, "two bundles end to end: for the convergence layer to say",
        plain() + plain())  # fmt: skip
    add("item-for-block", REJECT, s, "each item of the array is a block, not an integer",
        bundle(primary(), item(7), AGE, PAYLOAD))  # fmt: skip
    add("payload-empty", ACCEPT, "9171 §4.3.2", "a payload may be empty",
        plain(payload=block(1, 1, b"")))  # fmt: skip
    add("payload-300", ACCEPT, "9171 §4.3.2", "a payload of 300 bytes has a two-byte length",
        plain(payload=block(1, 1, bytes(300))))  # fmt: skip


def block_numbers(add: Add) -> None:
    """RFC 9171 §4.1: numbers name blocks."""
    s = "9171 §4.1"
    add("payload-number-33", REJECT, s, "the payload block has number 1",
        plain(payload=block(1, 33, TEXT)), seen="nasa-jpl/ION-DTN#53")  # fmt: skip
    add("payload-number-0", REJECT, s, "number 0 is the primary block's",
        plain(payload=block(1, 0, TEXT)))  # fmt: skip
    add("extension-number-1", REJECT, s, "number 1 is the payload block's",
        plain(block(192, 1, b"")))  # fmt: skip
    add("extension-number-0", REJECT, s, "number 0 is the primary block's",
        plain(block(192, 0, b"")))  # fmt: skip
    add("number-twice", REJECT, s, "a number names one block, and two blocks have number 2",
        plain(block(192, 2, b"")), seen="nasa-jpl/ION-DTN#51")  # fmt: skip
    add("number-256", ACCEPT, s, "block numbers are not limited to a byte",
        plain(block(192, 256, b"")), seen="nasa-jpl/ION-DTN#37")  # fmt: skip
    add("number-most", ACCEPT, s, "a block number may have 64 bits",
        plain(block(192, 2**64 - 1, b"")), seen="nasa-jpl/ION-DTN#37")  # fmt: skip
    add("numbers-descending", ACCEPT, s, "numbers are unrelated to the order of blocks",
        plain(block(192, 9, b""), block(193, 5, b"")))  # fmt: skip
    add("blocks-70", EITHER, s, "no limit on blocks is named; a receiver may have one",
        plain(*[block(192, number, b"") for number in range(3, 71)]))  # fmt: skip


def shortest_form(add: Add) -> None:
    """RFC 9171 §4.1: the core deterministic encoding of RFC 8949 §4.2.1."""
    s, long = "9171 §4.1", "must have its shortest form: "
    for name, what, data in (
        ("version", "7 in two bytes", plain(version=b"\x18\x07")),
        ("bundle-flags", "flags in nine bytes", plain(flags=b"\x1b" + REPORTS.to_bytes(8, "big"))),
        ("primary-crc-type", "2 in two bytes", plain(crc_type=b"\x18\x02")),
        ("scheme", "2 in two bytes", plain(source=array(b"\x18\x02", [1, 1]))),
        ("ipn-node", "1 in three bytes", plain(source=array(2, array(b"\x19\0\x01", 1)))),
        ("ipn-service", "1 in five bytes", plain(source=array(2, array(1, b"\x1a\0\0\0\x01")))),
        ("dtn-text", "length 6 in two bytes", plain(report_to=array(1, b"\x78\x06//a/bc"))),
        ("created", "creation time 1 in nine bytes",
         plain(created=array(b"\x1b" + (1).to_bytes(8, "big"), 99_001))),
        ("sequence", "5 in two bytes", plain(created=array(CREATED_MS, b"\x18\x05"))),
        ("lifetime", "2**20 in nine bytes",
         plain(lifetime=b"\x1b" + (1 << 20).to_bytes(8, "big"))),
        ("primary-array", "length 9 in two bytes", plain(head=b"\x98\x09")),
        ("block-array", "length 5 in two bytes", plain(block(192, 3, b"", head=b"\x98\x05"))),
        ("block-type", "193 in three bytes", plain(block(b"\x19\0\xc1", 3, b""))),
        ("block-number", "3 in two bytes", plain(block(192, b"\x18\x03", b""))),
        ("block-flags", "1 in two bytes", plain(block(192, 3, b"", flags=b"\x18\x01"))),
        ("payload-length", "length 11 in two bytes",
         plain(payload=block(1, 1, b"", content=b"\x58\x0b" + TEXT))),
        ("age", "an age of 9 in two bytes",
         bundle(primary(), block(7, 2, b"\x18\x09"), PAYLOAD)),
        ("hop-count", "a count of 0 in two bytes", plain(block(10, 3, array(9, b"\x18\0")))),
    ):  # fmt: skip
        add(f"long-{name}", REJECT, s, long + what, data)


def indefinite_lengths(add: Add) -> None:
    """RFC 9171 §4.1: not prohibited, but for block data (§4.3.2) and checksums (§4.2.2)."""
    s, allowed = "9171 §4.1", "indefinite-length items are not prohibited: "
    add("indefinite-primary", ACCEPT, s, allowed + "the primary block, whose CRC covers the break",
        plain(head=b"\x9f"))  # fmt: skip
    add("indefinite-block", ACCEPT, s, allowed + "a canonical block",
        plain(payload=block(1, 1, TEXT, crc=1, head=b"\x9f")))  # fmt: skip
    add("indefinite-eid", ACCEPT, s, allowed + "an endpoint id and its numbers",
        plain(source=b"\x9f\x02\x9f\x01\x01\xff\xff"))  # fmt: skip
    add("indefinite-dtn-text", ACCEPT, s, allowed + "the text of a dtn endpoint id",
        plain(report_to=array(1, b"\x7f\x63//a\x63/bc\xff")))  # fmt: skip
    add("indefinite-created", ACCEPT, s, allowed + "the creation timestamp",
        plain(created=array(CREATED_MS, 99_002, head=b"\x9f", tail=b"\xff")))  # fmt: skip
    add("indefinite-hop-count", ACCEPT, s, allowed + "the content of a hop count block",
        plain(block(10, 3, array(9, 0, head=b"\x9f", tail=b"\xff"))))  # fmt: skip
    add("indefinite-payload", REJECT, "9171 §4.3.2", "block data has a definite length",
        plain(payload=block(1, 1, b"", content=b"\x5f\x44text\xff")))  # fmt: skip
    add("indefinite-age-data", REJECT, "9171 §4.3.2",
        "block data has a definite length, in extension blocks too",
        bundle(primary(), block(7, 2, b"", content=b"\x5f\x41\x09\xff"), PAYLOAD))  # fmt: skip
    add("indefinite-crc", REJECT, "9171 §4.2.2", "a checksum is a byte string of two or four",
        plain(broken="indefinite"))  # fmt: skip
    add("indefinite-crc-without-break", REJECT, "9171 §4.3.1",
        "the CRC covers all bytes of the block, its break too",
        plain(head=b"\x9f", broken="break"))  # fmt: skip
    add("indefinite-primary-short", REJECT, "9171 §4.3.1", "a field is missing before the break",
        plain(head=b"\x9f", without="lifetime"))  # fmt: skip


def types(add: Add) -> None:
    """What is no unsigned integer, and what is no CBOR."""
    s = "9171 §4.3.1"
    add("lifetime-float", REJECT, s, "a lifetime is an unsigned integer, not a float",
        plain(lifetime=b"\xfb" + bytes.fromhex("40ed4c0000000000")))  # fmt: skip
    add("lifetime-negative", REJECT, s, "a lifetime is an unsigned integer, not a negative one",
        plain(lifetime=-60_000))  # fmt: skip
    add("lifetime-null", REJECT, s, "a lifetime is an unsigned integer, not null",
        plain(lifetime=b"\xf6"))  # fmt: skip
    add("sequence-bignum", REJECT, "9171 §4.2.7", "a sequence number is an integer, not a bignum",
        plain(created=array(CREATED_MS, b"\xc2\x41\x05")))  # fmt: skip
    add("flags-true", REJECT, "9171 §4.2.3", "flags are an unsigned integer, not a Boolean",
        plain(flags=b"\xf5"))  # fmt: skip
    add("flags-string", REJECT, "9171 §4.2.3", "flags are an unsigned integer, not a byte string",
        plain(flags=b"\x41\x00"))  # fmt: skip
    add("head-reserved", REJECT, "9171 §4.1", "additional information 28 is no well-formed CBOR",
        plain(lifetime=b"\x1c\x01"))  # fmt: skip
    add("payload-text", REJECT, "9171 §4.3.2", "block data is a byte string, not text",
        plain(payload=block(1, 1, b"", content=b"\x64text")), seen="dtn7/bp7-rs#20")  # fmt: skip
    add("payload-tagged", REJECT, "9171 §4.3.2", "block data is a byte string, not a tagged one",
        plain(payload=block(1, 1, b"", content=b"\xd8\x18\x44text")))  # fmt: skip
    add("payload-longer-than-data", REJECT, "9171 §4.1", "a length of 2**32 that is only claimed",
        plain(payload=block(1, 1, b"", content=b"\x5b\0\0\0\1\0\0\0\0")))  # fmt: skip
    add("block-type-text", REJECT, "9171 §4.3.2", "a block type is an unsigned integer, not text",
        plain(block("192", 3, b"")))  # fmt: skip


def checksums(add: Add) -> None:
    """RFC 9171 §4.2.1, 4.2.2, 4.3.1, and 5.6 step 3."""
    s = "9171 §4.3.1"
    add("crc-none", REJECT, s, "a primary block has a CRC, or a BIB over it",
        plain(crc=0), seen="nasa-jpl/ION-DTN#54, dtn7/bp7-rs#16")  # fmt: skip
    add("crc-16", ACCEPT, "9171 §4.2.1", "CRC-16 is as good as CRC-32C", plain(crc=1))
    add("crc-mixed", ACCEPT, "9171 §4.2.1", "each block has a CRC type of its own",
        bundle(primary(1), block(7, 2, item(9), crc=2), block(1, 1, TEXT, crc=1)))  # fmt: skip
    s = "9171 §4.2.1"
    add("crc-type-3", REJECT, s, "CRC types are 0, 1 and 2",
        plain(crc=0, crc_type=3), seen="dtn7/bp7-rs#4")  # fmt: skip
    add("crc-type-25", REJECT, s, "CRC types are 0, 1 and 2, on any block",
        plain(payload=block(1, 1, TEXT, crc_type=25)), seen="dtn7/bp7-rs#4")  # fmt: skip
    s = "9171 §4.2.2"
    add("crc-0-with-field", REJECT, s, "with CRC type 0 there is no CRC", plain(crc_type=0))
    add("crc-2-without-field", REJECT, s, "with CRC type 2 there is a CRC", plain(broken="absent"))
    add("crc-block-0-with-field", REJECT, s, "with CRC type 0 a block has no CRC",
        plain(payload=block(1, 1, TEXT, crc=2, crc_type=0)))  # fmt: skip
    add("crc-block-1-without-field", REJECT, s, "with CRC type 1 a block has a CRC",
        plain(payload=block(1, 1, TEXT, crc_type=1)))  # fmt: skip
    add("crc-2-of-two-bytes", REJECT, s, "a CRC of type 2 has four bytes", plain(broken="short"))
    add(
        "crc-1-of-four-bytes",
        REJECT,
        s,
        "a CRC of type 1 has two bytes",
        plain(crc=1, broken="long"),
    )
    add("crc-integer", REJECT, s, "a CRC is a byte string, not an integer", plain(broken="integer"))
    add("crc-byte-order", REJECT, s, "a CRC is in network byte order", plain(broken="order"))
    add("crc-other-polynomial", REJECT, "9171 §4.2.1", "type 2 is Castagnoli's, not that of zip",
        plain(broken="polynomial"))  # fmt: skip
    add("crc-field-left-out", REJECT, "9171 §4.3.1", "a CRC covers its own field, as zeros",
        plain(broken="unzeroed"))  # fmt: skip
    s = "9171 §5.6"
    add("crc-32c-wrong", REJECT, s, "a primary block whose CRC is wrong", plain(broken="value"))
    add("crc-16-wrong", REJECT, s, "a primary block whose CRC-16 is wrong",
        plain(crc=1, broken="value"))  # fmt: skip
    add("crc-payload-wrong", REJECT, s, "a payload whose CRC is wrong",
        plain(payload=block(1, 1, TEXT, crc=2, broken="value")))  # fmt: skip
    add("crc-age-wrong", REJECT, s, "an age block whose CRC is wrong",
        bundle(primary(), block(7, 2, item(9), crc=1, broken="value"), PAYLOAD))  # fmt: skip
    add("crc-unknown-wrong", REJECT, s, "a CRC is checked in a block of unknown type too",
        plain(block(192, 3, b"x", crc=2, broken="value")))  # fmt: skip


def extension_blocks(add: Add) -> None:
    """RFC 9171 §4.4, and §5.6 step 4."""
    s = "9171 §4.4.1"
    node = array(2, [7, 0])
    add("previous-node", ACCEPT, s, "who forwarded it", plain(block(6, 3, node)))
    add("previous-node-twice", REJECT, s, "there is at most one",
        plain(block(6, 3, node), block(6, 4, node)))  # fmt: skip
    add("previous-node-null", EITHER, s, "the null endpoint is no node; nothing says what then",
        plain(block(6, 3, array(1, 0))))  # fmt: skip
    add("previous-node-more", REJECT, s, "its content is one node id, and a byte is behind it",
        plain(block(6, 3, node + b"\0")))  # fmt: skip
    add("previous-node-none", REJECT, s, "its content is one node id, and there is nothing",
        plain(block(6, 3, b"")))  # fmt: skip
    s = "9171 §4.4.2"
    undated = array(0, 99_003)
    add("age-undated", ACCEPT, s, "creation time 0 with an age block",
        plain(created=undated), seen="dtn7/bp7-rs#6")  # fmt: skip
    add("age-undated-missing", REJECT, s, "creation time 0 requires an age block",
        bundle(primary(created=array(0, 99_004)), PAYLOAD), seen="nasa-jpl/ION-DTN#50")  # fmt: skip
    add("age-twice", REJECT, s, "there is at most one", plain(block(7, 3, item(5))))
    add("age-array", REJECT, s, "an age is an integer, not an array with one",
        bundle(primary(), block(7, 2, array(9)), PAYLOAD))  # fmt: skip
    add("age-empty", REJECT, s, "an age is an integer, and there is nothing",
        bundle(primary(), block(7, 2, b""), PAYLOAD))  # fmt: skip
    add("age-two-numbers", REJECT, s, "an age is one integer",
        bundle(primary(), block(7, 2, b"\x09\x09"), PAYLOAD))  # fmt: skip
    s = "9171 §4.4.3"
    for name, verdict, why, content in (
        ("hops", ACCEPT, "a limit and a count", array(4, 1)),
        ("hops-255", ACCEPT, "the limit may be 255", array(255, 0)),
        ("hops-at-limit", ACCEPT, "the count may reach the limit", array(4, 4)),
        ("hops-over-limit", EITHER, "a bundle over its limit should be deleted", array(4, 5)),
        ("hops-limit-0", REJECT, "the limit is at least 1", array(0, 0)),
        ("hops-limit-256", REJECT, "the limit is at most 255", array(256, 0)),
        ("hops-three", REJECT, "there are two numbers", array(4, 1, 0)),
        ("hops-one", REJECT, "there are two numbers, and one is here", array(4)),
        ("hops-integer", REJECT, "two numbers are an array", item(4)),
    ):
        seen = "ricktaylor/hardy#549" if name.startswith("hops-limit") else ""
        add(name, verdict, s, why, plain(block(10, 3, content)), seen=seen)
    add("hops-twice", REJECT, s, "there is at most one",
        plain(block(10, 3, array(4, 1)), block(10, 4, array(4, 1))))  # fmt: skip
    s = "9171 §5.6"
    for name, verdict, why, flags in (
        ("unknown-kept", ACCEPT, "no flag: processing continues", 0x00),
        ("unknown-discarded", ACCEPT, "the block is to be discarded, not the bundle", 0x10),
        ("unknown-deletes", REJECT, "the bundle must be deleted", 0x04),
        ("unknown-deletes-first", REJECT, "deletion goes before discarding the block", 0x14),
        ("unknown-reported", ACCEPT, "a report is asked for, not deletion", 0x02),
    ):
        add(name, verdict, s, "a block of unknown type; " + why,
            plain(block(192, 3, b"\x01", flags=flags)))  # fmt: skip
    add("unknown-type-most", ACCEPT, s, "a block type of 64 bits is unknown and no more",
        plain(block(2**64 - 1, 3, b"")))  # fmt: skip
    add("unknown-type-0", EITHER, "9171 §9.1", "block type 0 is reserved",
        plain(block(0, 3, b"")))  # fmt: skip
    add("known-deletes", ACCEPT, s, "the flag is for blocks that cannot be processed",
        bundle(primary(), block(7, 2, item(9), flags=0x04), PAYLOAD))  # fmt: skip
    add("block-flags-unassigned", ACCEPT, "9171 §4.2.4", "unrecognized block flags are ignored",
        plain(payload=block(1, 1, TEXT, flags=0xF9)), seen="dtn7/bp7-rs#12")  # fmt: skip
    add("block-five-of-six", REJECT, "9171 §4.3.2", "a field more than a block has",
        plain(block(192, 3, b"", more=(0,))))  # fmt: skip
    add("block-four", REJECT, "9171 §4.3.2", "a block without its data",
        plain(array(192, 3, 0, 0)))  # fmt: skip
