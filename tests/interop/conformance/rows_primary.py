"""Rows about what primary blocks say: flags, endpoints, times, fragments; and status reports."""

from __future__ import annotations

import cbor2

from tests.interop.conformance.parts import (
    AGE,
    CREATED_MS,
    LIFETIME_MS,
    NULL,
    PAYLOAD,
    REPORTS,
    SENDER,
    TEXT,
    array,
    block,
    bundle,
    item,
    plain,
    primary,
)
from tests.interop.conformance.rows import ACCEPT, EITHER, REJECT, Add

FRAGMENT, ADMIN, WHOLE = 0x01, 0x02, 0x04
LOCAL_NODE = 2**32 - 1
ANONYMOUS = (
    "not delivered: an anonymous bundle has no identity to recognise a copy by, nobody to answer"
)


def fields(add: Add) -> None:
    """RFC 9171 §4.3.1 and 4.2.3."""
    s = "9171 §4.3.1"
    add("version-6", REJECT, s, "the version is 7, not 6", plain(version=6))
    add("version-8", REJECT, s, "the version is 7, not one to come", plain(version=8))
    add("primary-short", REJECT, s, "a field is missing: the lifetime", plain(without="lifetime"))
    add("primary-long", REJECT, s, "fields of a fragment in a bundle that is none",
        plain(more=(0, 11)))  # fmt: skip
    add("fragment-short", REJECT, s, "a fragment without offset and length",
        plain(flags=FRAGMENT))  # fmt: skip
    add("fragment-half", REJECT, s, "a fragment without its total length",
        plain(flags=FRAGMENT, more=(0,)))  # fmt: skip
    s = "9171 §4.2.3"
    add("flags-none", ACCEPT, s, "no flag at all", plain(flags=0))
    add("flags-unassigned", ACCEPT, s, "unrecognized bundle flags are ignored",
        plain(flags=REPORTS | 1 << 40))  # fmt: skip
    add("flags-reserved", ACCEPT, s, "reserved bundle flags are ignored",
        plain(flags=REPORTS | 0x18))  # fmt: skip
    add("flags-all-reports", ACCEPT, s, "all reports, with their times",
        plain(flags=0x074040))  # fmt: skip
    add("flags-acknowledgement", ACCEPT, s, "acknowledgement by the application is asked for",
        plain(flags=REPORTS | 0x20))  # fmt: skip
    add("report-to-null", ACCEPT, "9171 §4.3.1", "reports are asked for, and go to nobody",
        plain(report_to=NULL))  # fmt: skip
    whole = {"source": NULL, "report_to": NULL, "flags": WHOLE}
    add("anonymous", ACCEPT, s, "a bundle without source", plain(**whole), ours=ANONYMOUS)
    add("anonymous-may-be-cut", REJECT, s, "an anonymous bundle must not be fragmented",
        plain(**whole | {"flags": 0}))  # fmt: skip
    add("anonymous-reports", REJECT, s, "an anonymous bundle must not ask for reports",
        plain(**whole | {"flags": WHOLE | REPORTS}))  # fmt: skip
    add("anonymous-block-report", REJECT, "9171 §4.2.4",
        "no block of an anonymous bundle may ask for a report",
        plain(block(192, 3, b"", flags=0x02), **whole))  # fmt: skip
    add("anonymous-fragment", EITHER, s, "a fragment without identity: no clause forbids it",
        plain(**whole | {"flags": WHOLE | FRAGMENT, "more": (0, 99)}))  # fmt: skip
    add("for-another", EITHER, "9171 §5.3", "not for the receiver, which may forward it",
        plain(to=[2, [9_999, 1]]))  # fmt: skip


def endpoints(add: Add) -> None:
    """RFC 9171 §4.2.5.1, and RFC 9758."""
    s = "9171 §4.2.5.1"
    add("eid-unknown-scheme", EITHER, s, "report-to in a scheme that IANA has not assigned",
        plain(report_to=[99, "x"]))  # fmt: skip
    add("eid-scheme-0", REJECT, "9171 §9.6", "scheme code 0 is reserved",
        plain(report_to=[0, 0]))  # fmt: skip
    add("eid-three-items", REJECT, s, "an endpoint id has two items",
        plain(source=[2, [1, 1], 0]))  # fmt: skip
    add("eid-text", REJECT, s, "an endpoint id is an array, not its text", plain(source="ipn:1.1"))
    add("eid-scheme-text", REJECT, s, "a scheme is a code number, not its name",
        plain(source=["ipn", [1, 1]]))  # fmt: skip
    s = "9171 §4.2.5.1.1"
    for name, verdict, why, ssp in (
        ("dtn", ACCEPT, "a dtn endpoint", "//node/app"),
        ("dtn-node", ACCEPT, "an empty demux: a node's own endpoint", "//node/"),
        ("dtn-deep", ACCEPT, "a demux may have slashes", "//node/a/b"),
        ("dtn-escaped", ACCEPT, "a node name may have escaped characters", "//no%20de/a"),
        ("dtn-none-text", REJECT, "dtn:none is the number 0, not text", "none"),
        ("dtn-no-slash", REJECT, "a slash ends the node name", "//node"),
        ("dtn-no-slashes", REJECT, "two slashes begin it", "node/app"),
        ("dtn-space", REJECT, "a demux is visible characters", "//node/a b"),
        ("dtn-not-ascii", REJECT, "a demux is US-ASCII", "//node/ä"),
        ("dtn-node-bracket", REJECT, "a node name is a reg-name, without brackets", "//no[de/a"),
        ("dtn-node-percent", REJECT, "a percent sign is followed by two digits", "//no%2/a"),
        ("dtn-node-empty", EITHER, "RFC 3986 lets a reg-name be empty", "///a"),
        ("dtn-number-1", REJECT, "the only number is 0", 1),
        ("dtn-bytes", REJECT, "it is text, not a byte string", cbor2.dumps(b"//node/app")),
        ("dtn-not-utf-8", REJECT, "it is text, and this is no UTF-8", b"\x66//a/\xff\xfe"),
    ):
        add(name, verdict, s, "report-to: " + why, plain(report_to=array(1, ssp)))
    add("dtn-source", ACCEPT, s, "the source has a dtn endpoint", plain(source=[1, "//one/"]))
    add("dtn-group-source", EITHER, "9171 §4.3.1", "the source is a node, and a group is none",
        plain(source=[1, "//one/~all"]))  # fmt: skip
    s = "9171 §4.2.5.1.2"
    add("ipn-number-most", ACCEPT, s, "a service number may have 64 bits",
        plain(report_to=[2, [1, 2**64 - 1]]))  # fmt: skip
    add("ipn-negative", REJECT, s, "a node number is unsigned", plain(report_to=[2, [-1, 1]]))
    add("ipn-text", REJECT, s, "a node number is a number", plain(report_to=[2, ["1", 1]]))
    add(
        "ipn-one", REJECT, s, "node and service, and one of them is here", plain(report_to=[2, [1]])
    )
    s = "9758 §6.1.2"
    add("ipn3-source", ACCEPT, s, "three numbers: allocator 0, node 1, service 1",
        plain(source=[2, [0, 1, 1]]))  # fmt: skip
    add("ipn3-destination", ACCEPT, s, "ipn:2.1 in three numbers is the same endpoint",
        plain(to=[2, [0, 2, 1]]))  # fmt: skip
    add("ipn3-allocator", ACCEPT, s, "three numbers: allocator 977000",
        plain(report_to=[2, [977_000, 100, 1]]))  # fmt: skip
    add("ipn2-allocator", ACCEPT, "9758 §6.1.1", "two numbers, the allocator in the upper 32 bits",
        plain(report_to=[2, [977_000 << 32 | 100, 1]]))  # fmt: skip
    s = "9758 §6.2"
    add("ipn3-allocator-33-bits", REJECT, s, "an allocator has 32 bits",
        plain(report_to=[2, [2**32, 100, 1]]))  # fmt: skip
    add("ipn3-node-33-bits", REJECT, s, "a node number has 32 bits beside an allocator",
        plain(report_to=[2, [0, 2**32, 1]]))  # fmt: skip
    add("ipn4", REJECT, s, "four numbers are too many", plain(report_to=[2, [0, 0, 1, 1]]))
    s = "9758 §5.2"
    null = [2, [0, 0]]
    add("ipn-null-report-to", ACCEPT, s, "ipn:0.0 is the null endpoint", plain(report_to=null))
    add("ipn-null-source-may-be-cut", REJECT, s, "ipn:0.0 as source is an anonymous bundle",
        plain(source=null, flags=0))  # fmt: skip
    add("ipn3-null-source-reports", REJECT, s, "ipn:0.0.0 as source is an anonymous bundle",
        plain(source=[2, [0, 0, 0]], flags=WHOLE | REPORTS))  # fmt: skip
    add("ipn-null-source", ACCEPT, s, "ipn:0.0 as source, with the flags of an anonymous bundle",
        plain(source=null, report_to=null, flags=WHOLE), ours=ANONYMOUS)  # fmt: skip
    s = "9758 §3.4.1"
    add("ipn-0-1-report-to", ACCEPT, s, "ipn:0.1 is to be taken for the null endpoint",
        plain(report_to=[2, [0, 1]]), seen="dtn7/bp7-rs#15, ricktaylor/hardy#249")  # fmt: skip
    add("ipn-0-1-source-may-be-cut", REJECT, s, "so ipn:0.1 as source is an anonymous bundle",
        plain(source=[2, [0, 1]], flags=0))  # fmt: skip
    s = "9758 §5.4"
    add("local-node-source", REJECT, s, "the LocalNode of another is no source",
        plain(source=[2, [LOCAL_NODE, 1]]))  # fmt: skip
    add("local-node-destination", REJECT, s, "the LocalNode of another is no destination",
        plain(to=[2, [LOCAL_NODE, 1]]))  # fmt: skip
    add("local-node-ipn3", REJECT, s, "the LocalNode in three numbers",
        plain(source=[2, [0, LOCAL_NODE, 1]]))  # fmt: skip
    add("local-node-report-to", EITHER, s, "only source and destination are named there",
        plain(report_to=[2, [LOCAL_NODE, 1]]))  # fmt: skip


def times(add: Add) -> None:
    """RFC 9171 §4.2.6, 4.2.7, 5.5."""
    s = "9171 §4.2.7"
    for name, what, sequence in (
        ("0", "0", 0),
        ("2-63", "2**63", 2**63),
        ("most", "2**64 - 1", 2**64 - 1),
    ):
        add(f"sequence-{name}", ACCEPT, s, f"sequence number {what}",
            plain(created=[CREATED_MS, sequence]))  # fmt: skip
    add("created-one", REJECT, s, "a timestamp has two numbers", plain(created=[CREATED_MS]))
    add("created-three", REJECT, s, "a timestamp has two numbers",
        plain(created=[CREATED_MS, 1, 1]))  # fmt: skip
    add("created-integer", REJECT, s, "a timestamp is an array", plain(created=CREATED_MS))
    add("created-negative", REJECT, "9171 §4.2.6", "a DTN time is unsigned",
        plain(created=[-1, 99_005]))  # fmt: skip
    add("created-2-63", EITHER, "9171 §4.2.6", "a date in 292 million years is well formed",
        plain(created=[2**63, 99_006]))  # fmt: skip
    s = "9171 §5.5"
    add("lifetime-most", ACCEPT, "9171 §4.3.1", "a lifetime may have 64 bits",
        plain(lifetime=2**64 - 1))  # fmt: skip
    old = block(7, 2, item(LIFETIME_MS + 1))
    add("expired-by-age", REJECT, s, "an undated bundle whose age exceeds its lifetime",
        bundle(primary(created=[0, 99_007]), old, PAYLOAD))  # fmt: skip
    add("expired-at-lifetime", EITHER, s, "an age that is the lifetime does not exceed it yet",
        bundle(primary(created=[0, 99_008]), block(7, 2, item(LIFETIME_MS)), PAYLOAD))  # fmt: skip
    add("expired-by-date", EITHER, s, "a clock may count, if it is known to be right",
        plain(created=[1000, 99_009], lifetime=60_000))  # fmt: skip
    add("lifetime-0", EITHER, s, "an age of 0 does not exceed a lifetime of 0",
        bundle(primary(created=[0, 99_010], lifetime=0), block(7, 2, b"\0"), PAYLOAD))  # fmt: skip


def piece(
    stamp: int, offset: int, total: int, data: bytes, *, flags: int = FRAGMENT, crc: int = 2
) -> bytes:
    """A fragment of the bundle with this sequence number."""
    head = primary(crc, created=[CREATED_MS, stamp], flags=flags, more=(offset, total))
    return bundle(head, AGE, block(1, 1, data))


def fragments(add: Add) -> None:
    """RFC 9171 §5.8, 5.9."""
    s = "9171 §5.8"
    add(
        "fragment-first", ACCEPT, s, "the first bytes of a payload", piece(98_001, 0, 11, b"confor")
    )
    add("fragment-last", ACCEPT, s, "the last bytes of a payload", piece(98_002, 6, 11, b"mance"))
    add("fragment-no-crc", REJECT, "9171 §4.3.1", "a fragment's primary block has a CRC, too",
        piece(98_003, 0, 11, b"confor", crc=0))  # fmt: skip
    add("fragment-all", ACCEPT, s, "a fragment that is all of the payload",
        piece(98_004, 0, 11, TEXT))  # fmt: skip
    add("fragment-past-end", REJECT, s, "a fragment ends within the payload it is of",
        piece(98_005, 6, 11, b"mances"))  # fmt: skip
    add("fragment-offset-past-end", REJECT, s, "a fragment begins within the payload it is of",
        piece(98_006, 12, 11, b"x"))  # fmt: skip
    add("fragment-offset-most", REJECT, s, "offset and length may not add up beyond 64 bits",
        piece(98_007, 2**64 - 1, 11, b"confor"))  # fmt: skip
    add("fragment-empty", EITHER, s, "a fragment has at least a byte, for who cuts",
        piece(98_008, 6, 11, b""))  # fmt: skip
    add("fragment-must-not", EITHER, "9171 §4.2.3",
        "a fragment that must not be fragmented: no clause forbids both flags",
        piece(98_009, 0, 11, TEXT, flags=FRAGMENT | WHOLE), seen="dtn7/bp7-rs#10")  # fmt: skip
    s = "9171 §5.9"
    first = piece(98_010, 0, 11, b"confor")
    add("fragment-completes", ACCEPT, s, "the last fragment makes the payload whole",
        piece(98_010, 6, 11, b"mance"), before=(first,))  # fmt: skip
    first = piece(98_011, 0, 11, b"confor")
    add("fragment-overlaps", ACCEPT, s, "fragments may overlap",
        piece(98_011, 3, 11, b"formance"), before=(first,))  # fmt: skip
    first = piece(98_012, 0, 11, b"confor")
    add("fragment-other-total", REJECT, s, "fragments of one bundle name one total length",
        piece(98_012, 6, 12, b"mance"), before=(first,))  # fmt: skip
    again = plain(created=[CREATED_MS, 98_013])
    add("bundle-again", EITHER, "9171 §4.3.1", "a copy of a bundle that is there already",
        again, before=(again,))  # fmt: skip


SUBJECT = ([2, [1, 1]], [CREATED_MS, 1])
YES, NO = array(True), array(False)


def record(payload: bytes, *, flags: int = ADMIN, **more: object) -> bytes:
    """A bundle whose payload is an administrative record."""
    return plain(payload=block(1, 1, payload), flags=flags, report_to=NULL, **more)


def report(
    *states: bytes, reason: object = 0, subject: tuple[object, ...] = SUBJECT, **heads: bytes
) -> bytes:
    """A status report."""
    inside = array(array(*states, **heads), reason, *subject)
    return array(1, inside)


def records(add: Add) -> None:
    """RFC 9171 §6.1; the receiver is the report-to endpoint."""
    s = "9171 §6.1.1"
    usual = (YES, NO, NO, NO)
    add("report", ACCEPT, s, "a status report: received", record(report(*usual)))
    timed = array(True, CREATED_MS)
    add("report-time", ACCEPT, s, "a status report with a time",
        record(report(NO, NO, timed, NO)))  # fmt: skip
    add("report-fragment", ACCEPT, s, "a report on a fragment has its offset and length",
        record(report(*usual, subject=(*SUBJECT, 6, 5))))  # fmt: skip
    add("report-five-states", ACCEPT, s, "there are at least four status items",
        record(report(*usual, NO)))  # fmt: skip
    add("report-reason-200", ACCEPT, s, "the list of reasons is not exhaustive",
        record(report(NO, NO, NO, YES, reason=200)))  # fmt: skip
    add("report-indefinite", ACCEPT, "9171 §4.1", "indefinite-length items are not prohibited",
        record(report(*usual, head=b"\x9f", tail=b"\xff")))  # fmt: skip
    add("record-report-to-null", ACCEPT, s, "a record's own reports go to nobody",
        record(report(NO, YES, NO, NO), flags=ADMIN | WHOLE))  # fmt: skip
    ipn3 = ([2, [0, 1, 1]], [CREATED_MS, 1])
    add("report-ipn3", ACCEPT, "9758 §6.2", "the subject's source in three numbers",
        record(report(*usual, subject=ipn3)))  # fmt: skip
    for name, why, data in (
        ("three-states", "there are at least four status items", report(YES, NO, NO)),
        ("false-with-time", "a time stands beside true alone",
         report(array(False, CREATED_MS), NO, NO, YES)),
        ("number-for-true", "a status indicator is a Boolean", report(array(1), NO, NO, NO)),
        ("state-of-three", "a status item has one or two elements",
         report(array(True, 1, 1), NO, NO, NO)),
        ("five-elements", "a report has four or six elements",
         report(*usual, subject=(*SUBJECT, 6))),
        ("negative-reason", "a reason code is unsigned", report(*usual, reason=-1)),
        ("source-text", "a source is an endpoint id", report(*usual, subject=("ipn:1.1", [1, 1]))),
        ("bytes-behind", "bytes behind the record", report(*usual) + b"\0"),
        ("long-reason", "a number must have its shortest form",
         report(*usual, reason=b"\x18\0")),
        ("of-three", "a record has two items", array(1, array(array(*usual), 0, *SUBJECT), 0)),
        ("no-array", "a record is an array", TEXT),
    ):  # fmt: skip
        clause = "9171 §6.1" if name in ("of-three", "no-array", "bytes-behind") else s
        add(f"report-{name}", REJECT, clause, why, record(data))
    add("record-type-99", EITHER, "9171 §6.1", "a record type that nobody has defined",
        record(array(99, 0)))  # fmt: skip
    s = "9171 §4.2.3"
    add("record-asks-reports", REJECT, s, "a record must not ask for reports",
        record(report(*usual), flags=ADMIN | 0x4000))  # fmt: skip
    add("record-asks-times", EITHER, s, "a record that asks for times of reports, and for none",
        record(report(*usual), flags=ADMIN | 0x40))  # fmt: skip
    asking = plain(block(192, 3, b"", flags=0x02), payload=block(1, 1, report(*usual)), flags=ADMIN)
    add("record-block-report", REJECT, "9171 §4.2.4", "no block of a record may ask for a report",
        asking, seen="ricktaylor/hardy#628")  # fmt: skip
    unsourced = {"source": NULL, "flags": ADMIN | WHOLE, "payload": block(1, 1, report(*usual))}
    add("record-anonymous", EITHER, "9171 §5.1", "a report by a node that does not say which",
        plain(report_to=SENDER, **unsourced))  # fmt: skip
