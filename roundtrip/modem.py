"""What a modem and its user say to each other over a ZeroMQ socket: two-part messages, [kind,
body].

The user (ground or node) says HELLO five times a second, as long as it lives; FRAME carries one LTP
segment either way, and so does BULK, where it is of an upload; CARRIER is the modem's cue that a
direction opened or closed, and carries the run, the plan's clock and its date; BUSY tells a user
that another has its place.

A run is what one ground station asks: it draws the run's number, and keeps the plan's clock and its
date over restarts of the others. So both ends have the same time, whatever their own clocks show.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import cbor2

from dtn.ltp.notices import LEAST_MTU_BYTES
from roundtrip.cbor import read_cbor
from roundtrip.errors import BadMessage

RUN_BITS = 63
"""Of a run's number here: more than this release draws, so that ends of different releases meet,
and can say so."""
HELLO = b"H"
FRAME = b"F"
BULK = b"U"
CARRIER = b"C"
BUSY = b"B"


class Side(enum.Enum):
    """Who uses the modem."""

    GROUND = "ground"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Hello:
    """Who uses a modem, and how far it is."""

    run_id: int | None
    """The ground's own run; on the node the run of the last cue, None before the first."""
    elapsed_ns: int | None
    """The ground's plan clock, once it has one; the modem takes it up again after a restart."""
    dtn_epoch_ms: int = 0
    """The ground's date: DTN time (ms since 2000) at the plan's zero, as if that were now for a run
    that has not begun; 0: not known."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """A modem's cue: what its user can send and hear from now on."""

    run_id: int
    """The run that this is about."""
    tx_up: bool
    """Frames handed to the modem now go out."""
    rx_up: bool
    """The other end's signal is there."""
    tx_rate_bps: int
    rx_rate_bps: int
    one_way_ns: int
    """Propagation delay to the other end."""
    mtu_bytes: int
    """Largest frame that the modem takes."""
    elapsed_ns: int
    """The plan's clock when the cue was sent."""
    origin_ns: int
    """The modem's CLOCK_MONOTONIC at the plan's zero; means something only on the host `host`."""
    host: str
    """Boot id of the modem's host; empty in virtual time."""
    dtn_epoch_ms: int = 0
    """DTN time at the plan's zero, for both ends the ground's; 0: not known."""


def encode_hello(hello: Hello) -> bytes:
    """The greeting as a CBOR array."""
    return cbor2.dumps([hello.run_id, hello.elapsed_ns, hello.dtn_epoch_ms], canonical=True)


def decode_hello(body: bytes) -> Hello:
    """The greeting in `body`.

    Raises:
        BadMessage: not a greeting.
    """
    fields = read_cbor(body, "hello")
    if not isinstance(fields, list) or len(fields) != 3:
        raise BadMessage("hello", "", "three fields", type(fields).__name__)
    for at, field in enumerate(fields):
        if (field is not None or at == 2) and (type(field) is not int or not 0 <= field < 1 << 63):
            raise BadMessage("hello", "", "numbers of 63 bits", type(field).__name__)
    hello = Hello(*fields)
    if hello.run_id is not None and hello.run_id >> RUN_BITS:
        raise BadMessage("hello", "", f"a run of {RUN_BITS} bits", "more")
    return hello


def encode_carrier(cue: Carrier) -> bytes:
    """The cue as a CBOR array, in the order of its fields."""
    return cbor2.dumps([getattr(cue, name) for name in Carrier.__slots__], canonical=True)


def decode_carrier(body: bytes) -> Carrier:
    """The cue in `body`.

    Raises:
        BadMessage: not a carrier cue.
    """
    fields = read_cbor(body, "carrier cue")
    types = [int, bool, bool, int, int, int, int, int, int, str, int]
    if not isinstance(fields, list) or [type(field) for field in fields] != types:
        raise BadMessage("carrier cue", "", "eleven fields of known types", type(fields).__name__)
    cue = Carrier(*fields)
    if (
        min(cue.tx_rate_bps, cue.rx_rate_bps) < 1
        or cue.mtu_bytes < LEAST_MTU_BYTES
        or min(cue.one_way_ns, cue.run_id, cue.dtn_epoch_ms) < 0
        or cue.run_id >> RUN_BITS
        or max(abs(f) for f in [*fields[3:9], cue.dtn_epoch_ms]) >= 1 << 63
    ):
        raise BadMessage("carrier cue", "", "rates, an MTU and times as a link has them", "others")
    return cue
