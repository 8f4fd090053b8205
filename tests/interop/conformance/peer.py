"""The other end of an LTP link over UDP: sends a block or a segment, and hears what comes back.

An LTP engine of its own, made for this: it sends blocks in one segment, acknowledges reports and
cancellations, takes blocks in, and reads the status reports in them. Nothing of ours is used.
"""

from __future__ import annotations

import random
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field

import cbor2

from tests.interop.conformance.parts import sdnv
from tests.interop.conformance.rows_segments import (
    CANCEL,
    CANCEL_ACK,
    CANCEL_BACK,
    CANCEL_BACK_ACK,
    CHECKPOINT,
    END_OF_BLOCK,
    END_OF_RED,
    GREEN_END,
    RED,
    REPORT,
    REPORT_ACK,
    WE,
    data,
    head,
    report,
)

TRIES = 3
"""How often a block is sent before it counts as unanswered."""
Session = tuple[int, int]
Identity = tuple[str, int, int]
"""Of a bundle: source, creation time, sequence number."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A segment that came."""

    kind: int
    session: Session
    numbers: tuple[int, ...] = ()
    """A report's: serial, checkpoint, upper, lower, claims; a cancellation's: reason."""
    service: int = 0
    offset: int = 0
    content: bytes = b""

    @property
    def name(self) -> str:
        """As in the table."""
        names = {
            REPORT: "report",
            REPORT_ACK: "report-ack",
            CANCEL_ACK: "cancel-ack",
            CANCEL_BACK_ACK: "cancel-back-ack",
            CANCEL_BACK: f"cancel {self.numbers[0]}" if self.numbers else "cancel",
        }
        return names.get(self.kind, f"segment of type {self.kind}")


def number(frame: bytes, at: int) -> tuple[int, int]:
    """Read an SDNV."""
    value = 0
    while True:
        value = value << 7 | frame[at] & 0x7F
        at += 1
        if frame[at - 1] < 0x80:
            return value, at


def read(frame: bytes) -> Heard:
    """Read a segment; extensions are stepped over.

    Raises:
        IndexError: it is cut.
    """
    kind = frame[0] & 0x0F
    engine, at = number(frame, 1)
    session, at = number(frame, at)
    extensions, at = frame[at] >> 4, at + 1
    for _ in range(extensions):
        length, at = number(frame, at + 1)
        at += length
    one = (engine, session)
    if kind <= GREEN_END:
        service, at = number(frame, at)
        offset, at = number(frame, at)
        length, at = number(frame, at)
        serials: list[int] = []
        for _ in range(2 if CHECKPOINT <= kind <= END_OF_BLOCK else 0):
            serial, at = number(frame, at)
            serials.append(serial)
        return Heard(kind, one, tuple(serials), service, offset, frame[at : at + length])
    if kind in (CANCEL, CANCEL_BACK):
        return Heard(kind, one, (frame[at],))
    found: list[int] = []
    while kind in (REPORT, REPORT_ACK) and at < len(frame) and len(found) < 5 + 2 * 4096:
        value, at = number(frame, at)
        found.append(value)
    return Heard(kind, one, tuple(found))


def sessions_of(frame: bytes) -> set[Session]:
    """The session that a segment names, if it can be read."""
    with suppress(IndexError):
        engine, at = number(frame, 1)
        return {(engine, number(frame, at)[0])}
    return set()


def is_fragment(bundle: bytes) -> bool:
    """Whether a bundle says that it is one."""
    with suppress(Exception):
        return bool(cbor2.loads(bundle)[0][1] & 0x01)
    return False


def identity_of(bundle: bytes) -> Identity | None:
    """Who made a bundle, and when; None where it cannot be read."""
    with suppress(Exception):
        primary = cbor2.loads(bundle)[0]
        return str(primary[4]), int(primary[6][0]), int(primary[6][1])
    return None


@dataclass(slots=True)
class _Incoming:
    """A block on its way in."""

    pieces: dict[int, bytes] = field(default_factory=dict)
    end: int | None = None
    serial: int = field(default_factory=lambda: random.randrange(1, 1 << 14))

    def block(self) -> bytes | None:
        """All of it, when it is here."""
        at, parts = 0, []
        for offset in sorted(self.pieces):
            piece = self.pieces[offset]
            if offset > at:
                return None
            parts.append(piece[at - offset :])
            at = max(at, offset + len(piece))
        return b"".join(parts) if at == self.end else None


class Peer:
    """Our end of the link.

    Args:
        to: the address of the receiver under test.
        listen: our own; port 0 for any.
        wait_s: how long an answer may take.
    """

    def __init__(self, to: tuple[str, int], listen: tuple[str, int], *, wait_s: float) -> None:
        family, *_, address = socket.getaddrinfo(*to, type=socket.SOCK_DGRAM)[0]
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind(listen)
        self._to = address
        self._wait_s = wait_s
        self._next = random.randrange(1 << 20, 1 << 30)
        self._incoming: dict[Session, _Incoming] = {}
        self.known: set[Session] = set()
        """Sessions whose segments are no answer to what was sent last."""
        self.delivered: set[Identity] = set()
        """Bundles that status reports say were delivered."""
        self.deleted: dict[Identity, int] = {}
        """Bundles that status reports say were deleted, and the reason code."""

    def close(self) -> None:
        """Leave the link."""
        self._socket.close()

    def deliver(self, block: bytes) -> str:
        """Send a block in a session of its own; return how it was answered: "acknowledged", a
        cancellation, or "silence"."""
        session = (WE, self._next)
        self._next += 1
        frame = data(END_OF_BLOCK, session[1], 0, block, serials=(random.randrange(1, 128), 0))
        for _ in range(TRIES):
            self._send(frame)
            end = time.monotonic() + self._wait_s
            while (heard := self._hear(end)) is not None:
                if heard.session != session:
                    continue
                if heard.kind == REPORT and heard.numbers[4:] == (1, 0, len(block)):
                    self.known.add(session)
                    return "acknowledged"
                if heard.kind == CANCEL_BACK:
                    self.known.add(session)
                    return heard.name
        self.known.add(session)
        return "silence"

    def answers(self, frame: bytes, before: tuple[bytes, ...]) -> list[str]:
        """Send a segment, and those that come before it; return the answers to it."""
        for earlier in before:
            self._send(earlier)
            self._listen(self._wait_s / 5)
        self._send(frame)
        found = [one.name for one in self._listen(self._wait_s)]
        for one in (*before, frame):
            self.known |= sessions_of(one)
        return found

    def listen(self, for_s: float) -> None:
        """Wait for status reports that are late."""
        self._listen(for_s)

    def _listen(self, for_s: float) -> list[Heard]:
        end, found = time.monotonic() + for_s, []
        while (heard := self._hear(end)) is not None:
            if heard.session not in self.known:
                found.append(heard)
        return found

    def _send(self, frame: bytes) -> None:
        with suppress(ConnectionError):  # nobody listens there: that shows as silence
            self._socket.sendto(frame, self._to)

    def _hear(self, end: float) -> Heard | None:
        """The next answer until a time; blocks of the other's own are taken in on the way."""
        while (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                frame = self._socket.recv(65_535)
                heard = read(frame)
            except TimeoutError:
                return None
            except (ConnectionError, IndexError):
                continue
            if heard.kind <= GREEN_END:
                self._take(heard)
            elif heard.kind == CANCEL:
                self._incoming.pop(heard.session, None)
                engine, session = heard.session
                self._send(head(CANCEL_ACK, session, engine=engine))
            elif heard.session not in self._incoming:  # there it is about a report of ours
                self._acknowledge(heard)
                return heard
        return None

    def _acknowledge(self, heard: Heard) -> None:
        engine, session = heard.session
        if heard.kind == REPORT and heard.numbers:
            self._send(head(REPORT_ACK, session, engine=engine) + sdnv(heard.numbers[0]))
        elif heard.kind == CANCEL_BACK:
            self._send(head(CANCEL_BACK_ACK, session, engine=engine))

    def _take(self, heard: Heard) -> None:
        """A piece of a block that the other end sends."""
        coming = self._incoming.setdefault(heard.session, _Incoming())
        coming.pieces[heard.offset] = heard.content
        upper = heard.offset + len(heard.content)
        if heard.kind in (END_OF_RED, END_OF_BLOCK, GREEN_END):
            coming.end = upper
        block = coming.block()
        if heard.kind != RED and heard.kind <= END_OF_BLOCK:
            claims = _claims(coming.pieces)
            scope = (0, max(upper, coming.end or 0))
            coming.serial += 1
            self._send(report(heard.session[1], coming.serial, heard.numbers[0], scope, *claims))
        if block is not None:
            self._read_reports(block)

    def _read_reports(self, block: bytes) -> None:
        with suppress(Exception):  # whatever the other end sends
            primary, *_, payload = cbor2.loads(block)
            kind, content = cbor2.loads(payload[4])
            if primary[1] & 0x02 and kind == 1:
                states, reason, source, created = content[:4]
                identity = (str(source), int(created[0]), int(created[1]))
                if states[2][0]:
                    self.delivered.add(identity)
                if states[3][0]:
                    self.deleted[identity] = int(reason)


def _claims(pieces: dict[int, bytes]) -> list[tuple[int, int]]:
    """Offset and length of what is there."""
    spans: list[list[int]] = []
    for offset in sorted(pieces):
        end = offset + len(pieces[offset])
        if spans and offset <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], end)
        else:
            spans.append([offset, end])
    return [(start, end - start) for start, end in spans]
