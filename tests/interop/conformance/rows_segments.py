"""Rows about LTP segments: RFC 5326.

Engine 1 sends, engine 2 receives; each row has sessions of its own, and what they carry is a
correct bundle, so that nothing above LTP refuses it.
"""

from __future__ import annotations

from tests.interop.conformance.parts import SESSIONS, plain, sdnv
from tests.interop.conformance.rows import ACCEPT, EITHER, REJECT, Add

RED, CHECKPOINT, END_OF_RED, END_OF_BLOCK, GREEN, GREEN_END = 0, 1, 2, 3, 4, 7
REPORT, REPORT_ACK, CANCEL, CANCEL_ACK, CANCEL_BACK, CANCEL_BACK_ACK = 8, 9, 12, 13, 14, 15
THEY, WE = 2, 1
"""Engines: the one under test, and ours."""
ASKING = 7000
"""The session in which the engine under test sends OUTGOING, in rows with `sending`."""
SERIAL = 9
"""Of its checkpoint."""
SIZE = 100
"""Of its block: all of it in one segment."""


def head(
    kind: int, session: int, *, engine: int = WE, version: int = 0, extensions: int = 0
) -> bytes:
    """A segment's header."""
    control = bytes((version << 4 | kind,))
    return control + sdnv(engine) + sdnv(session) + bytes((extensions,))


def data(
    kind: int,
    session: int,
    start: int,
    content: bytes,
    *,
    service: int = 1,
    serials: tuple[int, int] = (1, 0),
    length: int | None = None,
    **more: int,
) -> bytes:
    """A data segment."""
    named = sdnv(len(content) if length is None else length)
    numbers = b"".join(map(sdnv, serials)) if CHECKPOINT <= kind <= END_OF_BLOCK else b""
    return head(kind, session, **more) + sdnv(service) + sdnv(start) + named + numbers + content


def report(
    session: int,
    serial: int,
    checkpoint: int,
    bounds: tuple[int, int],
    *claims: tuple[int, int],
    engine: int = THEY,
    claimed: int | None = None,
) -> bytes:
    """A report; bounds are lower and upper, claims are offset and length."""
    lower, upper = bounds
    count_of = len(claims) if claimed is None else claimed
    numbers = [
        serial,
        checkpoint,
        upper,
        lower,
        count_of,
        *[one for claim in claims for one in claim],
    ]
    return head(REPORT, session, engine=engine) + b"".join(map(sdnv, numbers))


def segments(add: Add) -> None:
    """All of them."""
    headers(add)
    numbers(add)
    extensions(add)
    red_data(add)
    green_data(add)
    reports(add)
    cancellations(add)
    sending(add)


def headers(add: Add) -> None:
    """§3.1."""
    bundle = plain()
    s = "5326 §3.1.2"
    new = SESSIONS.take
    add("block", ACCEPT, "5326 §6.9", "a block in one segment", data(3, new(), 0, bundle),
        answer="report")  # fmt: skip
    add("version-1", REJECT, "5326 §3.1", "the version is 0",
        data(3, new(), 0, bundle, version=1), answer="none")  # fmt: skip
    for kind, what in ((5, "green data"), (6, "green data"), (10, "control"), (11, "control")):
        add(f"type-{kind}", REJECT, s, f"segment type {kind} ({what}) is undefined",
            data(kind, new(), 0, bundle), answer="none")  # fmt: skip
    whole = data(3, new(), 0, bundle)
    s = "5326 §6"
    for name, why, size in (
        ("control-byte-alone", "the data ends behind the control byte", 1),
        ("cut-in-session", "the data ends within the session id", 3),
        ("cut-before-extensions", "the data ends before the count of extensions", 4),
        ("cut-in-header", "the data ends within offset and length", 6),
        ("cut-in-data", "the data ends before as many bytes as the length says", len(whole) - 1),
    ):
        add(name, REJECT, s, why, whole[:size], answer="none")
    add("bytes-behind", EITHER, s, "a byte behind the segment's content",
        data(3, new(), 0, bundle) + b"\0")  # fmt: skip
    add("other-engine", EITHER, "5326 §3.1", "a session of an engine that is not configured",
        data(3, new(), 0, bundle, engine=77))  # fmt: skip


def numbers(add: Add) -> None:
    """§2, item 20: SDNVs."""
    bundle, s = plain(), "5326 §2"
    add("sdnv-10-bytes", ACCEPT, s, "a session number of 64 bits takes 10 bytes",
        data(3, 2**64 - 1, 0, bundle), answer="report")  # fmt: skip
    add("sdnv-64-bit-serial", ACCEPT, s, "a checkpoint serial number of 64 bits",
        data(3, SESSIONS.take(), 0, bundle, serials=(2**64 - 1, 0)), answer="report")  # fmt: skip
    add("sdnv-11-bytes", EITHER, s, "a session number of 70 bits: no limit is named",
        data(3, 2**70 - 1, 0, bundle))  # fmt: skip
    session = SESSIONS.take()
    padded = bytes((3,)) + sdnv(WE) + sdnv(session, pad=1) + b"\0"
    add("sdnv-padded", EITHER, s, "a leading group of zeros: nothing forbids or allows it",
        padded + data(3, session, 0, bundle)[len(head(3, session)):])  # fmt: skip
    add("sdnv-endless", REJECT, "5326 §6", "a number that does not end",
        bytes((3, 1)) + b"\xff" * 40, answer="none")  # fmt: skip
    add("length-only-claimed", REJECT, "5326 §6", "a length of 2**63 that is not there",
        data(3, SESSIONS.take(), 0, bundle, length=2**63), answer="none")  # fmt: skip
    add("offset-2-62", EITHER, "5326 §6.22", "data at 2**62: a receiver may have a limit",
        data(3, SESSIONS.take(), 2**62, bundle))  # fmt: skip


def extensions(add: Add) -> None:
    """§3.1.4."""
    bundle, s = plain(), "5326 §3.1.4"
    one = b"\xc0\x02ab"

    def extended(count_byte: int, front: bytes, back: bytes) -> bytes:
        session = SESSIONS.take()
        rest = data(3, session, 0, bundle)[len(head(3, session)) :]
        return head(3, session, extensions=count_byte) + front + rest + back

    add("extension-header", ACCEPT, s, "a header extension of private use is stepped over",
        extended(0x10, one, b""), answer="report")  # fmt: skip
    add("extension-trailer", ACCEPT, s, "a trailer extension of private use is stepped over",
        extended(0x01, b"", one), answer="report")  # fmt: skip
    add("extensions-most", ACCEPT, s, "15 extensions in the header and 15 in the trailer",
        extended(0xFF, b"\xc1\0" * 15, b"\xc2\0" * 15), answer="report")  # fmt: skip
    add("extension-missing", REJECT, s, "a trailer extension that is not there",
        extended(0x01, b"", b""), answer="none")  # fmt: skip
    add("extension-cut", REJECT, s, "a trailer extension that is longer than the segment",
        extended(0x01, b"", b"\xc0\x7fab"), answer="none")  # fmt: skip
    add("extensions-on-nothing", ACCEPT, s,
        "a segment without content may have header extensions, and trailer extensions after them",
        head(CANCEL_ACK, SESSIONS.take(), engine=THEY, extensions=0x11) + one + one,
        answer="none")  # fmt: skip


def red_data(add: Add) -> None:
    """§3.2.1, 6.8, 6.11."""
    bundle = plain()
    half = len(bundle) // 2
    s = "5326 §6.11"
    a = SESSIONS.take()
    add("red", ACCEPT, "5326 §3.1.2", "red data that is no checkpoint asks for nothing",
        data(RED, a, 0, bundle[:half]), answer="none")  # fmt: skip
    a = SESSIONS.take()
    add("checkpoint", ACCEPT, s, "a checkpoint on the way is answered",
        data(CHECKPOINT, a, 0, bundle[:half]), answer="report")  # fmt: skip
    a = SESSIONS.take()
    add("end-of-red", ACCEPT, s, "the end of the red part is a checkpoint",
        data(END_OF_RED, a, 0, bundle), answer="report")  # fmt: skip
    a = SESSIONS.take()
    add("block-in-two", ACCEPT, s, "the second of two segments",
        data(3, a, half, bundle[half:]), before=(data(RED, a, 0, bundle[:half]),),
        answer="report")  # fmt: skip
    a = SESSIONS.take()
    add("gap-at-start", ACCEPT, s, "a block whose first half is missing: the report says so",
        data(3, a, half, bundle[half:]), answer="report")  # fmt: skip
    a = SESSIONS.take()
    add("repair", ACCEPT, s, "the missing half, in answer to no report",
        data(CHECKPOINT, a, 0, bundle[:half], serials=(2, 0)),
        before=(data(3, a, half, bundle[half:]),), answer="report")  # fmt: skip
    a = SESSIONS.take()
    add("overlap", ACCEPT, "5326 §3.2.1", "segments that overlap, as after a change of their size",
        data(3, a, half - 9, bundle[half - 9:]), before=(data(RED, a, 0, bundle[:half]),),
        answer="report")  # fmt: skip
    a = SESSIONS.take()
    add("checkpoint-again", ACCEPT, "5326 §6.8", "a checkpoint that is repeated is answered again",
        data(CHECKPOINT, a, 0, bundle[:half]), before=(data(CHECKPOINT, a, 0, bundle[:half]),),
        answer="report")  # fmt: skip
    a = SESSIONS.take()
    add("checkpoint-0", REJECT, "5326 §3.2.1", "a checkpoint's serial number is not 0",
        data(3, a, 0, bundle, serials=(0, 0)), answer="none")  # fmt: skip
    a = SESSIONS.take()
    add("answers-no-report", EITHER, "5326 §3.2.1",
        "a checkpoint that answers a report which was never given",
        data(3, a, 0, bundle, serials=(5, 4321)))  # fmt: skip
    a = SESSIONS.take()
    add("empty", EITHER, "5326 §3.2.1", "a data segment without data",
        data(CHECKPOINT, a, 0, b""))  # fmt: skip
    a = SESSIONS.take()
    add("past-the-end", EITHER, "5326 §3.1.3", "data behind the end of the red part",
        data(1, a, len(bundle), b"x", serials=(2, 0)),
        before=(data(3, a, 0, bundle),))  # fmt: skip
    a = SESSIONS.take()
    add("two-ends", EITHER, "5326 §3.1.3", "a second end of the block, elsewhere",
        data(3, a, half, bundle[half:-5], serials=(2, 0)),
        before=(data(3, a, half, bundle[half:]),))  # fmt: skip
    a = SESSIONS.take()
    add("no-service", ACCEPT, "5326 §6", "red data for no service here: cancelled (1, UNREACH)",
        data(3, a, 0, bundle, service=4321), answer="cancel 1")  # fmt: skip
    a = SESSIONS.take()
    add("own-session", EITHER, "5326 §3.1", "data in a session of the receiver's own",
        data(3, a, 0, bundle, engine=THEY))  # fmt: skip


def green_data(add: Add) -> None:
    """§6.10, 6.21."""
    bundle = plain()
    half = len(bundle) // 2
    a = SESSIONS.take()
    add("green", ACCEPT, "5326 §6.10", "green data is not answered",
        data(GREEN, a, 0, bundle[:half]), answer="none")  # fmt: skip
    a = SESSIONS.take()
    add("green-block", ACCEPT, "5326 §6.10", "a block that is all green is not answered",
        data(GREEN_END, a, 0, bundle), answer="none")  # fmt: skip
    a = SESSIONS.take()
    add("green-no-service", EITHER, "5326 §6", "green data for no service: a CR should be sent",
        data(GREEN_END, a, 0, bundle, service=4321))  # fmt: skip
    a = SESSIONS.take()
    green = data(GREEN_END, a, half, bundle[half:])
    add("red-then-green", ACCEPT, "5326 §3.1.1", "a red part, and a green part behind it",
        green, before=(data(END_OF_RED, a, 0, bundle[:half]),), answer="none")  # fmt: skip
    a = SESSIONS.take()
    add("red-behind-green", REJECT, "5326 §6.21", "red data behind green data is miscolored",
        data(3, a, half, bundle[half:]), before=(data(GREEN, a, 0, bundle[:half]),),
        answer="cancel 3")  # fmt: skip
    a = SESSIONS.take()
    add("green-before-red", REJECT, "5326 §6.21", "green data before red data is miscolored",
        data(GREEN, a, 0, bundle[:half]), before=(data(RED, a, half, bundle[half:]),),
        answer="cancel 3")  # fmt: skip


def reports(add: Add) -> None:
    """§3.2.2, 3.2.3, 6.13, 6.14: in sessions that the receiver does not know."""
    s = "5326 §6.13"
    a = SESSIONS.take()
    whole = report(a, 50, 9, (0, 100), (0, 100))
    add("report", ACCEPT, s, "a report on an unknown session is acknowledged", whole,
        answer="report-ack")  # fmt: skip
    whole = report(SESSIONS.take(), 50, 9, (0, 100), (0, 100))
    add("report-again", ACCEPT, s, "a report that is repeated is acknowledged again", whole,
        before=(whole,), answer="report-ack")  # fmt: skip
    add("report-unasked", ACCEPT, "5326 §3.2.2", "a report that answers no checkpoint",
        report(SESSIONS.take(), 50, 0, (0, 100), (0, 100)), answer="report-ack")  # fmt: skip
    add("report-64-bits", ACCEPT, "5326 §2", "a report serial number of 64 bits",
        report(SESSIONS.take(), 2**64 - 1, 9, (0, 100), (0, 100)), answer="report-ack")  # fmt: skip
    add("report-two-claims", ACCEPT, "5326 §3.2.2", "claims with a byte between them",
        report(SESSIONS.take(), 50, 9, (0, 99), (0, 9), (10, 5)), answer="report-ack")  # fmt: skip
    s = "5326 §3.2.2"
    for name, why, bounds, claims, more in (
        ("past-scope", "a claim ends within the scope", (0, 100), ((0, 101),), {}),
        ("past-scope-by-offset", "a claim begins within the scope", (0, 100), ((100, 1),), {}),
        ("lower-counts", "a claim counts from the lower bound", (50, 100), ((40, 20),), {}),
        ("2-64", "a claim's offset and length may not wrap around", (0, 100),
         ((10, 2**64 - 5),), {}),
        ("empty-claim", "a claim has a byte at least", (0, 100), ((0, 0),), {}),
        ("overlapping", "claims do not overlap", (0, 100), ((0, 50), (40, 20)), {}),
        ("adjacent", "a claim begins behind the byte after the one before", (0, 100),
         ((0, 50), (50, 50)), {}),
        ("descending", "claims ascend", (0, 100), ((50, 10), (0, 10)), {}),
        ("no-claim", "there is at least one claim", (0, 100), (), {}),
        ("claims-missing", "as many claims as are counted", (0, 100), ((0, 10),), {"claimed": 9}),
        ("claims-2-63", "a count of claims that is only claimed", (0, 100), ((0, 10),),
         {"claimed": 2**63}),
        ("bounds-equal", "the upper bound is above the lower", (100, 100), ((0, 1),), {}),
        ("bounds-crossed", "the upper bound is above the lower", (100, 50), ((0, 1),), {}),
    ):  # fmt: skip
        add(f"report-{name}", REJECT, s, why,
            report(SESSIONS.take(), 50, 9, bounds, *claims, **more), answer="none")  # fmt: skip
    add("report-0", REJECT, s, "a report's serial number is not 0",
        report(SESSIONS.take(), 0, 9, (0, 100), (0, 100)), answer="none")  # fmt: skip
    add("report-to-receiver", EITHER, "5326 §6.13", "a report in a session of our own engine",
        report(SESSIONS.take(), 50, 9, (0, 100), (0, 100), engine=WE))  # fmt: skip
    add("report-ack", ACCEPT, "5326 §6.14", "an acknowledgment of a report never given",
        head(REPORT_ACK, SESSIONS.take()) + sdnv(50), answer="none")  # fmt: skip
    add("report-ack-cut", REJECT, "5326 §3.2.3", "an acknowledgment without a serial number",
        head(REPORT_ACK, SESSIONS.take()), answer="none")  # fmt: skip


def cancellations(add: Add) -> None:
    """§3.2.4, 6.17, 6.18."""
    bundle = plain()
    half = len(bundle) // 2
    s = "5326 §6.17"
    for reason, verdict, clause, why in (
        (0, ACCEPT, s, "a cancellation of an unknown session is acknowledged"),
        (6, ACCEPT, "5326 §3.2.4", "a reserved reason: the session is over all the same"),
        (255, ACCEPT, "5326 §3.2.4", "the last of the reserved reasons"),
    ):
        add(f"cancel-{reason}", verdict, clause, why,
            head(CANCEL, SESSIONS.take()) + bytes((reason,)), answer="cancel-ack")  # fmt: skip
    a = SESSIONS.take()
    add("cancel-receiving", ACCEPT, s, "a cancellation of a block on its way",
        head(CANCEL, a) + b"\0", before=(data(RED, a, 0, bundle[:half]),),
        answer="cancel-ack")  # fmt: skip
    a = SESSIONS.take()
    again = head(CANCEL, a) + b"\0"
    add("cancel-again", ACCEPT, s, "a cancellation that is repeated is acknowledged again", again,
        before=(again,), answer="cancel-ack")  # fmt: skip
    a = SESSIONS.take()
    add("cancel-finished", ACCEPT, s, "a cancellation of a block that was received",
        head(CANCEL, a) + b"\0", before=(data(3, a, 0, bundle),), answer="cancel-ack")  # fmt: skip
    add("cancel-back", ACCEPT, s, "a receiver's cancellation of an unknown session",
        head(CANCEL_BACK, SESSIONS.take(), engine=THEY) + b"\4",
        answer="cancel-back-ack")  # fmt: skip
    add("cancel-cut", REJECT, "5326 §3.2.4", "a cancellation without a reason",
        head(CANCEL, SESSIONS.take()), answer="none")  # fmt: skip
    add("cancel-ack", ACCEPT, "5326 §6.18", "an acknowledgment of no cancellation",
        head(CANCEL_ACK, SESSIONS.take(), engine=THEY), answer="none")  # fmt: skip
    add("cancel-back-ack", ACCEPT, "5326 §6.18", "an acknowledgment of no receiver's cancellation",
        head(CANCEL_BACK_ACK, SESSIONS.take()), answer="none")  # fmt: skip
    a = SESSIONS.take()
    add("data-after-cancel", EITHER, "5326 §6.20", "data of a session that was cancelled",
        data(3, a, 0, bundle), before=(head(CANCEL, a) + b"\0",))  # fmt: skip


def sending(add: Add) -> None:
    """What a sender does: engine 2 sends 100 bytes in session 7000, checkpoint 9."""

    def reported(
        serial: int, bounds: tuple[int, int], *claims: tuple[int, int], cp: int = SERIAL
    ) -> bytes:
        return report(ASKING, serial, cp, bounds, *claims)

    s = "5326 §6.12"
    add("sending-all", ACCEPT, s, "a report that claims all of the block ends the session",
        reported(50, (0, SIZE), (0, SIZE)), sending=True, answer="report-ack",
        effect="acknowledged")  # fmt: skip
    add("sending-unasked", ACCEPT, s, "so does one that answers no checkpoint",
        reported(50, (0, SIZE), (0, SIZE), cp=0), sending=True, answer="report-ack",
        effect="acknowledged")  # fmt: skip
    add("sending-union", ACCEPT, s, "claims of several reports count together",
        reported(51, (50, SIZE), (0, 50)), before=(reported(50, (0, 50), (0, 50)),), sending=True,
        answer="report-ack", effect="acknowledged", seen="nasa-jpl/ION-DTN#14")  # fmt: skip
    add("sending-half", ACCEPT, "5326 §6.13", "a report of a gap: the gap is sent again",
        reported(50, (0, SIZE), (0, 50)), sending=True, answer="report-ack",
        effect="sent again")  # fmt: skip
    add("sending-scope", ACCEPT, "5326 §3.2.2", "nothing is known outside of a report's scope",
        reported(50, (50, SIZE), (0, 50)), sending=True, answer="report-ack",
        effect="waits")  # fmt: skip
    add("sending-claim-past-scope", REJECT, "5326 §3.2.2", "a claim past the scope claims nothing",
        reported(50, (0, 50), (0, SIZE)), sending=True, effect="waits")  # fmt: skip
    add("sending-scope-past-block", EITHER, "5326 §3.2.2", "a scope that ends behind the block",
        reported(50, (0, SIZE + 1), (0, SIZE + 1)), sending=True)  # fmt: skip
    add("sending-unknown-checkpoint", EITHER, "5326 §3.2.2", "a checkpoint that was never sent",
        reported(50, (0, SIZE), (0, SIZE), cp=SERIAL + 90), sending=True)  # fmt: skip
    add("sending-redundant", ACCEPT, "5326 §6.13", "a second report of one number does nothing",
        reported(50, (0, SIZE), (0, SIZE)), before=(reported(50, (0, SIZE), (0, 50)),),
        sending=True, answer="report-ack", effect="sent again")  # fmt: skip
    add("sending-cancelled", ACCEPT, "5326 §6.17", "the receiver cancels: the session is over",
        head(CANCEL_BACK, ASKING, engine=THEY) + b"\4", sending=True, answer="cancel-back-ack",
        effect="failed")  # fmt: skip
    add("sending-cancel-by-sender", EITHER, "5326 §6.17",
        "its own cancellation comes back to it", head(CANCEL, ASKING, engine=THEY) + b"\0",
        sending=True)  # fmt: skip
