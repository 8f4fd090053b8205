"""What both ends say of an upload, as bytes: the second kind of messages behind a cancel's number.

Pure.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dtn.ltp.sdnv import encode_sdnv
from roundtrip.bulk.manifest import BLOCK_BYTES, ID_BYTES, LIST_LEAVES, MAC_BYTES
from roundtrip.errors import BadMessage
from roundtrip.reading import Reader

FIRST = bytes((7 << 5 | 1,))
"""Of such a message; with no flag it is a cancel."""
MAX_RANGES = 512
MOST_PIECE_BYTES = max(BLOCK_BYTES, LIST_LEAVES * 20)
MAX_DETAIL_BYTES = 200
SYMBOL_ID_BYTES, SYMBOL_STEP = 4, 8
"""Of a symbol of an erasure code (RFC 6330 §3.2): of its number; and those are a multiple."""
STATES = (
    "taking", "whole", "trying", "trial", "active", "rolled_back", "cancelled", "refused",
    "unknown",
)  # fmt: skip
"""How an upload does on board: pieces are missing; it is there as it was sent; in its self-test;
flies until it is confirmed or not; flies; what flew before does again; … it is to be offered."""
ORDERS = ("activate", "confirm", "roll_back", "cancel", "retire")


@dataclass(frozen=True, slots=True)
class Offer:
    """This is to come, or: what of it is there?"""

    data: bytes
    """The manifest."""
    mac: bytes
    asked: int = 0
    """Told back in what is said from then on: what was said before may come later."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A list of leaves, or a block."""

    upload: bytes
    number: int
    body: bytes
    packed: bool


@dataclass(frozen=True, slots=True)
class Shard:
    """A symbol of a piece, see `coding.py`."""

    upload: bytes
    number: int
    packed: bool
    size: int
    """Of the piece's body."""
    packet: bytes
    """Its number, and a multiple of SYMBOL_STEP bytes."""

    @property
    def symbol_bytes(self) -> int:
        """Of each symbol of the piece."""
        return len(self.packet) - SYMBOL_ID_BYTES


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be done with an upload."""

    upload: bytes
    order: str


@dataclass(frozen=True, slots=True)
class Have:
    """How an upload does on board."""

    upload: bytes
    state: str
    upto: int = 0
    """What is said of pieces holds for those before this one."""
    lacks: tuple[tuple[int, int], ...] = ()
    """The pieces that are not there, from and to."""
    detail: str = ""
    asked: int = 0
    """Of the offer that came last; 0 where none has since the node was started."""


Up = Offer | Piece | Shard | Told
Bulk = Up | Have


def encode(message: Bulk) -> bytes:
    """The message as bytes."""
    match message:
        case Offer():
            return FIRST + b"\x00" + message.mac + encode_sdnv(message.asked) + message.data
        case Piece():
            head = encode_sdnv(message.number << 1 | message.packed)
            return FIRST + b"\x01" + message.upload + head + message.body
        case Shard():
            number = message.number << 1 | message.packed
            head = encode_sdnv(number) + encode_sdnv(message.size)
            return FIRST + b"\x04" + message.upload + head + message.packet
        case Told():
            return FIRST + b"\x02" + message.upload + bytes((ORDERS.index(message.order),))
        case Have():
            numbers = [STATES.index(message.state), message.asked, message.upto]
            numbers.append(len(message.lacks))
            at = 0
            for start, end in message.lacks:
                numbers += [start - at, end - start]
                at = end
            detail = message.detail.encode()[:MAX_DETAIL_BYTES].decode(errors="ignore").encode()
            return FIRST + b"\x03" + message.upload + b"".join(map(encode_sdnv, numbers)) + detail


def decode(reader: Reader) -> Bulk:
    """The message behind its first byte.

    Raises:
        BadMessage: there is none.
    """
    kind = reader.take(1)[0]
    if kind == 0:
        mac = reader.take(MAC_BYTES)
        asked = reader.number(1 << 40)
        return Offer(reader.rest(), mac, asked)
    upload = reader.take(ID_BYTES)
    if kind == 1:
        number = reader.number(1 << 40)
        return Piece(upload, number >> 1, reader.rest(), bool(number & 1))
    if kind == 2:
        order = reader.take(1)[0]
        reader.done()
        if order >= len(ORDERS):
            raise BadMessage("message", "order", " or ".join(ORDERS), str(order))
        return Told(upload, ORDERS[order])
    if kind == 3:
        return _have(upload, reader)
    if kind == 4:
        number, size = reader.number(1 << 40), reader.number(MOST_PIECE_BYTES)
        shard = Shard(upload, number >> 1, bool(number & 1), size, reader.rest())
        if not size or shard.symbol_bytes < 1 or shard.symbol_bytes % SYMBOL_STEP:
            expected = f"a multiple of {SYMBOL_STEP} bytes"
            raise BadMessage("message", "symbol", expected, str(shard.symbol_bytes))
        if shard.packet[0]:  # of a piece with several source blocks, which none has
            raise BadMessage("message", "symbol", "one of the first source block", "another")
        return shard
    raise BadMessage("message", "kind of upload", "0 to 4", str(kind))


def _have(upload: bytes, reader: Reader) -> Have:
    state = reader.number(len(STATES) - 1)
    asked = reader.number(1 << 40)
    upto = reader.number(1 << 40)
    lacks: list[tuple[int, int]] = []
    at = 0
    for _ in range(reader.number(MAX_RANGES)):
        start = at + reader.number(1 << 40)
        at = start + reader.number(1 << 40)
        lacks.append((start, at))
    if at > upto:
        raise reader.bad("pieces before the last that is spoken of", str(at))
    detail = reader.rest()[:MAX_DETAIL_BYTES].decode(errors="replace")
    return Have(upload, STATES[state], upto, tuple(lacks), detail, asked)


def ranges_of(numbers: Iterable[int], upto: int) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Numbers as ranges, as many as one message takes.

    Args:
        numbers: ascending.
        upto: below which all of them are.

    Returns:
        Below which the ranges say all, and the ranges.
    """
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1]:
            ranges[-1][1] += 1
        elif len(ranges) == MAX_RANGES:
            upto = number
            break
        else:
            ranges.append([number, number + 1])
    return upto, tuple((start, end) for start, end in ranges)


def numbers_in(ranges: Sequence[tuple[int, int]]) -> set[int]:
    """The numbers in ranges."""
    return {number for start, end in ranges for number in range(start, end)}


def packed(block: bytes) -> tuple[bytes, bool]:
    """A block as it goes up, and whether it is packed: where that saves something."""
    small = zlib.compress(block, 9)
    return (small, True) if len(small) < len(block) else (block, False)


def unpacked(piece: Piece) -> bytes:
    """The block in a piece.

    Raises:
        BadMessage: it is none.
    """
    if not piece.packed:
        return piece.body
    decoder = zlib.decompressobj()
    try:
        block = decoder.decompress(piece.body, MOST_PIECE_BYTES)
    except zlib.error as error:
        raise BadMessage("upload", f"piece {piece.number}", "a packed block", str(error)) from None
    if not decoder.eof or decoder.unused_data:
        raise BadMessage("upload", f"piece {piece.number}", "one packed block", "another")
    return block
